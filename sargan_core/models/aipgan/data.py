"""Training data of the expression transfer: crops of many people in one frame, freed of their own shape.

All photos of a person share the alignment of the neutral one, whose landmarks a spline puts on the template. So in
these crops a landmark's distance from the template is the expression alone: nothing of the person's shape is left for
the expression encoder to leak (the warning of docs/papers.md 3.4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sargan_core.data.crop_table import CropSet, make_crop_set
from sargan_core.data.crops import Cropper, points_in_crop
from sargan_core.data.samples import SYNTH, Pair, Sample, Skipped, pairs
from sargan_core.data.sets import LONDON
from sargan_core.errors import DataError, NoFaceError, PhotoError
from sargan_core.expressions import Expression
from sargan_core.faces.face import Template
from sargan_core.progress import Progress
from sargan_core.training.shape import affine_template, spline_template, symmetric

Points = npt.NDArray[np.float64]


# Landmarks that the choice of a reference compares: all but the outline.
INNER = slice(17, 68)


# A reference is drawn among this many of other people's photos with the most similar expression.
NEIGHBOURS = 6


def shape_template(size: int, samples: Sequence[Sample], cropper: Callable[[Template], Cropper]) -> Template:
    """Return a spline template on the mean, symmetric, neutral shape of people.

    Args:
        size: side of the crops.
        samples: training people.
        cropper: makes what finds landmarks where the data set brings none.

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
    known = np.isfinite(crops.landmarks).all((1, 2))
    return crops.select(known & known[crops.neutral]), skipped


def _compare_like_with_like(crops: CropSet, points: Points, chosen: Sequence[Pair], cropper: Cropper) -> None:
    """Give photos whose landmarks were found in another way than their neutral photo's those of the neutral photo,
    moved as the points that were found in one way for both; in place.
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
