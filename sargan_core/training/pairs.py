"""Training data as arrays: aligned crops, who and what they show, and which of them form pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sargan_core.errors import DataError
from sargan_core.faces.align import Template
from sargan_core.training.packs import UNREADABLE, read_pack, write_pack


@dataclass(frozen=True)
class Batch:
    """What one training step sees.

    Attributes:
        source: (B, 3, S, S) float32 RGB in [0, 1].
        target: (B, 3, S, S) float32 RGB in [0, 1]: the same person with the wanted expression.
        source_label: (B,) int64.
        target_label: (B,) int64.
        trust: (B,) float32 in (0, 1], how much the pair's pixels count.
    """

    source: Tensor
    target: Tensor
    source_label: Tensor
    target_label: Tensor
    trust: Tensor


@dataclass(frozen=True)
class CropPairs:
    """Aligned crops of labelled people and the pairs among them; a pair shares one alignment.

    Attributes:
        crops: (N, 3, S, S) uint8 RGB.
        persons: who each crop shows, N names.
        labels: (N,) int64, index into ``expressions.LABELS``.
        pairs: (P, 2) int64, crop indices of source and target.
        odds: (P,) float32, how often a pair is drawn, relative to the others.
        trust: (P,) float32 in (0, 1]: 1 for pairs that differ in nothing but the expression, less where the
            head moved or the light changed.
        mask: (S, S) float32 in [0, 1], where a pair with trust below 1 is compared.
        template: the alignment of the crops.
        held_out: the people who are not trained on.
    """

    crops: Tensor
    persons: tuple[str, ...]
    labels: Tensor
    pairs: Tensor
    odds: Tensor
    trust: Tensor
    mask: Tensor
    template: Template
    held_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count, size = len(self.persons), self.template.size
        expected = {
            "crops": (self.crops, (count, 3, size, size), torch.uint8),
            "labels": (self.labels, (count,), torch.int64),
            "pairs": (self.pairs, (len(self.pairs), 2), torch.int64),
            "odds": (self.odds, (len(self.pairs),), torch.float32),
            "trust": (self.trust, (len(self.pairs),), torch.float32),
            "mask": (self.mask, (size, size), torch.float32),
        }
        for name, (tensor, shape, dtype) in expected.items():
            if tuple(tensor.shape) != shape or tensor.dtype != dtype:
                raise DataError(
                    f"training data: {name} is {tuple(tensor.shape)} {tensor.dtype}, expected {shape} {dtype}"
                )
        if len(self.pairs) and int(self.pairs.max()) >= count:
            raise DataError(f"training data: a pair names crop {int(self.pairs.max())}, there are {count}")

    @property
    def size(self) -> int:
        """Side of the crops in pixels."""
        return self.template.size

    def select(self, persons: frozenset[str]) -> CropPairs:
        """Return the crops and pairs of ``persons`` only."""
        kept = [index for index, person in enumerate(self.persons) if person in persons]
        place = torch.full((len(self.persons),), -1, dtype=torch.int64)
        place[kept] = torch.arange(len(kept))
        pairs = place[self.pairs]
        whole = (pairs >= 0).all(1)
        return CropPairs(
            self.crops[kept],
            tuple(self.persons[index] for index in kept),
            self.labels[kept],
            pairs[whole],
            self.odds[whole],
            self.trust[whole],
            self.mask,
            self.template,
            self.held_out,
        )

    def only(self, rows: Sequence[int]) -> CropPairs:
        """Return the pairs ``rows`` alone, in this order, with their crops."""
        chosen = self.pairs[list(rows)]
        kept, pairs = torch.unique(chosen, return_inverse=True)
        return CropPairs(
            self.crops[kept],
            tuple(self.persons[index] for index in kept.tolist()),
            self.labels[kept],
            pairs,
            self.odds[list(rows)],
            self.trust[list(rows)],
            self.mask,
            self.template,
            self.held_out,
        )

    def training(self) -> CropPairs:
        """Return the part to train on."""
        return self.select(frozenset(self.persons) - frozenset(self.held_out))

    def test(self) -> CropPairs:
        """Return the part of the people held out."""
        return self.select(frozenset(self.held_out))

    def draw(self, count: int, random: torch.Generator) -> Batch:
        """Return ``count`` pairs drawn with replacement, on the CPU."""
        chosen = torch.multinomial(self.odds, count, replacement=True, generator=random)
        source, target = self.pairs[chosen].unbind(1)
        return Batch(
            self.crops[source].float() / 255,
            self.crops[target].float() / 255,
            self.labels[source],
            self.labels[target],
            self.trust[chosen],
        )

    def draw_single(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return ``count`` crops (B, 3, S, S) float32 in [0, 1] and their labels, drawn uniformly."""
        chosen = torch.randint(len(self.persons), (count,), generator=random)
        return self.crops[chosen].float() / 255, self.labels[chosen]

    def save(self, path: Path) -> None:
        """Write everything as one file."""
        names = ("crops", "labels", "pairs", "odds", "trust", "mask")
        described = {
            "persons": self.persons,
            "held_out": self.held_out,
            "template": self.template.to_json(),
        }
        write_pack(path, {name: getattr(self, name) for name in names}, described)

    @classmethod
    def load(cls, path: Path) -> CropPairs:
        """Read what ``save`` wrote.

        Raises:
            DataError: the file cannot be read or holds something else.
        """
        try:
            tensors, described = read_pack(path)
            return cls(
                persons=tuple(described["persons"]),
                template=Template.from_json(described["template"]),
                held_out=tuple(described["held_out"]),
                **tensors,
            )
        except UNREADABLE as error:
            raise DataError(f"{path}: not a packed training set ({error})") from error
