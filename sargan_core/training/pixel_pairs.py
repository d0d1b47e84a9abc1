"""Which pairs of a crop set teach a pixel model what; pairs are rows (P, 2) of crop indices, input and target."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sargan_core.data.crop_set import CropSet
from sargan_core.data.samples import SYNTH
from sargan_core.errors import DataError
from sargan_core.expressions import Expression


def pair_rows(crops: CropSet, expression: Expression) -> npt.NDArray[np.int64]:
    """Return the pairs (P, 2) that teach a target: from neutral to it, or from anything to neutral."""
    sources, targets = crops.labels[crops.pairs[:, 0]], crops.labels[crops.pairs[:, 1]]
    wanted = targets == expression.label
    if expression is not Expression.NEUTRAL:
        wanted &= sources == Expression.NEUTRAL.label
    return crops.pairs[wanted]


def with_landmarks(crops: CropSet, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the pairs whose landmarks are known, of both photos.

    Raises:
        DataError: there are none.
    """
    known = np.isfinite(crops.landmarks[rows]).all((1, 2, 3))
    if not known.any():
        raise DataError(
            "the displaced form needs landmarks of inputs and targets; crop with --landmarks builtin"
        )
    return rows[known]


def photographs(crops: CropSet, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the pairs of real photos where there are any: rendered faces teach shape, not the look of skin."""
    real = crops.sources[rows[:, 1]] != SYNTH
    return rows[real] if real.any() else rows


def agreeing(crops: CropSet, rows: npt.NDArray[np.int64], share: float) -> npt.NDArray[np.int64]:
    """Return the share of the pairs whose motion is nearest the median motion."""
    moves = crops.landmarks[rows[:, 1]] - crops.landmarks[rows[:, 0]]
    distance = ((moves - np.median(moves, axis=0)) ** 2).sum((1, 2))
    return rows[np.sort(np.argsort(distance, kind="stable")[: max(1, round(share * len(rows)))])]
