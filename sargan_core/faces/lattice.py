"""What a crop says about each pixel of a photo, worked out on a lattice and read between its nodes.

A crop is coarser than the photo that it lies in, so nothing in it changes much from one pixel of the photo to the next.
The crop's position is worked out at every second node, its layers are read at the nodes, and both are filled in between
them by straight lines. Rows and columns of the lattice count from the corner of the part that is pasted, so that its
bands fit together. Conventions of coordinates: see ``faces/align.py``.
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

# Crops are enlarged up to this much before they are read with straight lines: bicubic at every node would take four
# times as long and differ by less than a level.
FINER = 4
# Distance in pixels of the crop up to which its position is worked out at every second node only.
COARSE = 0.75
# Distance of the nodes in pixels of the crop, at most; they lie on each pixel of the photo where that is wider.
SPACING = 0.36
# Movement in crop pixels below which a pixel counts as unmoved.
STILL = 1e-3


@dataclass(frozen=True)
class Band:
    """Rows of the photo as the crop sees them.

    Attributes:
        box: x0, y0, x1, y1 photo pixels, (H, W) in all: beyond these columns the mask is 0.
        values: the layers at each pixel, (H, W) float32 each.
        displacement: columns and rows by which the content of each pixel lies elsewhere in the photo, (H, W) float32
            photo pixels each; None = nowhere.
        nodes: (h, w, 2) float32 crop pixels (x, y) of the nodes, with one node more on every side than pixels need.
        step: pixels of the photo from node to node.
    """

    box: tuple[int, int, int, int]
    values: list[Plane]
    displacement: tuple[Plane, Plane] | None
    nodes: Plane
    step: int

    def places(self, x0: int, y0: int, x1: int, y1: int) -> Tensor:
        """Return the crop's positions of a part of the band, counted from its corner: (1, 2, y1 - y0, x1 - x0)."""
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
        factor: by how much.
        matrix: (2, 2) float32, from crop pixels to photo pixels, without shift and spline.
        coarse: (h, w, 2) float32, the crop's positions at every ``every``-th node, with one more on every side.
        unmoved: (h, w) float32 each, what the alignment's spline adds there to the displacement, in photo pixels;
            None = nothing is displaced. Otherwise the last two layers are a backward field in crop pixels: the content
            of ``v`` came from ``v + field(v)``.
        touched: (h, w) bool, where the mask is not 0.
        region: x0, y0, x1, y1 photo pixels.
        step: pixels of the photo from node to node.
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

        The fifth is the mask; the last two are a field if the crop is ``moving``.
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
        """Rows of the photo that make one row of coarse nodes; bands begin at multiples of them."""
        return self.every * self.step

    def band(self, top: int, bottom: int) -> Band | None:
        """Return the rows from ``top`` up to ``bottom`` of the photo; None where nothing is touched."""
        (x0, y0, x1, _), cell, step = self.region, self.rows, self.step
        rows = slice((top - y0) // cell, -(-(bottom - y0) // cell) + 2)
        seen = np.flatnonzero(self.touched[rows].any(0))
        if not len(seen):
            return None
        # One node more on both sides: the mask may begin between two of them.
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
        """Return the layers at places (h, w, 2) of the crop, (h, w) each."""
        # Four layers side by side in memory, of which OpenCV reads a 32nd of a pixel beside the place at most: torch,
        # which reads one at a time, takes twice as long.
        where = places * np.float32(self.factor) + np.float32((self.factor - 1) / 2)
        read = [
            cv2.remap(group, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for group in self.layers
        ]
        return [plane for group in read for plane in cv2.split(group)]


def _unmoved(
    places: Plane, flow: Tensor, alignment: Alignment, columns: Array, rows: Array
) -> tuple[Plane, Plane]:
    """Return ``Lattice.unmoved`` for nodes at these columns (w,) and rows (h,) of the photo."""
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
    """Return (C, S, S) as (factor * S, factor * S, C): bicubic; a pixel's middle becomes that of factor x factor."""
    side = factor * layers.shape[-1]
    large: Plane = cv2.resize(cv2.merge(list(layers)), (side, side), interpolation=cv2.INTER_CUBIC)
    return large


def _nodes(coarse: Plane, every: int) -> Plane:
    """Return all nodes, with one more on every side, of every ``every``-th one."""
    return coarse if every == 1 else _between(coarse, 2)[1:-1, 1:-1]


def _between(nodes: Plane, factor: int) -> Plane:
    """Return (h, w, ...) nodes as (factor * h, factor * w, ...): each is the middle of factor x factor places."""
    if factor == 1:
        return nodes
    dense: Plane = cv2.resize(nodes, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    return dense


def _pixels(nodes: Plane, step: int, size: tuple[int, int]) -> Plane:
    """Return a plane at each of ``size`` pixels, of nodes with one more on every side."""
    dense: Plane = _between(nodes, step)[step : step + size[0], step : step + size[1]]
    return dense


def _read(planes: Tensor, places: Plane, size: int) -> Plane:
    """Return (C, S, S) at places (h, w, 2) of a crop of ``size`` S pixels, (C, h, w)."""
    # As torch wants it: -1 and +1 are the middles of the first and the last pixel.
    grid = torch.from_numpy(places * np.float32(2 / (size - 1)) - np.float32(1))[None]
    read = grid_sample(planes[None], grid, mode="bilinear", padding_mode="border", align_corners=True)
    values: Plane = read[0].numpy()
    return values
