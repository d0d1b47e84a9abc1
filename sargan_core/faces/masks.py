"""Where a face is in its crop: the window of every edit, and the outline that models keep to."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sargan_core.faces.blur import smooth_step

# Fraction of half the crop's side over which the window fades at its border.
FEATHER = 0.14
# Height of the forehead above the brows, and width of the fade-out at the face's outline, as fractions of the crop's
# side.
FOREHEAD = 0.14
FACE_FEATHER = 0.05


@lru_cache(maxsize=8)
def crop_mask(size: int) -> Tensor:
    """Return the soft mask of a crop: 1 on the face, 0 at the border, (1, 1, S, S) float32.

    A rounded square, because every face has the same place in the template; with room for an open jaw.
    """
    ticks = (torch.arange(size, dtype=torch.float32) + 0.5) / size * 2 - 1
    reach = (ticks.abs()[:, None] ** 5 + ticks.abs()[None, :] ** 5) ** 0.2
    ramp = ((1 - reach) / FEATHER).clamp(0, 1)
    return smooth_step(ramp)[None, None]


def face_mask(landmarks: npt.NDArray[np.float64], size: int) -> Tensor:
    """Return the mask of the face: 1 inside, fading to 0 at its outline, (1, S, S) float64.

    The hull of the landmarks and the forehead above the brows. Hair, neck and background stay outside, because their
    differences between training photos are chance.
    """
    return _face_mask(np.asarray(landmarks, dtype=np.float64).tobytes(), size)


# Most faces of a batch are edited towards the same landmarks.
@lru_cache(maxsize=16)
def _face_mask(points: bytes, size: int) -> Tensor:
    landmarks = np.frombuffer(points, dtype=np.float64).reshape(-1, 2)
    forehead = landmarks[17:27] - [0.0, FOREHEAD * size]
    hull = cv2.convexHull(np.concatenate([landmarks, forehead]).astype(np.float32))
    canvas = np.zeros((size, size), np.float32)
    cv2.fillConvexPoly(canvas, np.round(hull * 16).astype(np.int32), 1.0, shift=4)
    distance = cv2.distanceTransform(canvas.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    ramp = np.clip(distance / (FACE_FEATHER * size), 0, 1).astype(np.float64)
    return torch.from_numpy(smooth_step(ramp))[None] * crop_mask(size)[0].double()
