"""Fitting of the shading: ridge regression from the motion of the landmarks to the change of the light."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor

from sargan_core.data.samples import SYNTH
from sargan_core.faces.carry import Seen, carry
from sargan_core.faces.eyes import eyes_region
from sargan_core.faces.mouth import lips_region
from sargan_core.faces.outline import face_mask
from sargan_core.models.shading import LIMITS, Shading
from sargan_core.progress import Progress
from sargan_core.training.aipgan_data import ExpressionCrops

Points = npt.NDArray[np.float64]

# Ways of moving that are told apart: a few more than the eye does.
WAYS = 20
# Added to light before its logarithm, so that noise in dark hair counts for little.
FLOOR = 0.04
# Folds narrower than this, in pixels of a 128 px crop, are left to the grain of the skin.
BLUR = 1.0
# How much of the lips takes part: their colour is their own.
LIPS_SHARE = 0.35
# Ridge penalty as a share of the mean variance of a way of moving.
PENALTY = 0.02


def fit_shading(crops: ExpressionCrops, progress: Progress = lambda done, total: None) -> Shading:
    """Fit the shading to people seen neutral and with an expression.

    Args:
        crops: training people; real photos only are used where there are any, because rendered faces teach shape,
            not the look of skin.
        progress: called with (done, total).
    """
    real = crops.sources != SYNTH
    moved = crops.neutral != np.arange(len(crops))
    rows = np.flatnonzero(moved & real if (moved & real).any() else moved)
    size = crops.template.size
    motions = (crops.motions[rows].reshape(len(rows), -1) / size).astype(np.float64)
    basis = np.linalg.svd(motions, full_matrices=False)[2][:WAYS]
    known = motions @ basis.T
    gram = known.T @ known
    gram += PENALTY * np.trace(gram) / len(gram) * np.eye(len(gram))
    sums = torch.zeros(len(basis), size, size)
    for done, (row, weights) in enumerate(zip(rows, known, strict=True), start=1):
        change = _log_change(crops, int(row))
        sums += torch.from_numpy(weights).float()[:, None, None] * change
        progress(done, len(rows))
    pictures = torch.linalg.solve(torch.from_numpy(gram).float(), sums.flatten(1)).view(
        len(basis), 1, size, size
    )
    return Shading(torch.from_numpy(basis).float(), pictures)


def _log_change(crops: ExpressionCrops, row: int) -> Tensor:
    """Return the logarithm of the light after over before, landmarks in the same places, (S, S) on the face."""
    before, after = seen(crops, int(crops.neutral[row])), seen(crops, row)
    size = crops.template.size
    carried = carry(before, after.landmarks, after)
    ratio = torch.log((_light(after.image) + FLOOR) / (_light(carried.image) + FLOOR)).clamp(*LIMITS)
    still = (1 - eyes_region(after.landmarks, size)) * (1 - carried.inside[0])
    mask = (
        face_mask(after.landmarks, size) * still * (1 - (1 - LIPS_SHARE) * lips_region(after.landmarks, size))
    )
    sigma = BLUR * size / 128
    window = 2 * int(2 * sigma + 0.5) + 1
    soft = gaussian_blur2d(ratio * still[None].float(), (window, window), (sigma, sigma))
    return soft[0, 0] * mask[0].float()


def seen(crops: ExpressionCrops, row: int) -> Seen:
    """Return one crop with its landmarks."""
    image = torch.from_numpy(crops.images[row])[None].float() / 255
    return Seen(image, crops.landmarks[row].astype(np.float64))


def _light(image: Tensor) -> Tensor:
    weights = image.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (image * weights).sum(1, keepdim=True)
