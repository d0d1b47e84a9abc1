"""What a step of the expression transfer sees: triples of crops, and targets with their landmarks already moved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from sargan_core.data.crop_table import LINKS, CropSet, CropTable, column
from sargan_core.faces.carry import carry
from sargan_core.faces.face import Template
from sargan_core.faces.landmarks import MIRRORED
from sargan_core.models.aipgan.parts import Shading
from sargan_core.models.aipgan.train_parts import seen
from sargan_core.progress import Progress


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


@dataclass(frozen=True, eq=False, kw_only=True)
class TransferBank(CropTable):
    """All crops and triples of a training.

    Attributes:
        template: the alignment of the crops.
        neutral: (N,) int64, row of the person's neutral crop.
        triples: (T, 3) int64 rows: reference, target, truth.
        moved: (T, 3, S, S) uint8, the targets with their landmarks on the truths', shaded; empty = none.
    """

    template: Template
    neutral: npt.NDArray[np.int64] = column(np.int64, link=True)
    triples: npt.NDArray[np.int64] = column(np.int64, (3,), of=LINKS, link=True)
    moved: npt.NDArray[np.uint8] = column(np.uint8, (3, -1, -1), of=LINKS)

    @cached_property
    def numbers(self) -> npt.NDArray[np.int64]:
        """(N,) number of the person whom each crop shows."""
        return np.unique(self.persons, return_inverse=True)[1]

    @property
    def people(self) -> int:
        """How many people there are."""
        return int(self.numbers.max()) + 1

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
        rows = chosen.numpy()
        reference, target, truth = self.triples[rows].T
        pictures = torch.from_numpy(self.moved[rows]).float() / 255 if moved else self.pictures(target)
        true = self.pictures(truth)
        if alone is not None:
            reference = np.where(alone.numpy(), truth, reference)
            pictures = torch.where(alone[:, None, None, None], true, pictures)
        landmarks = (self.landmarks[reference] + np.float32(0.5)) / self.template.size
        return TransferBatch(
            _resized(self.pictures(reference), size),
            _resized(pictures, size),
            _resized(true, size),
            _resized(self.pictures(self.neutral[truth]), size),
            torch.from_numpy(landmarks),
            torch.from_numpy(self.labels[truth]),
            torch.from_numpy(self.numbers[truth]),
        )


def make_bank(
    crops: CropSet,
    triples: npt.NDArray[np.int64],
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
    moved = np.empty((0 if shading is None else len(triples), 3, size, size), np.uint8)
    if shading is not None:
        for done, (reference, target, truth) in enumerate(triples.tolist()):
            moved[done] = _moved(crops, reference, target, truth, shading)
            progress(done + 1, len(triples))
    return TransferBank(
        template=crops.template,
        images=crops.images,
        landmarks=crops.landmarks,
        labels=crops.labels,
        persons=crops.persons,
        neutral=crops.neutral,
        triples=triples,
        moved=moved,
    )


def _moved(
    crops: CropSet, reference: int, target: int, truth: int, shading: Shading
) -> npt.NDArray[np.uint8]:
    face, goal = seen(crops, target), crops.landmarks[truth].astype(np.float64)
    carried = carry(face, goal, seen(crops, reference))
    factor = shading(goal - face.landmarks, crops.template.size)
    picture = torch.lerp(carried.image * factor, carried.image, carried.inside)
    return np.asarray((picture[0].clamp(0, 1) * 255).round().byte().numpy())


def _resized(x: Tensor, size: int) -> Tensor:
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
