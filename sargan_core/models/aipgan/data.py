"""Training data of the expression transfer: crops of many people in one alignment, and the triples drawn from them.

All photos of a person share the alignment of the neutral one, whose landmarks a spline puts on the template. So in
these crops a landmark's distance from the template is the expression alone: nothing of the person's shape is left for
the expression encoder to leak (the warning of docs/papers.md 3.4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from sargan_core.data.crop_table import LINKS, CropSet, CropTable, column, make_crop_set
from sargan_core.data.crops import Cropper, affine_template, points_in_crop, spline_template, symmetric
from sargan_core.data.samples import SYNTH, Pair, Sample, Skipped, pairs
from sargan_core.data.sets import LONDON
from sargan_core.errors import DataError, NoFaceError, PhotoError
from sargan_core.expressions import Expression
from sargan_core.faces.face import Template
from sargan_core.faces.landmarks import MIRRORED
from sargan_core.faces.motion import carry
from sargan_core.models.aipgan.parts import Shading
from sargan_core.models.aipgan.train_parts import seen
from sargan_core.outcome import Progress

Points = npt.NDArray[np.float64]
# Landmarks that are compared when a reference is chosen: all but the outline.
INNER = slice(17, 68)
# A reference is drawn among this many of other people's photos with the most similar expression.
NEIGHBOURS = 6


def shape_template(size: int, samples: Sequence[Sample], cropper: Callable[[Template], Cropper]) -> Template:
    """Return a spline template with the mean neutral shape of people, made symmetric.

    Args:
        size: side of the crops.
        samples: training people.
        cropper: builds the cropper that finds landmarks where the data set has none.

    Raises:
        DataError: no neutral photo with landmarks.
    """
    finder = cropper(affine_template(size))
    shapes = []
    neutral = [sample for sample in samples if sample.expression is Expression.NEUTRAL]
    photographs = [sample for sample in neutral if sample.source != SYNTH]
    for sample in photographs or neutral:
        try:
            landmarks = finder.align(sample).landmarks
        except (PhotoError, NoFaceError):
            continue  # left out again, and said, when the photos are cut
        if landmarks is not None:
            shapes.append(landmarks.astype(np.float64))
    if not shapes:
        raise DataError("no neutral photo with landmarks; do not train with --landmarks detector")
    return spline_template(symmetric(np.mean(shapes, axis=0), size), size)


def expression_crops(
    samples: Sequence[Sample], cropper: Cropper, progress: Progress = lambda done, total: None
) -> tuple[CropSet, list[Skipped]]:
    """Cut every person's photos by the alignment of the neutral one.

    Args:
        samples: photos of people; those without a neutral one are left out.
        cropper: cuts with a ``spline`` template.
        progress: called with (done, total).

    Returns:
        The crops, and what was left out and why.

    Raises:
        DataError: nobody has a neutral photo and another one.
    """
    chosen = [pair for pair in pairs(samples) if pair.source.expression is Expression.NEUTRAL]
    if not chosen:
        raise DataError("no person with a neutral photo and one of another expression")
    neutral = list(dict.fromkeys(pair.source for pair in chosen))
    crops, skipped = make_crop_set(neutral, chosen, cropper, progress)
    points = crops.landmarks.astype(np.float64)
    _compare_like_with_like(crops, points, chosen, cropper)
    crops = replace(crops, landmarks=points.astype(np.float32))
    known = np.asarray(np.isfinite(crops.landmarks).all((1, 2)))
    return crops.select(known & known[crops.neutral]), skipped


def _compare_like_with_like(crops: CropSet, points: Points, chosen: Sequence[Pair], cropper: Cropper) -> None:
    """Replace landmarks that were not found in the same way as those of the neutral photo; in place.

    They become the neutral photo's landmarks plus the motion of points that were found in the same way in both photos.
    """
    by_paths = {(str(pair.source.path), str(pair.target.path)): pair for pair in chosen}
    for source, target in crops.pairs:
        pair = by_paths[str(crops.paths[source]), str(crops.paths[target])]
        if pair.still:
            continue
        one, other = pair.source.found_landmarks, pair.target.found_landmarks
        if one is None or other is None:
            continue
        alignment = cropper.align(pair.source)
        moved = cropper.align_target(pair, alignment)
        motion = points_in_crop(moved, other) - points_in_crop(alignment, one)
        points[target] = points[source] + motion


def draw_triples(crops: CropSet, count: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Draw who takes whose expression, and what should come out.

    References are other people whose landmarks moved most alike. Real people are drawn more often than rendered ones,
    neutral truths now and then, and targets that have an expression of their own in every fourth triple.

    Returns:
        (count, 3) int64 rows of ``crops``: person a with expression p, person b with any, person b with expression p.

    Raises:
        DataError: only one person.
    """
    if len(set(crops.persons.tolist())) < 2:
        raise DataError(
            "only one person with a usable neutral photo and another one; an expression is carried from one person to "
            "another, so add people"
        )
    rng = np.random.default_rng(seed)
    motions = (crops.motions[:, INNER] / crops.template.size).reshape(len(crops), -1)
    rendered = np.asarray(crops.sources == SYNTH)
    still = np.asarray(crops.labels == Expression.NEUTRAL.label)
    odds = np.where(rendered, 0.4, 1.0) * np.where(still, 0.8, 1.0)
    odds[crops.sources == LONDON] *= 1.6
    truths = rng.choice(len(crops), count, p=odds / odds.sum())
    references, targets = [], []
    for truth in truths:
        distance = np.asarray(((motions - motions[truth]) ** 2).sum(1))
        distance[crops.persons == crops.persons[truth]] = np.inf
        others = int(np.isfinite(distance).sum())
        near = np.argsort(distance, kind="stable")[: min(NEIGHBOURS, others)]
        references.append(rng.choice(near))
        mine = np.flatnonzero(
            (crops.neutral == crops.neutral[truth]) & (crops.sources == crops.sources[truth]) & ~still
        )
        other = bool(still[truth]) or rng.random() < 0.25
        targets.append(rng.choice(mine) if other and len(mine) else crops.neutral[truth])
    return np.stack([np.array(references), np.array(targets), truths], 1).astype(np.int64)


@dataclass(frozen=True)
class TransferBatch:
    """A batch of triples; pictures are (B, 3, S, S) float32 RGB in [0, 1].

    Attributes:
        reference: person a with expression p.
        target: person b with another expression; for a residual network already moved to the truth's landmarks.
        truth: person b with expression p.
        neutral: person b's neutral face.
        landmarks: (B, 68, 2) of the reference, fractions of S.
        label: (B,) int64, expression p.
        person: (B,) int64, number of person b.
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
    """Crops and triples to train on.

    Attributes:
        template: the alignment of the crops.
        neutral: (N,) int64, row of the person's neutral crop.
        triples: (T, 3) int64 rows: reference, target, truth.
        moved: (T, 3, S, S) uint8, targets moved to the truths' landmarks and shaded; empty = none.
    """

    template: Template
    neutral: npt.NDArray[np.int64] = column(np.int64, link=True)
    triples: npt.NDArray[np.int64] = column(np.int64, (3,), of=LINKS, link=True)
    moved: npt.NDArray[np.uint8] = column(np.uint8, (3, -1, -1), of=LINKS)

    @cached_property
    def numbers(self) -> npt.NDArray[np.int64]:
        """(N,) number of the person in each crop."""
        return np.unique(self.persons, return_inverse=True)[1]

    @property
    def people(self) -> int:
        """Number of people."""
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
            self_share: probability that reference, target and truth are one crop.
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
    """Return crops and triples as a bank; with a shading, the targets are also moved and shaded.

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
