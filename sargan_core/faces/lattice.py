"""Sample a crop at every pixel of a photo, quickly: on lattices, with linear interpolation between their nodes.

A crop is coarser than its photo, so nothing in it changes much from one photo pixel to the next. There are three
lattices, each twice as coarse as the one before where the photo is fine enough: nodes at which colours are sampled,
nodes for what is soft (masks and movement), and nodes at which crop positions are computed.
Rows and columns of the lattices count from the corner of the pasted part, so that bands fit together.
Conventions of coordinates: see ``faces/align.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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
Mask = npt.NDArray[np.bool_]
# Left, top, right and bottom, the latter two exclusive.
Box = tuple[int, int, int, int]

# Crops are enlarged by up to this factor, then sampled linearly: bicubic sampling at every node would take four times
# as long and differ by less than a level.
FINER = 4
# The same for what is soft.
SOFT_FINER = 2
# Largest distance of the nodes in crop pixels: for colours (where photo pixels are wider, every pixel is a node), for
# what is soft, and for positions.
SPACING = 0.36
SOFT = 0.8
COARSE = 0.8
# Movement in crop pixels below which a pixel counts as unmoved.
STILL = 1e-3
# Added colour in levels of the photo, and loss of its detail, from which a pixel counts as painted.
FAINT = 0.02
LOST = 1e-3


@dataclass(frozen=True)
class Layers:
    """What an edit lays over a photo, in crop pixels; S = crop side.

    Attributes:
        made: (1, 3, S, S) float32 levels of the photo, what is added to the photo's own detail.
        keep: (1, 1, S, S) float32, how much of that detail stays.
        mask: (1, 1, S, S) float32, the edit's share.
        flow: (1, 2, S, S) float32 crop pixels: the content of ``v`` came from ``v + flow(v)``; None = nothing moves.
    """

    made: Tensor
    keep: Tensor
    mask: Tensor
    flow: Tensor | None = None


@dataclass(frozen=True)
class Painted:
    """The part of a band where more is done than moving the photo's own detail.

    Attributes:
        rows, columns: of the band.
        made: (h, w) float32 levels of the photo each, red, green and blue.
        keep: (h, w) float32.
    """

    rows: slice
    columns: slice
    made: Sequence[Plane]
    keep: Plane


@dataclass(frozen=True)
class Band:
    """Some rows of the photo with the crop sampled at each pixel.

    Attributes:
        box: x0, y0, x1, y1 photo pixels, of size (H, W); outside these columns the mask is 0.
        mask: (H, W) float32.
        displacement: x and y from each pixel to where its content comes from, (H, W) float32 photo pixels each; None =
            nothing moves.
        painted: where more is done; None = nowhere.
        nodes: (h, w, 2) float32 crop positions (x, y) of nodes, with one extra node on every side.
        step: photo pixels from node to node.
    """

    box: Box
    mask: Plane
    displacement: tuple[Plane, Plane] | None
    painted: Painted | None
    nodes: Plane
    step: int

    def places(self, x0: int, y0: int, x1: int, y1: int) -> Plane:
        """Return the crop positions of a part of the band, counted from its corner: (y1 - y0, x1 - x0, 2)."""
        return _pixels(self.nodes, self.step, (x0, y0, x1, y1))


@dataclass(frozen=True)
class Lattice:
    """A crop's layers over a part of a photo.

    Attributes:
        made: (N, N, 3) float32, ``Layers.made`` enlarged.
        soft: (M, M, 2 or 4) float32, keep, mask and flow enlarged.
        matrix: (2, 2) float32, from crop pixels to photo pixels, without shift and spline.
        size: side of the crop.
        coarse: (h, w, 2) float32, crop positions of the coarse nodes, with one extra node on every side.
        unmoved: (h, w) float32 each, x and y that the alignment's spline adds there to the displacement, in photo
            pixels; None = nothing moves.
        touched: (h, w) bool, where the mask is not 0.
        painted: (h, w) bool, where more is done than moving.
        region: x0, y0, x1, y1 photo pixels.
        steps: photo pixels from node to node: for colours, for what is soft, for positions.
    """

    made: Plane
    soft: Plane
    matrix: Plane
    size: int
    coarse: Plane
    unmoved: tuple[Plane, Plane] | None
    touched: Mask
    painted: Mask
    region: Box
    steps: tuple[int, int, int]

    @classmethod
    def of(cls, layers: Layers, alignment: Alignment, region: Box) -> Lattice:
        """Return the lattice of a crop's layers over a region of the photo."""
        scale, size = alignment.scale, layers.mask.shape[-1]
        steps = _steps(scale)
        columns, rows = _ticks(region, steps[2])
        coarse = _coarse(alignment, columns, rows, size)
        painted = _painted(layers, 2 + math.ceil(steps[2] / scale))
        touched = _read(torch.stack([layers.mask[0, 0], painted]), coarse, size) > 0
        factor = max(1, round(scale))
        soft, flow = [layers.keep, layers.mask], layers.flow
        if flow is not None:
            soft.append(flow)
        return cls(
            enlarged(layers.made[0].numpy(), min(FINER, factor)),
            enlarged(torch.cat(soft, 1)[0].numpy(), min(SOFT_FINER, factor)),
            alignment.matrix[:, :2].astype(np.float32),
            size,
            coarse,
            None if flow is None else _unmoved(coarse, flow[0], alignment, columns, rows),
            *touched,
            region,
            steps,
        )

    @property
    def rows(self) -> int:
        """Photo rows per row of coarse nodes; bands begin at multiples of it."""
        return self.steps[2]

    def band(self, top: int, bottom: int) -> Band | None:
        """Return the photo rows from ``top`` to ``bottom`` (exclusive); None if the mask is 0 in all of them."""
        (x0, y0, x1, _), (_, step, cell) = self.region, self.steps
        rows = slice((top - y0) // cell, -(-(bottom - y0) // cell) + 2)
        seen = np.flatnonzero(self.touched[rows].any(0))
        if not len(seen):
            return None
        # One extra node on both sides: the mask may begin between two nodes.
        first, last = max(1, int(seen[0]) - 1), min(self.coarse.shape[1] - 2, int(seen[-1]) + 1)
        part = (rows, slice(first - 1, last + 2))
        box = (x0 + cell * (first - 1), top, min(x1, x0 + cell * last), bottom)
        nodes = _nodes(self.coarse[part], cell // step)
        keep, mask, *flow = cv2.split(self._at(nodes, self.soft))
        whole = (0, 0, box[2] - box[0], bottom - top)
        displacement = None
        if self.unmoved is not None:
            moves = (np.abs(flow[0]) >= STILL) | (np.abs(flow[1]) >= STILL)
            both = []
            for (along, down), start in zip(self.matrix, self.unmoved, strict=True):
                plane = _nodes(start[part], cell // step) + along * flow[0]
                plane += down * flow[1]
                plane *= moves
                both.append(_pixels(plane, step, whole))
            displacement = (both[0], both[1])
        painted = self._painted_in(part, keep, whole)
        return Band(box, _pixels(mask, step, whole), displacement, painted, nodes, step)

    def _painted_in(self, part: tuple[slice, slice], keep: Plane, whole: Box) -> Painted | None:
        """Return what is painted at some of the coarse nodes, whose pixels are ``whole``; ``keep`` is at soft nodes."""
        painted, (fine, step, cell) = self.painted[part][1:-1, 1:-1], self.steps
        down, across = np.flatnonzero(painted.any(1)), np.flatnonzero(painted.any(0))
        if not len(down):
            return None
        x0, y0, x1, y1 = int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1
        box = (x0 * cell, y0 * cell, min(x1 * cell, whole[2]), min(y1 * cell, whole[3]))
        nodes = _nodes(self.coarse[part][y0 : y1 + 2, x0 : x1 + 2], cell // fine)
        made = _pixels(self._at(nodes, self.made), fine, (0, 0, box[2] - box[0], box[3] - box[1]))
        return Painted(
            slice(box[1], box[3]), slice(box[0], box[2]), cv2.split(made), _pixels(keep, step, box)
        )

    def _at(self, places: Plane, layers: Plane) -> Plane:
        """Return enlarged layers at crop positions (h, w, 2), as (h, w, C)."""
        # OpenCV samples interleaved layers at once, in half the time of torch; it rounds positions to a 32nd of a
        # pixel.
        factor = len(layers) // self.size
        where = places * np.float32(factor) + np.float32((factor - 1) / 2)
        read: Plane = cv2.remap(layers, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return read


def _steps(scale: float) -> tuple[int, int, int]:
    """Return ``Lattice.steps`` for so many photo pixels per crop pixel."""
    fine = max(1, int(SPACING * scale))
    soft = 2 * fine if 2 * fine <= SOFT * scale else fine
    return fine, soft, 2 * soft if 2 * soft <= COARSE * scale else soft


def _ticks(region: Box, cell: int) -> tuple[Array, Array]:
    """Return photo columns (w,) and rows (h,) of nodes ``cell`` pixels apart, with one extra node on every side."""
    columns, rows = (
        start + cell * np.arange(-1, -(-(end - start) // cell) + 1, dtype=np.float64) + (cell - 1) / 2
        for start, end in (region[::2], region[1::2])
    )
    return columns, rows


def _coarse(alignment: Alignment, columns: Array, rows: Array, size: int) -> Plane:
    """Return the crop positions (h, w, 2) of nodes at these photo columns (w,) and rows (h,)."""
    places = np.empty((len(rows), len(columns), 2), np.float32)
    for axis, (along, down, shift) in enumerate(np.linalg.inv(to_square(alignment.matrix))[:2]):
        places[..., axis] = (along * columns + shift)[None] + (down * rows)[:, None]
    if alignment.inverse is not None:
        places += _read(alignment.inverse[0], places, size).transpose(1, 2, 0)
    return places


def _unmoved(
    places: Plane, flow: Tensor, alignment: Alignment, columns: Array, rows: Array
) -> tuple[Plane, Plane]:
    """Return ``Lattice.unmoved`` for nodes at these photo columns (w,) and rows (h,)."""
    x, y = cv2.split(places)
    if alignment.residual is not None:
        size = alignment.template.size
        source = places + _read(flow, places, size).transpose(1, 2, 0)
        residual = _read(torch.from_numpy(alignment.residual), source, size)
        x, y = x + residual[0], y + residual[1]
    across, down = (
        np.float32(one) * x + (np.float32(other) * y + (shift - at).astype(np.float32))
        for (one, other, shift), at in zip(alignment.matrix, (columns[None], rows[:, None]), strict=True)
    )
    return across, down


def _painted(layers: Layers, reach: int) -> Tensor:
    """Return 1 up to ``reach`` pixels around what is painted and 0 elsewhere, (S, S)."""
    painted = (layers.made[0].abs().amax(0) > FAINT) | (layers.keep[0, 0] < 1 - LOST)
    side = 2 * reach + 1
    return torch.from_numpy(cv2.dilate(painted.numpy().astype(np.float32), np.ones((side, side), np.uint8)))


def enlarged(layers: Plane, factor: int) -> Plane:
    """Return (C, S, S) enlarged bicubically, (factor * S, factor * S, C); each pixel becomes factor x factor pixels."""
    side = factor * layers.shape[-1]
    large: Plane = cv2.resize(cv2.merge(list(layers)), (side, side), interpolation=cv2.INTER_CUBIC)
    return large


def _nodes(coarse: Plane, every: int) -> Plane:
    """Return all nodes from every ``every``-th one, with one extra node on every side as they have."""
    spare = every - 1
    dense = _between(coarse, every)
    return dense[spare : len(dense) - spare, spare : dense.shape[1] - spare]


def _between(nodes: Plane, factor: int) -> Plane:
    """Return (h, w, ...) nodes interpolated to (factor * h, factor * w, ...): each is the middle of factor x factor."""
    if factor == 1:
        return nodes
    dense: Plane = cv2.resize(nodes, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    return dense


def _pixels(nodes: Plane, step: int, box: Box) -> Plane:
    """Return (h, w, ...) nodes, which have one extra node on every side, at the pixels of a box."""
    x0, y0, x1, y1 = box
    left, top, right, bottom = x0 // step, y0 // step, -(-x1 // step) + 2, -(-y1 // step) + 2
    dense = _between(nodes[top:bottom, left:right], step)
    row, column = y0 - (top - 1) * step, x0 - (left - 1) * step
    return dense[row : row + y1 - y0, column : column + x1 - x0]


def _read(planes: Tensor, places: Plane, size: int) -> Plane:
    """Return (C, S, S) sampled at crop positions (h, w, 2), as (C, h, w); ``size`` is S."""
    # For torch -1 and +1 are the centres of the first and the last pixel.
    grid = torch.from_numpy(places * np.float32(2 / (size - 1)) - np.float32(1))[None]
    read = grid_sample(planes[None], grid, mode="bilinear", padding_mode="border", align_corners=True)
    values: Plane = read[0].numpy()
    return values
