"""Layers that compute by minimal filtering where that is faster: plain float32 on a CPU, in use and in training.

Elsewhere they are the library's, with the same weights. Each image is computed by itself, so the result does not depend
on the rest of the batch; nor, as far as tested, on the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from sargan_core.models.winograd import Form, Tiles, memory

# Minimal filtering pays from here on: multiply-adds saved a tile, and tiles that share a transformed kernel.
LEAST_SAVED = 600_000
LEAST_TILES = 36

PaddingMode = Literal["zeros", "reflect"]


@dataclass(frozen=True)
class _Layer:
    """A layer on images of one size.

    Attributes:
        form: what it computes.
        height: of the input, in pixels; a multiple of ``form.taken``.
        width: likewise.
        mode: what the one pixel around the input holds.
    """

    form: Form
    height: int
    width: int
    mode: str

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the output."""
        f = self.form
        return self.height // f.taken * f.made, self.width // f.taken * f.made

    @property
    def cut(self) -> int:
        """Pixels that the tiles make above and left of the output."""
        return self.form.made - 1

    @property
    def tiles(self) -> Tiles:
        """The tiles that cover the output."""
        side = self.form.tile * self.form.made
        rows, columns = (-(-(length + self.cut) // side) for length in self.size)
        return Tiles(self.form, rows, columns)

    def padded(self, image: Tensor) -> Tensor:
        """Return (C, H, W) ``image`` with its border, and zeros as far as tiles reach, in blocks: (H', W', i i C)."""
        made = memory.take("padded", *self.tiles.taken, self.form.taken, self.form.taken, len(image))
        made[0], made[self.height // self.form.taken :] = 0, 0
        made[:, 0], made[:, self.width // self.form.taken :] = 0, 0
        for pixels, places in self._places(image, made):
            places.copy_(pixels)
        if self.mode == "reflect":
            for outside, inside in self._reflections(made):
                outside.copy_(inside)
        return made.flatten(2)

    def padded_back(self, gradient: Tensor, image: Tensor) -> None:
        """Write the gradient of the (C, H, W) image, from that of its padded form, which is changed."""
        gradient = gradient.unflatten(2, (self.form.taken, self.form.taken, -1))
        if self.mode == "reflect":
            for outside, inside in reversed(self._reflections(gradient)):
                inside.add_(outside)
        for pixels, places in self._places(image, gradient):
            pixels.copy_(places)

    def _places(self, image: Tensor, blocks: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the pixels of (C, H, W) that have the same place in a block, and these places in (H', W', i, i, C)."""
        step = self.form.taken
        pixels = image.permute(1, 2, 0)
        rows, columns = self.height // step, self.width // step
        for i, j in product(range(step), repeat=2):
            # The border's pixel comes first.
            top, left = int(i == 0), int(j == 0)
            part = pixels[top * step + i - 1 :: step, left * step + j - 1 :: step]
            yield part, blocks[top : top + rows, left : left + columns, i, j]

    def _reflections(self, blocks: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return each line of the border of (H', W', i, i, C) and the line that it repeats."""
        step = self.form.taken
        lines = [
            [blocks[k // step, :, k % step] for k in (0, 2, self.height + 1, self.height - 1)],
            [blocks[:, k // step, :, k % step] for k in (0, 2, self.width + 1, self.width - 1)],
        ]
        return [pair for one, other, third, last in lines for pair in ((one, other), (third, last))]


class _Filtered(Function):
    """Images (B, C, H, W) and a transformed kernel to images, channels-last."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, layer: _Layer) -> Tensor:
        ctx.save_for_backward(x, kernel)
        ctx.layer = layer
        height, width = layer.size
        made = memory.result(len(x), height, width, kernel.shape[2] // layer.form.made**2)
        for image, out in zip(x, made, strict=True):
            for band, pixels, row in layer.tiles.bands(layer.padded(image)):
                products = memory.take("products", len(kernel), band.count, kernel.shape[2])
                torch.bmm(band.factors(pixels), kernel, out=products)
                # The first row of all is cut, so the others move up.
                top = row - layer.cut
                part = out[max(top, 0) : top + band.made[0]]
                if part.shape[:2] == band.made:
                    band.result(products, part)
                else:
                    result = memory.take("made", *band.made, part.shape[2])
                    band.result(products, result)
                    part.copy_(result[max(-top, 0) :, layer.cut :][: len(part), :width])
        return made.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, kernel = ctx.saved_tensors
        layer: _Layer = ctx.layer
        tiles, (height, width), cut = layer.tiles, layer.size, layer.cut
        back = torch.empty_like(x, memory_format=torch.channels_last)
        kernel_back = torch.zeros_like(kernel)
        for image, out, part in zip(x, back, gradient, strict=True):
            made = memory.take("made", *tiles.made, len(part)).zero_()
            made[cut : cut + height, cut : cut + width] = part.permute(1, 2, 0)
            products = tiles.result_back(made)
            padded = layer.padded(image)
            factors = tiles.factors(padded)
            kernel_back.baddbmm_(factors.transpose(1, 2), products)
            torch.bmm(products, kernel.transpose(1, 2), out=factors)
            tiles.factors_back(padded)
            layer.padded_back(padded, out)
        return back, kernel_back, None


class FilteredConvolution(nn.Conv2d):
    """A convolution without bias: 3x3 of stride 1 or 4x4 of stride 2, with one pixel of zero or reflection padding.

    Args:
        inputs: channels in.
        outputs: channels out.
        stride: 1 or 2.
        mode: of the padding.
    """

    transformed: Tensor | None

    def __init__(self, inputs: int, outputs: int, stride: int = 1, mode: PaddingMode = "zeros") -> None:
        super().__init__(inputs, outputs, 2 + stride, stride, 1, bias=False, padding_mode=mode)
        self.form = Form(4, 3) if stride == 1 else Form(4, 2, taken=2)
        self.register_buffer("transformed", None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, H / stride, W / stride) for (B, inputs, H, W)."""
        layer = _Layer(self.form, x.shape[2], x.shape[3], self.padding_mode)
        return _filtered(self, x, layer) if _pays(x, self.out_channels, layer) else super().forward(x)

    def taps(self) -> Tensor:
        """Return the weight as (r, r, i, i, inputs, 1, 1, outputs)."""
        r, i = self.form.taps, self.form.taken
        blocks = self.weight.view(*self.weight.shape[:2], r, i, r, i)
        return blocks.permute(2, 4, 3, 5, 1, 0)[:, :, :, :, :, None, None]


class FilteredTransposed(nn.ConvTranspose2d):
    """A transposed 4x4 convolution of stride 2 without bias that doubles height and width.

    Args:
        inputs: channels in.
        outputs: channels out.
    """

    transformed: Tensor | None

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 4, 2, 1, bias=False)
        # Its 2 H + 1 rows are just 11 and 22 tiles of 3 for the published sizes, and transforms add few terms.
        self.form = Form(3, 2, made=2)
        self.register_buffer("transformed", None, persistent=False)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return (B, outputs, 2 H, 2 W) for (B, inputs, H, W)."""
        layer = _Layer(self.form, x.shape[2], x.shape[3], self.padding_mode)
        if output_size is None and _pays(x, self.out_channels, layer):
            return _filtered(self, x, layer)
        return super().forward(x, output_size)

    def taps(self) -> Tensor:
        """Return the weight as (r, r, 1, 1, inputs, o, o, outputs), last taps first as a transposed layer has them."""
        r, o = self.form.taps, self.form.made
        blocks = self.weight.view(*self.weight.shape[:2], r, o, r, o).flip(2, 4)
        return blocks.permute(2, 4, 0, 3, 5, 1)[:, :, None, None]


def prepare(network: nn.Module) -> None:
    """Transform the kernels of a network that is not trained any more once and for all."""
    for layer in network.modules():
        if isinstance(layer, FilteredConvolution | FilteredTransposed):
            with torch.no_grad():
                layer.transformed = layer.form.transform(layer.taps())


def _filtered(module: FilteredConvolution | FilteredTransposed, x: Tensor, layer: _Layer) -> Tensor:
    kernel = module.transformed
    if kernel is None:
        kernel = module.form.transform(module.taps())
    made: Tensor = _Filtered.apply(x, kernel, layer)  # type: ignore[no-untyped-call]
    return made


def _pays(x: Tensor, outputs: int, layer: _Layer) -> bool:
    """Return whether minimal filtering applies and is faster."""
    f, kind = layer.form, x.device.type
    saved = ((f.tile * f.taps) ** 2 - f.span**2) * x.shape[1] * f.taken**2 * outputs * f.made**2
    return (
        kind == "cpu"
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled(kind)
        and layer.height % f.taken == 0
        and layer.width % f.taken == 0
        and saved >= LEAST_SAVED
        and layer.tiles.count >= LEAST_TILES
    )
