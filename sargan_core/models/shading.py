"""Shading by motion: folds and shadows that come with a movement of the landmarks, as a linear function of it.

Ours, a continuous relative of the pixel model's per-expression coefficients: the logarithm of how much lighter or
darker a pixel gets is a sum of pictures, each weighted by one way in which the landmarks have moved. No movement, no
change; and since it multiplies, the skin keeps its colour and grain.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

Points = npt.NDArray[np.float64]

# No fold is darker and no highlight brighter than this, as natural logarithms.
LIMITS = (-0.6, 0.4)


class Shading(nn.Module):
    """Holds the ways of moving and their pictures.

    Args:
        basis: (K, 136) ways of moving, of length 1; x and y of each landmark in turn, as fractions of the crop's side.
        pictures: (K, 1, s, s) log luminance change for a movement of 1 along each.
    """

    def __init__(self, basis: Tensor, pictures: Tensor) -> None:
        super().__init__()
        self.register_buffer("basis", basis.float())
        self.register_buffer("pictures", pictures.float())

    def forward(self, motion: Points, size: int) -> Tensor:
        """Return the factor (1, 1, S, S) on each pixel's light for a (68, 2) motion in pixels of an S x S crop."""
        basis, pictures = self.get_buffer("basis"), self.get_buffer("pictures")
        moved = torch.from_numpy((motion / size).ravel()).to(basis)
        change = torch.einsum("k,kchw->chw", basis @ moved, pictures)[None].clamp(*LIMITS)
        return functional.interpolate(change, (size, size), mode="bilinear", align_corners=False).exp()
