"""Dense displacement fields in crop pixels: sampling, inversion, interpolation between landmarks.

Convention: a field is (B, 2, H, W), channel 0 = x, 1 = y, in pixels with centres at integers. It is a *backward* field:
the new picture shows at ``p`` what the original shows at ``p + field(p)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

# Splines are evaluated on a coarse lattice and interpolated; they are not finer than the landmarks' spacing.
LATTICE_STEP = 4
# Side in pixels below which no field is inverted at half its size; and iterations that follow at the whole size.
SMALLEST = 32
FULL_STEPS = 2
# Fixed-point iterations of ``partial_pull``.
PULL_STEPS = 24


def positions(field: Tensor) -> Tensor:
    """Return ``p + field(p)`` for every pixel: (B, 2, H, W)."""
    rows, columns = (torch.arange(side, device=field.device, dtype=field.dtype) for side in field.shape[-2:])
    return torch.stack([field[:, 0] + columns, field[:, 1] + rows[:, None]], dim=1)


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
    # Normalising one plane at a time takes half as long as both together.
    planes = [
        plane * (2 / (side - 1)) - 1 if side > 1 else plane
        for plane, side in zip(where.unbind(1), image.shape[:1:-1], strict=True)
    ]
    return _read(image, planes, mode)


def displaced(image: Tensor, field: Tensor) -> Tensor:
    """Return ``sample(image, positions(field))`` of one picture (1, C, H, W) and a field of its size, but sooner."""
    planes = [
        plane * (2 / (side - 1)) + _ticks(side, axis, plane.dtype, plane.device)
        for plane, side, axis in zip(field.unbind(1), image.shape[:1:-1], (1, 0), strict=True)
    ]
    return _read(image, planes, "bilinear")


@lru_cache(maxsize=16)
def _ticks(side: int, axis: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the centres of ``side`` pixels as torch counts them, from -1 to 1, as a column (axis 0) or a row (1)."""
    ticks = torch.linspace(-1, 1, side, dtype=dtype, device=device)
    return ticks[:, None] if axis == 0 else ticks


def _read(image: Tensor, where: Sequence[Tensor], mode: str) -> Tensor:
    """Return (B, C, H, W) at positions x and y, (B, h, w) each, where -1 and +1 are first and last pixel."""
    x, y = where
    plain = x.device.type == "cpu" and x.dtype == torch.float32 and not (x.requires_grad or y.requires_grad)
    if plain and len(x) == 1:
        # OpenCV interleaves planes several times as fast as torch.
        grid = torch.from_numpy(cv2.merge([x[0].numpy(), y[0].numpy()]))[None]
    else:
        grid = torch.stack([x, y], dim=-1)
    return grid_sample(image, grid, mode=mode, padding_mode="border", align_corners=True)


def invert(field: Tensor, steps: int = 8, damping: float = 1.0) -> Tensor:
    """Return the field ``g`` with ``g(p) = -field(p + g(p))`` by fixed-point iteration.

    Args:
        field: (B, 2, H, W), smooth and without folds.
        steps: iterations, most of them at half the size.
        damping: size of each step; below 1, steep fields converge too.
    """
    height, width = field.shape[-2:]
    if min(height, width) < 2 * SMALLEST:
        return _inverted(-field, field, steps, damping)
    # Pixels of the half for one of the whole: the first and last ones lie on each other.
    half = (height // 2, width // 2)
    ratio = (
        torch.tensor([(half[1] - 1) / (width - 1), (half[0] - 1) / (height - 1)]).to(field).view(1, 2, 1, 1)
    )
    small = interpolate(field, half, mode="bilinear", align_corners=True) * ratio
    coarse = _inverted(-small, small, steps, damping) / ratio
    start = enlarged(coarse, (height, width))
    return _inverted(start, field, FULL_STEPS, damping)


def _inverted(inverse: Tensor, field: Tensor, steps: int, damping: float) -> Tensor:
    for _ in range(steps):
        inverse = torch.lerp(inverse, -displaced(field, inverse), damping)
    return inverse


def partial_pull(full: Tensor, strength: float) -> Tensor:
    """Return the field (1, 2, S, S) from an edit of some strength to the places of its content in the full edit.

    The full backward field ``d`` takes the content of ``q`` from ``q + d(q)``. At strength s this content is at
    ``p = q + (1 - s) d(q)``. The result is ``q - p`` at ``p``, by fixed-point iteration.
    """
    pull = torch.zeros_like(full)
    if strength == 1.0:
        return pull
    for _ in range(PULL_STEPS):
        pull = torch.lerp(pull, -(1 - strength) * displaced(full, pull), 0.6)
    return pull


def smallest_area(field: npt.NDArray[np.float32]) -> float:
    """Return the smallest area of a pixel under ``p + field(p)`` of a (2, H, W) field; negative where it folds."""
    x_x, x_y = np.diff(field[0], axis=1)[:-1], np.diff(field[0], axis=0)[:, :-1]
    y_x, y_y = np.diff(field[1], axis=1)[:-1], np.diff(field[1], axis=0)[:, :-1]
    return float(((1 + x_x) * (1 + y_y) - x_y * y_x).min())


def border_ring(size: int) -> npt.NDArray[np.float64]:
    """Return 24 evenly spaced points on the border of an S x S crop, (24, 2), where splines are 0."""
    edge = np.linspace(0, size - 1, 7)
    sides = [np.stack([edge, np.full(7, y)], 1) for y in (0.0, size - 1.0)]
    sides += [np.stack([np.full(5, x), edge[1:-1]], 1) for x in (0.0, size - 1.0)]
    return np.concatenate(sides)


def spline_field(
    points: npt.ArrayLike, values: npt.ArrayLike, size: int, smoothing: float = 0.0
) -> npt.NDArray[np.float32]:
    """Return the thin-plate spline through scattered displacements, 0 on the crop's border.

    Args:
        points: (N, 2) crop pixels.
        values: (N, 2) displacement at each point.
        size: side S of the crop.
        smoothing: how far the spline may miss the values, for a 256 px crop; 0 = not at all.

    Returns:
        (2, S, S) float32.
    """
    places = np.ascontiguousarray(points, dtype=np.float64)
    operator = _spline_operator(places.tobytes(), size, smoothing)
    count = size // LATTICE_STEP + 1
    coarse = (operator @ np.asarray(values, dtype=np.float64)).T.astype(np.float32)
    lattice = torch.from_numpy(coarse).view(1, 2, count, count)
    result: npt.NDArray[np.float32] = enlarged(lattice, (size, size))[0].numpy()
    return result


def enlarged(field: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (B, C, h, w) enlarged bicubically to ``size``; the first and last pixels lie on each other."""
    down, across = (
        _bicubic(old, new, field.dtype).to(field.device)
        for old, new in zip(field.shape[2:], size, strict=True)
    )
    # Two products of matrices take a tenth of the time of the library's own enlargement.
    return down @ field @ across.T


@lru_cache(maxsize=16)
def _bicubic(old: int, new: int, dtype: torch.dtype) -> Tensor:
    """Return the matrix that enlarges ``old`` values to ``new`` as the library's bicubic interpolation does."""
    unit = torch.eye(old, dtype=torch.float64)[None, None]
    return interpolate(unit, (new, old), mode="bicubic", align_corners=True)[0, 0].to(dtype)


@lru_cache(maxsize=32)
def _spline_operator(points: bytes, size: int, smoothing: float) -> npt.NDArray[np.float64]:
    """Return the matrix from values at N points to the spline on the lattice, (L * L, N).

    A spline is linear in its values, and a template's points are the same for every face, so it is computed once.
    """
    places = np.frombuffer(points, dtype=np.float64).reshape(-1, 2)
    known = np.concatenate([places, border_ring(size)])
    ticks = np.linspace(0, size - 1, size // LATTICE_STEP + 1)
    x, y = np.meshgrid(ticks, ticks)
    return thin_plate_operator(known, np.stack([x.ravel(), y.ravel()], 1), smoothing * (size / 256) ** 2)[
        :, : len(places)
    ]


def thin_plate_operator(
    known: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64], smoothing: float
) -> npt.NDArray[np.float64]:
    """Return the matrix from values at known points to the thin-plate spline at wanted ones, (M, N).

    The same spline as ``scipy.interpolate.RBFInterpolator(kernel="thin_plate_spline")``, whose import alone takes
    longer than an edit.

    Args:
        known: (N, 2) points that are not all on a line.
        wanted: (M, 2) points.
        smoothing: 0 = through the values.
    """
    count = len(known)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _thin_plate(known, known) + smoothing * np.eye(count)
    system[:count, count:] = _linear(known)
    system[count:, :count] = _linear(known).T
    weights = np.linalg.solve(system, np.eye(count + 3)[:, :count])
    return np.concatenate([_thin_plate(wanted, known), _linear(wanted)], axis=1) @ weights


def _thin_plate(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    squared = ((one[:, None] - other[None]) ** 2).sum(-1)
    return 0.5 * squared * np.log(np.where(squared > 0, squared, 1.0))


def _linear(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.concatenate([np.ones((len(points), 1)), points], axis=1)
