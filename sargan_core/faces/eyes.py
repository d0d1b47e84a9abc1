"""The eyes: their whites tell the colour of the light, which teeth share."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

# iBUG-68: the lids of both eyes.
EYES = (tuple(range(36, 42)), tuple(range(42, 48)))
# The brightest share of the pixels between the lids is taken for the white.
WHITE_SHARE = 0.2
# Rim of the lids that goes with the eyes, as a fraction of the crop's side.
EYES_MARGIN = 0.006


def eye_regions(landmarks: npt.NDArray[np.float64], size: int) -> Tensor:
    """Return the pixels between the lids of both eyes, (S, S) bool; landmarks are (68, 2) crop pixels."""
    canvas = np.zeros((size, size), np.uint8)
    for eye in EYES:
        cv2.fillPoly(canvas, [np.round(landmarks[list(eye)] * 16).astype(np.int32)], 1, shift=4)
    return torch.from_numpy(canvas.astype(bool))


def eyes_region(landmarks: npt.NDArray[np.float64], size: int) -> Tensor:
    """Return where the openings of the eyes are, (1, S, S) float64 in [0, 1], a little widened, with a soft edge."""
    canvas = eye_regions(landmarks, size).numpy().astype(np.float32)
    reach = 2 * round(EYES_MARGIN * size) + 1
    canvas = cv2.dilate(canvas, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    canvas = cv2.GaussianBlur(canvas, (0, 0), EYES_MARGIN * size)
    return torch.from_numpy(canvas.astype(np.float64))[None]


def eye_white(image: Tensor, regions: Tensor) -> Tensor:
    """Return the mean colour of the brightest pixels between the lids, (3,) in [0, 1].

    Args:
        image: (3, S, S) RGB in [0, 1].
        regions: (S, S) bool; where it is empty the whole crop counts.
    """
    pixels = image[:, regions.to(image.device)] if bool(regions.any()) else image.flatten(1)
    count = max(1, int(WHITE_SHARE * pixels.shape[1]))
    brightest = pixels.mean(0).topk(count).indices
    return pixels[:, brightest].mean(1)
