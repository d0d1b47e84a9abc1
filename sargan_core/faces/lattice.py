"""Sample a crop at every pixel of a photo, quickly: on a lattice, with linear interpolation between its nodes.

A crop is coarser than its photo, so nothing in it changes much from one photo pixel to the next. Crop positions are
computed at every second node, the crop's layers are sampled at all nodes, and both are interpolated linearly between
them. Rows and columns of the lattice count from the corner of the pasted part, so that bands fit together.
Conventions of coordinates: see ``faces/align.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from sargan_core.faces.align import Alignment, to_square

Plane = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]

# Crops are enlarged by up to this factor, then sampled linearly: bicubic sampling at every node would take four times
# as long and differ by less than a level.
FINER = 4
# Largest distance of nodes, in crop pixels, at which positions are computed at every second node only.
COARSE = 0.75
# Largest distance of the nodes in crop pixels; where photo pixels are wider, every pixel is a node.
SPACING = 0.36
# Movement in crop pixels below which a pixel counts as unmoved.
STILL = 1e-3


@dataclass(frozen=True)
class Band:
    """Some rows of the photo with the crop sampled at each pixel.

    Attributes:
        box: x0, y0, x1, y1 photo pixels, of size (H, W); outside these columns the mask is 0.
        values: the layers at each pixel, (H, W) float32 each.
        displacement: x and y from each pixel to where its content comes from, (H, W) float32 photo pixels each; None =
            nothing moves.
        nodes: (h, w, 2) float32 crop positions (x, y) of the nodes, with one extra node on every side.
        step: photo pixels from node to node.
    """

    box: tuple[int, int, int, int]
    values: list[Plane]
    displacement: tuple[Plane, Plane] | None
    nodes: Plane
    step: int

    def places(self, x0: int, y0: int, x1: int, y1: int) -> Tensor:
        """Return the crop positions of a part of the band, counted from its corner: (1, 2, y1 - y0, x1 - x0)."""
        step = self.step
        left, top, right, bottom = x0 // step, y0 // step, -(-x1 // step) + 2, -(-y1 // step) + 2
        dense = _between(self.nodes[top:bottom, left:right], step)
        row, column = y0 - (top - 1) * step, x0 - (left - 1) * step
        part = dense[row : row + y1 - y0, column : column + x1 - x0]
        return torch.from_numpy(np.ascontiguousarray(part.transpose(2, 0, 1)))[None]


@dataclass(frozen=True)
class Lattice:
    """A crop's layers over a part of a photo.

    Attributes:
        layers: (N, N, up to 4) float32 each, enlarged.
        factor: of the enlargement.
        matrix: (2, 2) float32, from crop pixels to photo pixels, without shift and spline.
        coarse: (h, w, 2) float32, crop positions of every ``every``-th node, with one extra node on every side.
        unmoved: (h, w) float32 each, x and y that the alignment's spline adds there to the displacement, in photo
            pixels; None = nothing moves. Otherwise the last two layers are a backward field in crop pixels: the
            content of ``v`` came from ``v + field(v)``.
        touched: (h, w) bool, where the mask is not 0.
        region: x0, y0, x1, y1 photo pixels.
        step: photo pixels from node to node.
        every: 1 or 2.
    """

    layers: tuple[Plane, ...]
    factor: int
    matrix: Plane
    coarse: Plane
    unmoved: tuple[Plane, Plane] | None
    touched: npt.NDArray[np.bool_]
    region: tuple[int, int, int, int]
    step: int
    every: int

    @classmethod
    def of(
        cls, layers: Tensor, moving: bool, alignment: Alignment, region: tuple[int, int, int, int]
    ) -> Lattice:
        """Return the lattice of a crop's layers (C, S, S).

        The fifth layer is the mask; if ``moving``, the last two are a backward field in crop pixels.
        """
        size = layers.shape[-1]
        step = max(1, int(SPACING * alignment.scale))
        every = 2 if 2 * step <= COARSE * alignment.scale else 1
        cell = every * step
        columns, rows = (
            np.asarray(
                start + cell * np.arange(-1, -(-(end - start) // cell) + 1) + (cell - 1) / 2, np.float64
            )
            for start, end in (region[::2], region[1::2])
        )
        places = np.empty((len(rows), len(columns), 2), np.float32)
        for axis, (along, down, shift) in enumerate(np.linalg.inv(to_square(alignment.matrix))[:2]):
            places[..., axis] = (along * columns + shift)[None] + (down * rows)[:, None]
        if alignment.inverse is not None:
            places += _read(alignment.inverse[0], places, size).transpose(1, 2, 0)
        unmoved = _unmoved(places, layers[-2:], alignment, columns, rows) if moving else None
        touched = _read(layers[4:5], places, size)[0] > 0
        matrix = alignment.matrix[:, :2].astype(np.float32)
        factor = min(FINER, max(1, round(alignment.scale)))
        groups = tuple(enlarged(group.numpy(), factor) for group in layers.split(4))
        return cls(groups, factor, matrix, places, unmoved, touched, region, step, every)

    @property
    def rows(self) -> int:
        """Photo rows per row of coarse nodes; bands begin at multiples of it."""
        return self.every * self.step

    def band(self, top: int, bottom: int) -> Band | None:
        """Return the photo rows from ``top`` to ``bottom`` (exclusive); None if the mask is 0 in all of them."""
        (x0, y0, x1, _), cell, step = self.region, self.rows, self.step
        rows = slice((top - y0) // cell, -(-(bottom - y0) // cell) + 2)
        seen = np.flatnonzero(self.touched[rows].any(0))
        if not len(seen):
            return None
        # One extra node on both sides: the mask may begin between two nodes.
        first, last = max(1, int(seen[0]) - 1), min(self.coarse.shape[1] - 2, int(seen[-1]) + 1)
        part = (rows, slice(first - 1, last + 2))
        box = (x0 + cell * (first - 1), top, min(x1, x0 + cell * last), bottom)
        size = (bottom - top, box[2] - box[0])
        nodes = _nodes(self.coarse[part], self.every)
        layers = self._at(nodes)
        if self.unmoved is None:
            return Band(box, [_pixels(plane, step, size) for plane in layers], None, nodes, step)
        *layers, flow_x, flow_y = layers
        moves = (np.abs(flow_x) >= STILL) | (np.abs(flow_y) >= STILL)
        displacement = []
        for (along, down), start in zip(self.matrix, self.unmoved, strict=True):
            plane = _nodes(start[part], self.every) + along * flow_x
            plane += down * flow_y
            plane *= moves
            displacement.append(_pixels(plane, step, size))
        values = [_pixels(plane, step, size) for plane in layers]
        return Band(box, values, (displacement[0], displacement[1]), nodes, step)

    def _at(self, places: Plane) -> list[Plane]:
        """Return the layers at crop positions (h, w, 2), (h, w) each."""
        # OpenCV samples four interleaved layers at once, in half the time of torch; it rounds positions to a 32nd of a
        # pixel.
        where = places * np.float32(self.factor) + np.float32((self.factor - 1) / 2)
        read = [
            cv2.remap(group, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for group in self.layers
        ]
        return [plane for group in read for plane in cv2.split(group)]


def _unmoved(
    places: Plane, flow: Tensor, alignment: Alignment, columns: Array, rows: Array
) -> tuple[Plane, Plane]:
    """Return ``Lattice.unmoved`` for nodes at these photo columns (w,) and rows (h,)."""
    x, y = (np.ascontiguousarray(places[..., axis]) for axis in (0, 1))
    if alignment.residual is not None:
        size = alignment.template.size
        source = places + _read(flow, places, size).transpose(1, 2, 0)
        residual = _read(torch.from_numpy(alignment.residual), source, size)
        x, y = x + residual[0], y + residual[1]
    across, down = (
        (one * x + other * y + (shift - at)).astype(np.float32)
        for (one, other, shift), at in zip(alignment.matrix, (columns[None], rows[:, None]), strict=True)
    )
    return across, down


def enlarged(layers: Plane, factor: int) -> Plane:
    """Return (C, S, S) enlarged bicubically, (factor * S, factor * S, C); each pixel becomes factor x factor pixels."""
    side = factor * layers.shape[-1]
    large: Plane = cv2.resize(cv2.merge(list(layers)), (side, side), interpolation=cv2.INTER_CUBIC)
    return large


def _nodes(coarse: Plane, every: int) -> Plane:
    """Return all nodes from every ``every``-th one, with one extra node on every side."""
    return coarse if every == 1 else _between(coarse, 2)[1:-1, 1:-1]


def _between(nodes: Plane, factor: int) -> Plane:
    """Return (h, w, ...) nodes interpolated to (factor * h, factor * w, ...): each is the middle of factor x factor."""
    if factor == 1:
        return nodes
    dense: Plane = cv2.resize(nodes, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    return dense


def _pixels(nodes: Plane, step: int, size: tuple[int, int]) -> Plane:
    """Return a plane at each of ``size`` pixels, from nodes with one extra node on every side."""
    dense: Plane = _between(nodes, step)[step : step + size[0], step : step + size[1]]
    return dense


def _read(planes: Tensor, places: Plane, size: int) -> Plane:
    """Return (C, S, S) sampled at crop positions (h, w, 2), as (C, h, w); ``size`` is S."""
    # For torch -1 and +1 are the centres of the first and the last pixel.
    grid = torch.from_numpy(places * np.float32(2 / (size - 1)) - np.float32(1))[None]
    read = grid_sample(planes[None], grid, mode="bilinear", padding_mode="border", align_corners=True)
    values: Plane = read[0].numpy()
    return values
