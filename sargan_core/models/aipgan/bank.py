"""What a step of the expression transfer sees: triples of crops, and targets with their landmarks already moved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sargan_core.errors import DataError
from sargan_core.faces.carry import carry
from sargan_core.faces.face import Template
from sargan_core.faces.landmarks import MIRRORED
from sargan_core.models.aipgan.data import ExpressionCrops, Triples
from sargan_core.models.aipgan.parts import Shading
from sargan_core.models.aipgan.train_parts import seen
from sargan_core.outcome import Progress
from sargan_core.training.packs import UNREADABLE, read_pack, write_pack


@dataclass(frozen=True)
class TransferBatch:
    """Triples; pictures are (B, 3, S, S) float32 RGB in [0, 1].

    Attributes:
        reference: person a with expression p.
        target: person b with another expression, for a residual network already moved to the wanted landmarks.
        truth: person b with expression p.
        neutral: person b's neutral face.
        landmarks: (B, 68, 2) of the reference, fractions of S.
        label: (B,) int64, expression p.
        person: (B,) int64, who b is.
    """

    reference: Tensor
    target: Tensor
    truth: Tensor
    neutral: Tensor
    landmarks: Tensor
    label: Tensor
    person: Tensor


@dataclass(frozen=True)
class TransferBank:
    """All crops and triples of a training, as tensors.

    Attributes:
        template: the alignment of the crops.
        crops: (N, 3, S, S) uint8.
        landmarks: (N, 68, 2) float32, fractions of S, pixel centres at (index + 0.5) / S.
        labels: (N,) int64.
        persons: (N,) int64, one number a person.
        neutral: (N,) int64, index of the person's neutral crop.
        triples: (T, 3) int64: reference, target, truth.
        moved: (T, 3, S, S) uint8, the targets with their landmarks on the truths', shaded; (0, 3, S, S) without.
    """

    template: Template
    crops: Tensor
    landmarks: Tensor
    labels: Tensor
    persons: Tensor
    neutral: Tensor
    triples: Tensor
    moved: Tensor

    @property
    def people(self) -> int:
        """How many people there are."""
        return int(self.persons.max()) + 1

    def draw(
        self, count: int, size: int, random: torch.Generator, *, moved: bool, self_share: float = 0.0
    ) -> TransferBatch:
        """Return ``count`` triples drawn with replacement, half of them mirrored, at ``size`` pixels.

        Args:
            count: how many.
            size: side of the pictures.
            random: CPU generator.
            moved: targets with their landmarks moved.
            self_share: how often a face is its own reference and truth.
        """
        chosen = torch.randint(len(self.triples), (count,), generator=random)
        alone = torch.rand(count, generator=random) < self_share
        mirror = torch.rand(count, generator=random) < 0.5
        batch = self.batch(chosen, size, moved=moved, alone=alone)
        return _mirrored(batch, mirror)

    def batch(self, chosen: Tensor, size: int, *, moved: bool, alone: Tensor | None = None) -> TransferBatch:
        """Return the triples of ``chosen`` (B,) as they are; arguments as of ``draw``."""
        reference, target, truth = self.triples[chosen].unbind(1)
        pictures = self.moved[chosen] if moved else self.crops[target]
        if alone is not None:
            reference = torch.where(alone, truth, reference)
            pictures = torch.where(alone[:, None, None, None], self.crops[truth], pictures)
        return TransferBatch(
            _resized(self.crops[reference], size),
            _resized(pictures, size),
            _resized(self.crops[truth], size),
            _resized(self.crops[self.neutral[truth]], size),
            self.landmarks[reference],
            self.labels[truth],
            self.persons[truth],
        )

    def save(self, path: Path) -> None:
        """Write everything as one file."""
        names = ("crops", "landmarks", "labels", "persons", "neutral", "triples", "moved")
        write_pack(path, {name: getattr(self, name) for name in names}, {"template": self.template.to_json()})

    @classmethod
    def load(cls, path: Path) -> TransferBank:
        """Read what ``save`` wrote.

        Raises:
            DataError: the file cannot be read or holds something else.
        """
        try:
            tensors, described = read_pack(path)
            return cls(Template.from_json(described["template"]), **tensors)
        except UNREADABLE as error:
            raise DataError(f"{path}: not a packed set for expression transfer ({error})") from error


def make_bank(
    crops: ExpressionCrops,
    triples: Triples,
    shading: Shading | None,
    progress: Progress = lambda done, total: None,
) -> TransferBank:
    """Return crops and triples as tensors; with a shading, the targets are moved and shaded too.

    Args:
        crops: people of one side of the split.
        triples: drawn from them.
        shading: of the displaced form; None = targets stay where they are.
        progress: called with (done, total).
    """
    size = crops.template.size
    people = {person: number for number, person in enumerate(sorted(set(crops.persons.tolist())))}
    moved = torch.empty(0 if shading is None else len(triples), 3, size, size, dtype=torch.uint8)
    if shading is not None:
        rows = zip(triples.reference, triples.target, triples.truth, strict=True)
        for done, (reference, target, truth) in enumerate(rows):
            moved[done] = _moved(crops, int(reference), int(target), int(truth), shading)
            progress(done + 1, len(triples))
    return TransferBank(
        crops.template,
        torch.from_numpy(crops.images),
        torch.from_numpy((crops.landmarks + 0.5) / size),
        torch.from_numpy(crops.labels),
        torch.tensor([people[str(person)] for person in crops.persons]),
        torch.from_numpy(crops.neutral),
        torch.from_numpy(np.stack([triples.reference, triples.target, triples.truth], 1)),
        moved,
    )


def _moved(crops: ExpressionCrops, reference: int, target: int, truth: int, shading: Shading) -> Tensor:
    face, goal = seen(crops, target), crops.landmarks[truth].astype(np.float64)
    carried = carry(face, goal, seen(crops, reference))
    factor = shading(goal - face.landmarks, crops.template.size)
    picture = torch.lerp(carried.image * factor, carried.image, carried.inside)
    return (picture[0].clamp(0, 1) * 255).round().byte()


def _resized(pictures: Tensor, size: int) -> Tensor:
    x = pictures.float() / 255
    return (
        x if x.shape[-1] == size else functional.interpolate(x, (size, size), mode="bilinear", antialias=True)
    )


def _mirrored(batch: TransferBatch, mirror: Tensor) -> TransferBatch:
    def flip(x: Tensor) -> Tensor:
        return torch.where(mirror[:, None, None, None], x.flip(3), x)

    swapped = batch.landmarks[:, list(MIRRORED)] * batch.landmarks.new_tensor([-1.0, 1.0])
    swapped = swapped + swapped.new_tensor([1.0, 0.0])
    return replace(
        batch,
        reference=flip(batch.reference),
        target=flip(batch.target),
        truth=flip(batch.truth),
        neutral=flip(batch.neutral),
        landmarks=torch.where(mirror[:, None, None], swapped, batch.landmarks),
    )
