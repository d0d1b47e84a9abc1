"""The mouth in training: lips that touch, and what is seen between parted lips."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor

# iBUG-68: the inner lip line from corner to corner and the points above and below each other.
INNER_LIPS = tuple(range(60, 68))
FACING = ((61, 67), (62, 66), (63, 65))
# Outer corner, inner corner, next point of the upper lip; where the inner corner lies between the two.
CORNERS = ((48, 60, 61), (54, 64, 63))
CORNER_SHARE = 0.55
# How much the mean of many mouths is sharpened, and at what scale in pixels of a 256 px crop.
SHARPEN = 1.0
SHARPEN_SCALE = 1.6


def closed(landmarks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the landmarks with lips that cross put together: a warp through crossing points would fold.

    Where the lower lip passes the upper one it is hidden behind it, so the upper lip's edge is the lip line. The
    inner corners of such a mouth are put back on the line from the outer corner to the lips.
    """
    points = landmarks.copy()
    crossed = [pair for pair in FACING if points[pair[1], 1] < points[pair[0], 1]]
    for upper, lower in crossed:
        points[lower] = points[upper]
    if len(crossed) == len(FACING):
        for corner, inner, beside in CORNERS:
            points[inner] = points[corner] + CORNER_SHARE * (points[beside] - points[corner])
    return points


def inside_mouth(landmarks: npt.NDArray[np.float64], size: int) -> Tensor:
    """Return the share of each pixel that lies between the lips, (1, S, S) float64 in [0, 1]."""
    canvas = np.zeros((size * 4, size * 4), np.uint8)
    outline = np.round(((landmarks[list(INNER_LIPS)] + 0.5) * 4 - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [outline], 255, shift=4)
    share = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(share.astype(np.float64) / 255)[None]


def sharpen_inside(bias: Tensor, inside: Tensor) -> Tensor:
    """Return the bias with the mean mouth sharpened where ``inside`` is 1: the mean of many mouths is soft.

    Args:
        bias: (C, S, S).
        inside: (1, S, S) in [0, 1].
    """
    sigma = SHARPEN_SCALE * bias.shape[-1] / 256
    window = 2 * int(3 * sigma) + 1
    soft = gaussian_blur2d(bias[None], (window, window), (sigma, sigma))[0]
    return bias + SHARPEN * inside * (bias - soft)
