"""Convolution by minimal filtering: the tiles of one image, their transforms and the transforms of gradients.

Winograd's minimal filtering F(m x m, r x r), as Lavin & Gray (2016) apply it to networks: m x m outputs of an r x r
kernel are (m + r - 1)^2 products, for all channels matrix products, of transformed tiles and a transformed kernel; the
definition takes (m r)^2. A 4x4 kernel of stride 2 is a 2x2 kernel of stride 1 over blocks of 2x2 pixels, and the
transposed one makes such blocks, so one form serves all three. The layers are in ``filtered.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import prod
from threading import local
from typing import Any, TypeVar

import torch
from torch import Tensor

# Where the polynomials are evaluated, besides infinity: small integers, so that sums lose few bits.
POINTS = (0, 1, -1, 2, -2)
# Tiles at a time in use: enough for fast matrix products, few enough for the cache.
BAND = 128

Parts = Sequence[Tensor]
T = TypeVar("T")


@dataclass(frozen=True)
class Form:
    """How a layer is a convolution of stride 1 over blocks of pixels, and the minimal filtering of that convolution.

    Attributes:
        tile: m, side of a tile of the output in blocks.
        taps: r, side of the kernel in blocks.
        taken: side in pixels of a block of the input: the stride of a convolution.
        made: side in pixels of a block of the output: the stride of a transposed convolution.
    """

    tile: int
    taps: int
    taken: int = 1
    made: int = 1

    @property
    def span(self) -> int:
        """n = m + r - 1, side of a tile of the input in blocks and of its products."""
        return self.tile + self.taps - 1

    @property
    def points(self) -> tuple[int, ...]:
        """The n - 1 finite points."""
        return POINTS[: self.span - 1]

    @cached_property
    def data(self) -> Sums:
        """(n, n): the products' factors from a line of n blocks, by the construction of Cook and Toom.

        In the places of ``mirrored`` points p and -p are x R and p R, R the product over the other points: their sum
        and difference, (x + p) R and (x - p) R, are the factors.
        """
        rows = []
        mirrored = [point for first in self.mirrored for point in self.points[first : first + 2]]
        for point in self.points:
            if point in mirrored:
                rest = _coefficients([other for other in self.points if abs(other) != abs(point)])
                rows.append([0, *rest, 0] if point > 0 else [*(-point * weight for weight in rest), 0, 0])
            else:
                rows.append([*_coefficients([other for other in self.points if other != point]), 0])
        return Sums.of([*rows, _coefficients(self.points)])

    @cached_property
    def result(self) -> Sums:
        """(m, n): a line of m blocks from the products, in which ``opposite`` ones became sum and difference."""
        rows = []
        for power in range(self.tile):
            row = [*(point**power for point in self.points), int(power == self.tile - 1)]
            for first in self.opposite:
                # Even powers see the sum alone, odd ones the difference.
                row[first + power % 2], row[first + 1 - power % 2] = row[first], 0
            rows.append(row)
        return Sums.of(rows)

    @cached_property
    def opposite(self) -> tuple[int, ...]:
        """Where a point is followed by its negative."""
        return tuple(k for k, (one, other) in enumerate(pairwise(self.points)) if one > 0 and one == -other)

    @cached_property
    def mirrored(self) -> tuple[int, ...]:
        """The ``opposite`` points whose factors are made as sum and difference: where that takes fewer additions."""
        return self.opposite if len(self.opposite) > 1 else ()

    @cached_property
    def data_back(self) -> Sums:
        """The transpose of ``data``."""
        return self.data.transposed()

    @cached_property
    def result_back(self) -> Sums:
        """The transpose of ``result``."""
        return self.result.transposed()

    @cached_property
    def kernel(self) -> Tensor:
        """(n^2, r^2) float32: the products' other factors from the taps."""
        rows = []
        for point in self.points:
            scale = prod(point - other for other in self.points if other != point)
            rows.append([point**power / scale for power in range(self.taps)])
        rows.append([0.0] * (self.taps - 1) + [1.0])
        # A tensor made in inference mode could not be used in training afterwards.
        with torch.inference_mode(False):
            matrix = torch.tensor(rows, dtype=torch.float64)
            return torch.kron(matrix, matrix).float()

    def transform(self, taps: Tensor) -> Tensor:
        """Return the transformed kernel (n^2, i i inputs, o o outputs) of (r, r, i, i, inputs, o, o, outputs) taps."""
        inputs, outputs = taps.shape[2:5].numel(), taps.shape[5:].numel()
        return (self.kernel.to(taps) @ taps.reshape(self.taps**2, -1)).view(self.span**2, inputs, outputs)


def _coefficients(roots: Sequence[int]) -> list[int]:
    """Return the coefficients of the product of (x - root), the constant first."""
    made = [1]
    for root in roots:
        made = [high - root * low for high, low in zip([0, *made], [*made, 0], strict=True)]
    return made


def _cross(parts: Sequence[Tensor], places: Sequence[int]) -> None:
    """Replace each two parts that begin at ``places`` by sum and difference, in place; this is its own transpose."""
    for first in places:
        one, other = parts[first], parts[first + 1]
        one.add_(other)
        torch.sub(one, other, alpha=2, out=other)


@dataclass(frozen=True)
class Sums:
    """A sparse integer matrix that acts on tensors.

    Attributes:
        terms: of each row the columns and weights that are not 0, if possible with a weight of 1 first.
        columns: their number.
    """

    terms: tuple[tuple[tuple[int, int], ...], ...]
    columns: int

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Sums:
        """Return the matrix with these rows."""
        terms = (((k, weight) for k, weight in enumerate(row) if weight) for row in rows)
        ordered = (tuple(sorted(row, key=lambda term: term[1] != 1)) for row in terms)
        return cls(tuple(ordered), len(rows[0]))

    def transposed(self) -> Sums:
        """Return the matrix for gradients."""
        rows = [[0] * len(self.terms) for _ in range(self.columns)]
        for row, terms in enumerate(self.terms):
            for column, weight in terms:
                rows[column][row] = weight
        return Sums.of(rows)

    def write(self, parts: Sequence[Tensor], made: Sequence[Tensor], own: int | None = None) -> None:
        """Write each row's sum over ``parts`` into one of ``made``; they may lie anywhere in memory.

        From ``made[own]`` on it is added: there tiles overlap with the first parts of their neighbours.
        """
        for terms, out in zip(self.terms[:own], made, strict=False):
            (column, weight), *rest = terms
            if weight != 1:
                torch.mul(parts[column], weight, out=out)
            elif rest:
                (second, weight), *rest = rest
                torch.add(parts[column], parts[second], alpha=weight, out=out)
            else:
                out.copy_(parts[column])
            for column, weight in rest:
                out.add_(parts[column], alpha=weight)
        if own is not None:
            for terms, out in zip(self.terms[own:], made[own:], strict=True):
                for column, weight in terms:
                    out.add_(parts[column], alpha=weight)


class Memory(local):
    """Memory for what is computed on the way, kept from call to call: fresh pages cost a tenth of the time."""

    def __init__(self) -> None:
        self.kept: dict[str, Tensor] = {}
        self.views: dict[Hashable, Any] = {}
        self.lent: int | None = None

    def take(self, name: str, *shape: int) -> Tensor:
        """Return a float32 tensor with whatever is in it, valid until ``name`` is taken again in this thread."""
        size = prod(shape)
        if name not in self.kept or self.kept[name].numel() < size:
            self.views.clear()
            # A tensor made in inference mode could not be written to outside it.
            with torch.inference_mode(False):
                self.kept[name] = torch.empty(size)
        return self.once((name, shape), lambda: self.kept[name][:size].view(shape))

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the views of kept memory that ``make`` returns, made once for ``key``: each takes a microsecond."""
        if key not in self.views:
            with torch.inference_mode(False):
                self.views[key] = make()
        found: T = self.views[key]
        return found

    @contextmanager
    def lending(self) -> Iterator[None]:
        """Let layers write their results into kept memory too: inside, and valid until the next time in this thread."""
        before, self.lent = self.lent, 0
        try:
            yield
        finally:
            self.lent = before

    def result(self, *shape: int) -> Tensor:
        """Return a float32 tensor for a layer's result, new or lent."""
        if self.lent is None:
            return torch.empty(shape)
        self.lent += 1
        return self.take(f"result {self.lent}", *shape)


memory = Memory()


@dataclass(frozen=True)
class Tiles:
    """``rows`` x ``columns`` tiles of one image."""

    form: Form
    rows: int
    columns: int

    @property
    def count(self) -> int:
        """How many they are."""
        return self.rows * self.columns

    @property
    def taken(self) -> tuple[int, int]:
        """Height and width in blocks of what they are computed from."""
        f = self.form
        height, width = (side * f.tile + f.taps - 1 for side in (self.rows, self.columns))
        return height, width

    @property
    def made(self) -> tuple[int, int]:
        """Height and width in pixels of what they make."""
        side = self.form.tile * self.form.made
        return self.rows * side, self.columns * side

    def bands(self, blocks: Tensor) -> Iterator[tuple[Tiles, Tensor, int]]:
        """Yield tiles of some rows, the part of (H, W, i i C) blocks they take, and the row at which theirs begin."""
        f = self.form
        step = -(-BAND // self.columns)
        for row in range(0, self.rows, step):
            band = Tiles(f, min(step, self.rows - row), self.columns)
            yield band, blocks[row * f.tile :], row * f.tile * f.made

    def factors(self, blocks: Tensor) -> Tensor:
        """Return the transformed tiles of (H, W, i i C) blocks in kept memory: (n^2, tiles, i i C)."""
        f = self.form
        rows, lines, columns, parts, made = self._input_views(blocks)
        f.data.write(rows, lines)
        _cross(lines, f.mirrored)
        f.data.write(columns, parts)
        _cross(parts, f.mirrored)
        return made

    def factors_back(self, blocks: Tensor) -> None:
        """Write the gradient of the blocks, from that written over their ``factors``, which is changed."""
        f = self.form
        rows, lines, columns, parts, _ = self._input_views(blocks)
        _cross(parts, f.mirrored)
        for line in lines:
            line[:, self.columns * f.tile :] = 0
        f.data_back.write(parts, columns, f.tile)
        blocks[self.rows * f.tile :] = 0
        _cross(lines, f.mirrored)
        f.data_back.write(lines, rows, f.tile)

    def result(self, products: Tensor, made: Tensor) -> None:
        """Write the pixels (H, W, C) that (n^2, tiles, o o C) products in kept memory make; these are changed."""
        f = self.form
        rows, lines, parts = self._output_views(products)
        _cross(rows, f.opposite)
        f.result.write(rows, lines)
        _cross(parts, f.opposite)
        f.result.write(parts, self._made_columns(made))

    def result_back(self, gradient: Tensor) -> Tensor:
        """Return the gradient of the products, (n^2, tiles, o o C), from that of the (H, W, C) pixels."""
        f = self.form
        products = memory.take("products", f.span**2, self.count, f.made**2 * gradient.shape[2])
        rows, lines, parts = self._output_views(products)
        f.result_back.write(self._made_columns(gradient), parts)
        _cross(parts, f.opposite)
        f.result_back.write(lines, rows)
        _cross(rows, f.opposite)
        return products

    def _input_views(self, blocks: Tensor) -> tuple[Parts, Parts, Parts, Parts, Tensor]:
        """Return blocks by row of their tile, their transforms, these by column, factors by column, all factors."""

        def make() -> tuple[Parts, Parts, Parts, Parts, Tensor]:
            f = self.form
            lines = memory.take("lines", f.span, self.rows, *blocks.shape[1:])
            made = memory.take("factors", f.span, f.span, self.rows, self.columns, blocks.shape[2])
            every = made.view(f.span**2, self.count, -1)
            return self._rows(blocks), lines.unbind(0), self._columns(lines), made.unbind(1), every

        return memory.once((self, "input", blocks.data_ptr(), blocks.shape), make)

    def _output_views(self, products: Tensor) -> tuple[Parts, Parts, Parts]:
        """Return products by row of their tile, what a transform makes of them by line, and the same by column."""

        def make() -> tuple[Parts, Parts, Parts]:
            f = self.form
            rows = products.view(f.span, f.span, self.rows, self.columns, f.made, -1)
            lines = memory.take("lines", f.tile, *rows.shape[1:])
            return rows.unbind(0), lines.unbind(0), lines.unbind(1)

        return memory.once((self, "output", products.data_ptr(), products.shape), make)

    def _rows(self, blocks: Tensor) -> list[Tensor]:
        """Return n views (rows, W, C) of (H, W, C): the k-th row of every tile."""
        row, column, _ = blocks.stride()
        shape = self.rows, *blocks.shape[1:]
        start = blocks.storage_offset()
        strides = self.form.tile * row, column, 1
        return [blocks.as_strided(shape, strides, start + k * row) for k in range(self.form.span)]

    def _columns(self, lines: Tensor) -> list[Tensor]:
        """Return n views (n, rows, columns, C) of (n, rows, W, C): the k-th block of every tile."""
        f = self.form
        product, row, column, _ = lines.stride()
        shape = f.span, self.rows, self.columns, lines.shape[3]
        strides = product, row, f.tile * column, 1
        start = lines.storage_offset()
        return [lines.as_strided(shape, strides, start + k * column) for k in range(f.span)]

    def _made_columns(self, pixels: Tensor) -> list[Tensor]:
        """Return m views (m, rows, columns, o, o C) of (H, W, C): the k-th column of blocks of every tile."""
        f = self.form
        parts = pixels.view(self.rows, f.tile, f.made, self.columns, f.tile, f.made * pixels.shape[2])
        return [part.permute(1, 0, 3, 2, 4) for part in parts.unbind(4)]
