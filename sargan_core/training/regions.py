"""Regions of the face in the fit of the pixel model: where it may change anything, and what a mouth shows."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor

from sargan_core.faces.blend import crop_mask

# Height of the forehead above the brows, and the width over which changes fade towards the face's outline, as
# fractions of the crop's side.
FOREHEAD = 0.14
FACE_FEATHER = 0.05
# How many mouths the shown one is the mean of; how much it is sharpened, at what scale in pixels of a 256 px crop.
TYPICAL_MOUTHS = 6
SHARPEN = 0.6
SHARPEN_SCALE = 1.6
# The rim of the opening lies in the lips' shadow: its width as a fraction of the crop's side, and its light.
RIM = 0.016
RIM_LIGHT = 0.45


def typical_mouth(mouths: Tensor, inside: Tensor) -> Tensor:
    """Return what to show between the lips: the mean of the few targets nearest the mean, shaded at the rim.

    The mean of all mouths is a grey band; a few that look alike keep their teeth.

    Args:
        mouths: (N, 3, S, S) float16 in [0, 1], freed of shape, so that their openings coincide; 0 outside.
        inside: (1, S, S) in [0, 1].
    """
    mean = mouths.float().mean(0)
    distances = torch.stack([((one.float() - mean) ** 2).sum() for one in mouths])
    nearest = distances.topk(min(TYPICAL_MOUTHS, len(mouths)), largest=False).indices
    picture = mouths[nearest].double().mean(0)
    sigma = SHARPEN_SCALE * inside.shape[-1] / 256
    window = 2 * int(3 * sigma) + 1
    soft = gaussian_blur2d(picture[None], (window, window), (sigma, sigma))[0]
    depth = cv2.distanceTransform(
        (inside[0].numpy() > 0.5).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
    )
    rim = np.clip(depth / (RIM * inside.shape[-1]), 0, 1)
    shade = torch.from_numpy(RIM_LIGHT + (1 - RIM_LIGHT) * rim.astype(np.float64))
    return (picture + SHARPEN * (picture - soft)).clamp(0, 1) * shade


def face_mask(landmarks: npt.NDArray[np.float64], size: int) -> Tensor:
    """Return where coefficients may change a pixel: 1 on the face, fading to 0 at its outline, (1, S, S) float64.

    The hull of the landmarks with the forehead above the brows, and nothing beyond it: what the pairs say about hair,
    neck and background is chance.
    """
    forehead = landmarks[17:27] - [0.0, FOREHEAD * size]
    hull = cv2.convexHull(np.concatenate([landmarks, forehead]).astype(np.float32))
    canvas = np.zeros((size, size), np.float32)
    cv2.fillConvexPoly(canvas, np.round(hull * 16).astype(np.int32), 1.0, shift=4)
    distance = cv2.distanceTransform(canvas.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    ramp = np.clip(distance / (FACE_FEATHER * size), 0, 1).astype(np.float64)
    return torch.from_numpy(ramp * ramp * (3 - 2 * ramp))[None] * crop_mask(size)[0].double()
