"""Shade: what a linear model changes on skin, as a change of the light on it.

``y = gain * x + offset`` is fitted to the skin of many people. Applied pixel by pixel it makes dark details of a face
paler: brows, lashes, stubble, moles. A change of light does not do that. So the model is applied to the skin around a
detail, and the detail becomes darker or lighter by the same factor as this skin.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from sargan_core.faces.tone import luma

# Width of what counts as a detail on skin, a brow at most, and of the blur after it, as fractions of the crop's side.
DETAIL, SOFT = 0.07, 0.015
# Least lightness of skin, and bounds of the factor.
DARKEST = 0.04
FACTORS = (0.4, 2.0)


def light_factor(image: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    """Return the factor by which ``gain * x + offset`` changes the light on the skin at each pixel, (1, 1, S, S).

    Args:
        image: (1, 3, S, S) RGB in [0, 1].
        gain: (1, C, S, S), C = 1 or 3.
        offset: (1, 3, S, S).
    """
    skin = _skin_light(image)
    return ((gain.mean(1, keepdim=True) * skin + luma(offset)) / skin).clamp(*FACTORS)


def _skin_light(image: Tensor) -> Tensor:
    """Return the lightness of the skin around and below darker details, (1, 1, S, S)."""
    light = luma(image)[0, 0].cpu().numpy()
    size = light.shape[-1]
    reach = 2 * round(DETAIL * size / 2) + 1
    closed = cv2.morphologyEx(light, cv2.MORPH_CLOSE, np.ones((reach, reach), np.uint8))
    soft = cv2.GaussianBlur(closed, (0, 0), SOFT * size)
    return torch.from_numpy(np.maximum(soft, DARKEST)).to(image)[None, None]
