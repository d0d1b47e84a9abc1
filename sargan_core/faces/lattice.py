"""Sample a crop at every pixel of a photo, quickly: on a lattice, with linear interpolation between its nodes.

A crop is coarser than its photo, so nothing in it changes much from one photo pixel to the next. Crop positions are
computed at every second node, mask and movement are sampled at all nodes, colours at those where something is painted,
and all are interpolated linearly between them. Rows and columns of the lattice count from the corner of the pasted
part, so that bands fit together.
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
FINER = 2
# Largest distance of nodes, in crop pixels, at which positions are computed at every second node only.
COARSE = 0.8
# Largest distance of the nodes in crop pixels; where photo pixels are wider, every pixel is a node.
SPACING = 0.36
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
        nodes: (h, w, 2) float32 crop positions (x, y) of the nodes, with one extra node on every side.
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
        paint: made and keep, where something is painted.
        soft: the mask and, if something moves, x and y of the flow in photo pixels, without the alignment's spline.
        coarse: (h, w, 2) float32, crop positions of every ``every``-th node, with one extra node on every side.
        unmoved: (h, w) float32 each, x and y that the alignment's spline adds there to the displacement, in photo
            pixels; None = nothing moves.
        touched: (h, w) bool, where the mask is not 0.
        painted: (h, w) bool, where more is done than moving.
        region: x0, y0, x1, y1 photo pixels.
        step: photo pixels from node to node.
        every: 1 or 2, of so many nodes one is coarse.
        still: movement in photo pixels below which a pixel stays as it is.
    """

    paint: _Enlarged
    soft: _Enlarged
    coarse: Plane
    unmoved: tuple[Plane, Plane] | None
    touched: Mask
    painted: Mask
    region: Box
    step: int
    every: int
    still: float

    @classmethod
    def of(cls, layers: Layers, alignment: Alignment, region: Box) -> Lattice:
        """Return the lattice of a crop's layers over a region of the photo."""
        scale, size = alignment.scale, layers.mask.shape[-1]
        step = max(1, int(SPACING * scale))
        every = 2 if 2 * step <= COARSE * scale else 1
        columns, rows = _ticks(region, every * step)
        coarse = _coarse(alignment, columns, rows, size)
        painted = _around(_is_painted(layers), 2 + math.ceil(every * step / scale))
        flow = layers.flow
        soft = layers.mask if flow is None else torch.cat([layers.mask, _in_photo(flow, alignment)], 1)
        paint = torch.cat([layers.made, layers.keep], 1)
        factor = min(FINER, max(1, round(scale)))
        return cls(
            _Enlarged.of(paint[0].numpy(), factor, painted),
            _Enlarged.of(soft[0].numpy(), factor),
            coarse,
            None if flow is None else _unmoved(coarse, flow[0], alignment, columns, rows),
            _any_at(_around(layers.mask[0, 0].numpy() > 0, 1), coarse),
            _any_at(painted, coarse),
            region,
            step,
            every,
            STILL * scale,
        )

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
        size = (box[2] - box[0], bottom - top)
        nodes = _nodes(self.coarse[part], self.every)
        mask, *moves = cv2.split(self.soft.at(nodes))
        displacement = None
        if self.unmoved is not None:
            moving = np.maximum(np.abs(moves[0]), np.abs(moves[1])) >= self.still
            for plane, start in zip(moves, self.unmoved, strict=True):
                plane += _nodes(start[part], self.every)
                plane *= moving
            x, y = (_pixels(plane, step, (0, 0, *size)) for plane in moves)
            displacement = (x, y)
        painted = self._painted_in(part, size)
        return Band(box, _pixels(mask, step, (0, 0, *size)), displacement, painted, nodes, step)

    def _painted_in(self, part: tuple[slice, slice], size: tuple[int, int]) -> Painted | None:
        """Return what is painted at a part of the coarse nodes, ``size`` pixels wide and high; None = nothing."""
        painted, cell = self.painted[part][1:-1, 1:-1], self.rows
        down, across = np.flatnonzero(painted.any(1)), np.flatnonzero(painted.any(0))
        if not len(down):
            return None
        top, left, bottom, right = int(down[0]), int(across[0]), int(down[-1]) + 1, int(across[-1]) + 1
        rows = slice(top * cell, min(bottom * cell, size[1]))
        columns = slice(left * cell, min(right * cell, size[0]))
        nodes = _nodes(self.coarse[part][top : bottom + 2, left : right + 2], self.every)
        box = (0, 0, columns.stop - columns.start, rows.stop - rows.start)
        *made, keep = cv2.split(_pixels(self.paint.at(nodes), self.step, box))
        return Painted(rows, columns, made, keep)


@dataclass(frozen=True)
class _Enlarged:
    """A part of some layers of a crop, enlarged to be sampled linearly.

    Attributes:
        layers: (h, w, C) float32.
        factor: of the enlargement.
        corner: column and row of the part's first pixel in the crop.
    """

    layers: Plane
    factor: int
    corner: tuple[int, int]

    @classmethod
    def of(cls, layers: Plane, factor: int, wanted: Mask | None = None) -> _Enlarged:
        """Return (C, S, S) layers enlarged; only the rectangle around what is ``wanted``, (S, S)."""
        if wanted is None or not wanted.any():
            return cls(enlarged(layers, factor), factor, (0, 0))
        down, across = np.flatnonzero(wanted.any(1)), np.flatnonzero(wanted.any(0))
        part = layers[:, down[0] : down[-1] + 1, across[0] : across[-1] + 1]
        return cls(enlarged(part, factor), factor, (int(across[0]), int(down[0])))

    def at(self, places: Plane) -> Plane:
        """Return the layers at crop positions (h, w, 2), as (h, w, C)."""
        # OpenCV samples interleaved layers at once, in half the time of torch; it rounds positions to a 32nd of a
        # pixel.
        x, y = ((self.factor - 1) / 2 - self.factor * start for start in self.corner)
        into = np.array([[self.factor, 0, x], [0, self.factor, y]])
        where = cv2.transform(places, into)
        read: Plane = cv2.remap(self.layers, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return read


def _ticks(region: Box, cell: int) -> tuple[Array, Array]:
    """Return photo columns (w,) and rows (h,) of nodes ``cell`` pixels apart, with one extra node on every side."""
    columns, rows = (
        start + cell * np.arange(-1, -(-(end - start) // cell) + 1, dtype=np.float64) + (cell - 1) / 2
        for start, end in (region[::2], region[1::2])
    )
    return columns, rows


def _coarse(alignment: Alignment, columns: Array, rows: Array, size: int) -> Plane:
    """Return the crop positions (h, w, 2) of nodes at these photo columns (w,) and rows (h,)."""
    x, y = (
        (along * columns + shift).astype(np.float32) + (down * rows).astype(np.float32)[:, None]
        for along, down, shift in np.linalg.inv(to_square(alignment.matrix))[:2]
    )
    if alignment.inverse is not None:
        across, down = _read(alignment.inverse[0], cv2.merge([x, y]), size)
        x += across
        y += down
    places: Plane = cv2.merge([x, y])
    return places


def _unmoved(
    places: Plane, flow: Tensor, alignment: Alignment, columns: Array, rows: Array
) -> tuple[Plane, Plane]:
    """Return ``Lattice.unmoved`` for nodes at these photo columns (w,) and rows (h,)."""
    x, y = cv2.split(places)
    if alignment.residual is not None:
        size = alignment.template.size
        across, down = _read(flow, places, size)
        source = cv2.merge([x + across, y + down])
        across, down = _read(torch.from_numpy(alignment.residual), source, size)
        x, y = x + across, y + down
    both = []
    for (one, other, shift), at in zip(alignment.matrix, (columns[None], rows[:, None]), strict=True):
        plane = x * np.float32(one) + y * np.float32(other)
        plane += (shift - at).astype(np.float32)
        both.append(plane)
    return both[0], both[1]


def _in_photo(flow: Tensor, alignment: Alignment) -> Tensor:
    """Return a field (1, 2, S, S) in photo pixels instead of crop pixels, without the alignment's spline."""
    x, y = flow[:, 0], flow[:, 1]
    return torch.stack([one * x + other * y for one, other in alignment.matrix[:, :2].tolist()], 1)


def _is_painted(layers: Layers) -> Mask:
    """Return where more is done than moving, (S, S)."""
    made = layers.made[0].abs().amax(0) > FAINT
    return np.asarray((made | (layers.keep[0, 0] < 1 - LOST)).numpy())


def _around(mask: Mask, reach: int) -> Mask:
    """Return a mask (S, S) with what lies up to ``reach`` pixels beside it."""
    side = 2 * reach + 1
    return np.asarray(cv2.dilate(mask.view(np.uint8), np.ones((side, side), np.uint8)), dtype=np.bool_)


def _any_at(mask: Mask, places: Plane) -> Mask:
    """Return the value of a mask (S, S) at the pixels nearest to crop positions (h, w, 2)."""
    read = cv2.remap(mask.view(np.uint8), places, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(read, dtype=np.bool_)


def enlarged(layers: Plane, factor: int) -> Plane:
    """Return (C, H, W) enlarged bicubically, (factor * H, factor * W, C); each pixel becomes factor x factor pixels."""
    size = factor * layers.shape[2], factor * layers.shape[1]
    large: Plane = cv2.resize(cv2.merge(list(layers)), size, interpolation=cv2.INTER_CUBIC)
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
