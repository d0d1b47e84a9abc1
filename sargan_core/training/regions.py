"""What a mouth shows in the fit of the pixel model."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor

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
