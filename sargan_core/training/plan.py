"""The plan of a training run, as ``--dry-run`` shows it: the training data, and the time of a step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import nn

from sargan_core.data.samples import Pair, Sample, Skipped
from sargan_core.data.split import Split
from sargan_core.expressions import LABELS
from sargan_core.training.loop import TrainingTask, measure


@dataclass(frozen=True)
class Survey:
    """The training data, judged by the names of the photos; faces are searched only in training.

    Attributes:
        people: number of people to train on.
        held_out: number of people held out.
        pictures: number of pictures of the people to train on, by expression.
        pairs: number of their pairs, by ``source > target``; empty where training uses single pictures.
        skipped: files that are left out, and why.
    """

    people: int
    held_out: int
    pictures: dict[str, int]
    pairs: dict[str, int]
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class TrainingPlan:
    """The plan of a training run.

    Attributes:
        survey: the training data.
        size: side of the crops in pixels.
        model: what is trained, in a few words.
        recipe: how, in a few words.
        parameters: number of parameters of the networks, by name.
        steps: number of steps left; 0 = the model is fitted in closed form.
        step_seconds: measured time of one step on random pictures in seconds, without the time for cropping.
    """

    survey: Survey
    size: int
    model: str
    recipe: str
    parameters: dict[str, int] = field(default_factory=dict)
    steps: int = 0
    step_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """Expected time of the steps."""
        return self.steps * self.step_seconds


def survey(
    samples: Sequence[Sample],
    split: Split,
    pairs: Sequence[Pair] = (),
    skipped: Sequence[Skipped] = (),
) -> Survey:
    """Count the photos and the pairs of the people to train on."""
    train = frozenset(split.train)
    return Survey(
        people=len(split.train),
        held_out=len(split.test),
        pictures=count_labels(sample.expression.label for sample in samples if sample.person in train),
        pairs=count_pairs(
            (pair.source.expression.label, pair.target.expression.label)
            for pair in pairs
            if pair.source.person in train
        ),
        skipped=tuple(skipped),
    )


def count_labels(labels: Iterable[int]) -> dict[str, int]:
    """Return how often each expression occurs, by name."""
    return dict(sorted(Counter(str(LABELS[label]) for label in labels).items()))


def count_pairs(labels: Iterable[tuple[int, int]]) -> dict[str, int]:
    """Return how often each ``source > target`` occurs."""
    return dict(sorted(Counter(f"{LABELS[source]} > {LABELS[target]}" for source, target in labels).items()))


def count_parameters(network: nn.Module) -> int:
    """Return the number of parameters of a network."""
    return sum(value.numel() for value in network.parameters())


def measured_batch(batch: int, fabric: Fabric) -> int:
    """Return the batch size to measure with.

    On a CPU the time grows with the batch, and a whole batch may take a minute: there it is 1.
    """
    return 1 if fabric.device.type == "cpu" else batch


def seconds_per_step(task: TrainingTask, last: int, batches: float = 1.0) -> float:
    """Measure a step; see ``loop.measure``.

    Args:
        task: trains on random pictures; it cannot be used afterwards.
        last: number of the run's last step.
        batches: size of the run's batch, in batches of ``task``.
    """
    return measure(task, last) * batches


def random_crops(size: int, count: int = len(LABELS)) -> npt.NDArray[np.uint8]:
    """Return noise to time a step with, (``count``, 3, size, size) uint8; its content does not change the time."""
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, size, size), generator=random, dtype=torch.uint8).numpy()
