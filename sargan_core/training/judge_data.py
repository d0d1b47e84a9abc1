"""The judge's training data: crops, who they show, and how often each is drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sargan_core.data.crop_set import CropSet
from sargan_core.data.samples import SYNTH, Pair, Sample, pairs
from sargan_core.expressions import Expression

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
