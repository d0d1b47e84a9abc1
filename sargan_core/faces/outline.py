"""The outline of the face: inside it an expression may change the picture."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sargan_core.faces.blend import crop_mask

# Height of the forehead above the brows, and the width over which changes fade towards the face's outline, as
# fractions of the crop's side.
FOREHEAD = 0.14
FACE_FEATHER = 0.05


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
