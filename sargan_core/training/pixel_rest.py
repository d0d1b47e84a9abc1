"""What a pixel model knows of neutral faces: a regression from landmarks to where they rest."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sargan_core.data.crop_set import CropSet
from sargan_core.expressions import Expression
from sargan_core.training.pixel_pairs import pair_rows, with_landmarks

# Ridge penalty (coordinates are fractions of the side).
PENALTY = 0.02


def fit_rest(crops: CropSet, size: int) -> tuple[Tensor, Tensor]:
    """Fit the ridge regression from a face's landmarks to the motion that makes them neutral.

    Args:
        crops: pairs to neutral, and neutral faces of their own, which must stay.
        size: crop side; coordinates are divided by it.

    Returns:
        (137, 136) matrix, the last row for the constant, and the root mean square motion that it wrongly gives
        to neutral faces, as a fraction of the side.
    """
    rows = with_landmarks(crops, pair_rows(crops, Expression.NEUTRAL))
    neutral = np.flatnonzero(crops.own & (crops.labels == Expression.NEUTRAL.label))
    neutral = neutral[np.isfinite(crops.landmarks[neutral]).all((1, 2))]
    moves = crops.landmarks[rows[:, 1]] - crops.landmarks[rows[:, 0]]
    repeats = max(1, len(rows) // (3 * max(1, len(neutral))))
    still = np.repeat(neutral, repeats)
    known = np.concatenate([crops.landmarks[rows[:, 0]], crops.landmarks[still]]).reshape(-1, 136) / size
    wanted = np.concatenate([moves.reshape(-1, 136), np.zeros((len(still), 136))]) / size
    known = np.concatenate([known, np.ones((len(known), 1))], axis=1).astype(np.float64)
    gram = known.T @ known + PENALTY * np.diag([1.0] * 136 + [0.0])
    matrix = np.linalg.solve(gram, known.T @ wanted)
    wrong = known[len(rows) :] @ matrix if len(still) else np.zeros((1, 136))
    noise = float(np.sqrt((wrong**2).mean()))
    return torch.from_numpy(matrix), torch.tensor(noise)
