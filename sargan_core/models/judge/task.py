"""The judge's training data: crops, who they show, and how often each is drawn."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sargan_core.data.crop_set import CropSet
from sargan_core.data.samples import SYNTH, Pair, Sample, pairs
from sargan_core.expressions import LABELS, Expression
from sargan_core.models.judge.network import EMBEDDING, Judge, save_judge
from sargan_core.training.augment import AugmentSettings, augment
from sargan_core.training.checks import check_counts, check_rate, check_seed
from sargan_core.training.loop import step_random

# Part of the draws that show rendered people: they bring light, pose and skin, the real ones what counts.
RENDERED_SHARE = 0.4


@dataclass(frozen=True)
class JudgeData:
    """Labelled crops of people.

    Attributes:
        crops: (N, 3, S, S) uint8 RGB in the judge's template.
        labels: (N,) int64, index into ``expressions.LABELS``.
        people: (N,) int64, index of the person.
        rendered: (N,) bool, rendered and not real.
        chances: (N,) float64, how often each is drawn: every expression as often as every other, real and
            rendered people in a fixed share, and within an expression everyone as often.
        names: names of the people, by index.
    """

    crops: Tensor
    labels: Tensor
    people: Tensor
    rendered: Tensor
    chances: Tensor
    names: tuple[str, ...]

    def draw(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``count`` crops (B, 3, S, S) float32 in [0, 1], their labels and their people."""
        chosen = torch.multinomial(self.chances, count, replacement=True, generator=random)
        return self.crops[chosen].float() / 255, self.labels[chosen], self.people[chosen]


def judge_data(crops: CropSet) -> JudgeData:
    """Return all crops of a crop set, those of pairs too, with their chances."""
    names = sorted({str(person) for person in crops.persons})
    index = {name: number for number, name in enumerate(names)}
    rendered = crops.sources == SYNTH
    both = rendered.any() and not rendered.all()
    groups = list(zip(crops.labels.tolist(), rendered.tolist(), crops.persons.tolist(), strict=True))
    photos = Counter(groups)
    people = Counter((label, kind) for label, kind, _ in photos)
    shares = {True: RENDERED_SHARE, False: 1 - RENDERED_SHARE} if both else {True: 1.0, False: 1.0}
    chances = [shares[group[1]] / people[group[:2]] / photos[group] for group in groups]
    return JudgeData(
        torch.from_numpy(np.ascontiguousarray(crops.images)),
        torch.from_numpy(crops.labels),
        torch.tensor([index[str(person)] for person in crops.persons]),
        torch.from_numpy(rendered),
        torch.tensor(chances, dtype=torch.float64),
        tuple(names),
    )


def moved_pairs(samples: Sequence[Sample]) -> list[Pair]:
    """Return the pairs whose targets are also cut with their neutral photo's alignment.

    An edit is judged in the alignment of the photo before it, which the new expression no longer fits exactly.
    """
    return [pair for pair in pairs(samples) if pair.still and pair.source.expression is Expression.NEUTRAL]


# Photos of all kinds are judged, so the changes are stronger than for the generators, and the geometry covers what
# the detector's five points miss.
AUGMENT = AugmentSettings(
    rotation=5.0,
    zoom=0.06,
    shift=0.025,
    colour=1.1,
    grey_odds=0.2,
    blur_odds=0.25,
    noise_odds=0.2,
    jpeg_odds=0.2,
    occluder_odds=0.08,
)


WARM_UP = 100


SHEET_COLUMNS = 16


@dataclass(frozen=True)
class JudgeTraining:
    """Settings of the judge's training.

    Attributes:
        steps: steps over which the rate falls to nothing.
        batch: crops a step that train both heads.
        mixed: crops a step that show two people at once and train the embedding only.
        rate: peak rate of AdamW.
        smoothing: label smoothing of the expressions, which keeps the probabilities honest.
        scale: factor on the cosines between embeddings and people (normalised softmax; Wang et al. 2017, NormFace).
        margin: how much nearer a crop must be to its own person (CosFace; Wang et al. 2018).
        identity: weight of the identity loss.
        augment: augmentation.
        seed: of weights, draws and augmentation.
    """

    steps: int = 2000
    batch: int = 64
    mixed: int = 16
    rate: float = 3e-3
    smoothing: float = 0.05
    scale: float = 16.0
    margin: float = 0.15
    identity: float = 0.3
    augment: AugmentSettings = field(default_factory=lambda: AUGMENT)
    seed: int = 0

    def __post_init__(self) -> None:
        check_rate(self.rate)
        check_seed(self.seed)
        check_counts({"--steps": self.steps, "batch": self.batch, "mixed": self.mixed})


class JudgeTask:
    """A ``TrainingTask`` for the judge.

    Args:
        settings: how.
        data: crops of the training people.
        samples: crops of people left out, for the sample sheets.
        name_data: what the weights' record says about the data.
    """

    def __init__(
        self, settings: JudgeTraining, data: JudgeData, samples: JudgeData, name_data: str = ""
    ) -> None:
        self.settings = settings
        self.data = data
        self.samples = samples
        self.name_data = name_data
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.judge = Judge()
            # One direction a person; the embedding of each of its crops is drawn there.
            self.people = nn.Parameter(torch.randn(len(data.names), EMBEDDING) / math.sqrt(EMBEDDING))
        parameters = [*self.judge.parameters(), self.people]
        self.optimiser = torch.optim.AdamW(parameters, settings.rate, weight_decay=0.02)

    def step(self, step: int) -> dict[str, Tensor]:
        """Make one step; see ``TrainingTask``."""
        settings, random = self.settings, step_random(self.settings.seed, step)
        self._set_rate(step)
        torch.manual_seed(int(torch.randint(2**62, (), generator=random)))  # dropout
        crops, labels, people = self.data.draw(settings.batch + settings.mixed, random)
        (crops,) = augment((crops,), settings.augment, random)
        plain = settings.batch
        shares = functional.one_hot(people, len(self.data.names)).float()
        other = torch.randint(plain, (settings.mixed,), generator=random)
        weight = mixing_weights(settings.mixed, crops.shape[-1], random)
        oval = self.judge.get_buffer("oval")
        crops[plain:] = torch.lerp(crops[plain:], crops[other], weight)
        part = ((weight * oval).sum((1, 2, 3)) / oval.sum())[:, None]
        shares[plain:] = torch.lerp(shares[plain:], shares[other], part)
        self.judge.train()
        logits, embedding = self.judge.judge(crops)
        expression = functional.cross_entropy(
            logits[:plain], labels[:plain], label_smoothing=settings.smoothing
        )
        cosine = embedding @ functional.normalize(self.people, dim=1).T
        identity = functional.cross_entropy(settings.scale * (cosine - settings.margin * shares), shares)
        loss = expression + settings.identity * identity
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([*self.judge.parameters(), self.people], 5.0)
        self.optimiser.step()
        right = (logits[:plain].argmax(1) == labels[:plain]).float().mean()
        return {"expression": expression.detach(), "identity": identity.detach(), "right": right}

    def state(self) -> dict[str, Any]:
        """Return everything that changes."""
        return {
            "judge": self.judge.state_dict(),
            "people": self.people.detach(),
            "optimiser": self.optimiser.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` returned."""
        self.judge.load_state_dict(state["judge"])
        with torch.no_grad():
            self.people.copy_(state["people"])
        self.optimiser.load_state_dict(state["optimiser"])

    def sheet(self) -> Tensor:
        """Return held-out crops, a row an expression, with a green line below where the judge is right, else red."""
        self.judge.eval()
        rows = []
        size = self.samples.crops.shape[-1]
        for label in range(len(LABELS)):
            crops = self.samples.crops[self.samples.labels == label]
            crops = crops[:: max(1, len(crops) // SHEET_COLUMNS)][:SHEET_COLUMNS]
            row = torch.full((3, size + 6, SHEET_COLUMNS * size), 255, dtype=torch.uint8)
            if len(crops):
                with torch.inference_mode():
                    right = self.judge(crops.float() / 255).argmax(1) == label
                for column, (crop, ok) in enumerate(zip(crops, right.tolist(), strict=True)):
                    place = slice(column * size, (column + 1) * size)
                    row[:, :size, place] = crop
                    row[:, size + 1 : size + 4, place] = torch.tensor([0, 160, 0] if ok else [210, 0, 0])[
                        :, None, None
                    ]
            rows.append(row)
        return torch.cat(rows, 1)

    def export(self, path: Path) -> None:
        """Write the judge's weights."""
        save_judge(self.judge, path, data=self.name_data)

    def _set_rate(self, step: int) -> None:
        settings = self.settings
        share = min(1.0, step / settings.steps)
        rate = settings.rate * min(1.0, step / WARM_UP) * 0.5 * (1 + math.cos(math.pi * share))
        for group in self.optimiser.param_groups:
            group["lr"] = rate


def mixing_weights(count: int, size: int, random: torch.Generator) -> Tensor:
    """Return (B, 1, S, S) weights in [0, 1] of a second face: all over alike, or one side of a soft straight line.

    Edits that put another person into a face do one or the other; the embedding is to tell how much.
    """
    draws = torch.rand(count, 4, generator=random)
    ticks = torch.linspace(-1, 1, size)
    angle = 2 * math.pi * draws[:, 0, None, None]
    across = ticks[None, None] * angle.cos() + ticks[None, :, None] * angle.sin()
    half = torch.sigmoid(12 * (across - 0.8 * (draws[:, 1, None, None] - 0.5)))
    even = (0.1 + 0.8 * draws[:, 2])[:, None, None].expand(-1, size, size)
    return torch.where(draws[:, 3, None, None] < 0.5, half, even)[:, None]
