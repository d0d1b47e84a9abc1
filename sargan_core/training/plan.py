"""What a training run is going to do, before it does it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from torch import nn

from sargan_core.expressions import LABELS
from sargan_core.training.loop import LoopSettings, TrainingTask, measure
from sargan_core.training.pairs import CropPairs


@dataclass(frozen=True)
class TrainingPlan:
    """The plan of a run.

    Attributes:
        people: how many people are trained on.
        held_out: how many are held out.
        crops: how many crops are trained on.
        pairs: how many pairs, by ``source > target``.
        parameters: numbers in the networks, by name.
        steps: steps that are still to be made.
        step_seconds: measured seconds of one step here and now.
    """

    people: int
    held_out: int
    crops: int
    pairs: dict[str, int]
    parameters: dict[str, int]
    steps: int
    step_seconds: float

    @property
    def seconds(self) -> float:
        """Expected time of the run."""
        return self.steps * self.step_seconds


def make_plan(
    task: TrainingTask, data: CropPairs, networks: dict[str, nn.Module], loop: LoopSettings, start: int = 0
) -> TrainingPlan:
    """Measure a few steps of ``task`` (which is spent by it) and return the plan.

    Args:
        task: the task to measure, built as for the run.
        data: all crops, those of the people held out too.
        networks: the networks by name.
        loop: how many steps.
        start: the step that a resumed run starts from.
    """
    training = data.training()
    labels = training.labels[training.pairs].tolist()
    names = Counter(f"{LABELS[source]} > {LABELS[target]}" for source, target in labels)
    return TrainingPlan(
        people=len(set(training.persons)),
        held_out=len(set(data.held_out)),
        crops=len(training.persons),
        pairs=dict(sorted(names.items())),
        parameters={
            name: sum(value.numel() for value in network.parameters()) for name, network in networks.items()
        },
        steps=max(0, loop.steps - start),
        step_seconds=measure(task, loop.steps),
    )
