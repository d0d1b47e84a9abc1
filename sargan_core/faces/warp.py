"""Dense displacement fields in crop pixels: sampling, inversion, interpolation between landmarks.

Convention: a field is (B, 2, H, W), channel 0 = x, 1 = y, in pixels whose centres lie at integers. It is a *backward*
field: the picture it makes has at ``p`` what the original has at ``p + field(p)``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from kornia.geometry.transform import remap
from kornia.utils import create_meshgrid
from scipy.interpolate import RBFInterpolator
from torch import Tensor

# Splines are solved on a coarse lattice and interpolated: nothing in them is finer than the landmarks' spacing.
LATTICE_STEP = 4


def positions(field: Tensor) -> Tensor:
    """Return ``p + field(p)`` for every pixel: (B, 2, H, W)."""
    height, width = field.shape[-2:]
    grid = create_meshgrid(height, width, normalized_coordinates=False, device=field.device, dtype=field.dtype)
    return field + grid.permute(0, 3, 1, 2)


def sample(image: Tensor, where: Tensor, mode: str = "bilinear") -> Tensor:
    """Return ``image`` at the positions ``where``.

    Args:
        image: (B, C, H, W).
        where: (B, 2, h, w) pixels of ``image``; outside it the border is repeated.
        mode: ``bilinear``, ``bicubic`` or ``nearest``.

    Returns:
        (B, C, h, w).
    """
    count = max(len(image), len(where))
    image = image.expand(count, -1, -1, -1)
    where = where.expand(count, -1, -1, -1).to(image.dtype)
    return remap(image, where[:, 0], where[:, 1], mode=mode, padding_mode="border", align_corners=True)


def invert(field: Tensor, steps: int = 12, damping: float = 1.0) -> Tensor:
    """Return the field ``g`` with ``g(p) = -field(p + g(p))`` by fixed-point iteration.

    Args:
        field: (B, 2, H, W), without folds.
        steps: iterations; ``damping`` < 1 makes steep fields converge.
    """
    inverse = -field
    for _ in range(steps):
        inverse = torch.lerp(inverse, -sample(field, positions(inverse)), damping)
    return inverse


def border_ring(size: int) -> npt.NDArray[np.float64]:
    """Return 24 points evenly on the border of an S x S crop, (24, 2): where splines are held still."""
    edge = np.linspace(0, size - 1, 7)
    sides = [np.stack([edge, np.full(7, y)], 1) for y in (0.0, size - 1.0)]
    sides += [np.stack([np.full(5, x), edge[1:-1]], 1) for x in (0.0, size - 1.0)]
    return np.concatenate(sides)


def spline_field(
    points: npt.ArrayLike, values: npt.ArrayLike, size: int, smoothing: float = 0.0
) -> npt.NDArray[np.float32]:
    """Return the thin-plate spline through scattered displacements, held still on the crop's border.

    Args:
        points: (N, 2) crop pixels.
        values: (N, 2) displacement at each point.
        size: side S of the crop.
        smoothing: how far the spline may miss the values, in the units of a 256 px crop; 0 = not at all.

    Returns:
        (2, S, S) float32.
    """
    ring = border_ring(size)
    where = np.concatenate([np.asarray(points, dtype=np.float64), ring])
    known = np.concatenate([np.asarray(values, dtype=np.float64), np.zeros_like(ring)])
    spline = RBFInterpolator(
        where, known, kernel="thin_plate_spline", smoothing=smoothing * (size / 256) ** 2
    )
    count = size // LATTICE_STEP + 1
    ticks = np.linspace(0, size - 1, count)
    x, y = np.meshgrid(ticks, ticks)
    coarse = spline(np.stack([x.ravel(), y.ravel()], 1)).T.reshape(1, 2, count, count)
    lattice = torch.from_numpy(np.ascontiguousarray(coarse))
    dense = torch.nn.functional.interpolate(lattice, (size, size), mode="bicubic", align_corners=True)
    result: npt.NDArray[np.float32] = dense[0].numpy().astype(np.float32)
    return result
