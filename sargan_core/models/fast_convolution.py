"""The same convolutions with less work on CPUs.

Elsewhere (GPUs, shapes that do not fit; Winograd also in reduced precision) each falls back to the library's
convolution, so a network may carry them wherever it runs. Winograd's form is for use, not for training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# Winograd's minimal filtering F(4x4, 3x3) (Lavin & Gray 2016): 36 products instead of 144 for a 4x4 tile.
TILE, SPAN = 4, 6
_INPUT = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_KERNEL = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_OUTPUT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
# With fewer channels the transforms cost more than they save.
WINOGRAD_CHANNELS = 128


class WinogradConvolution(nn.Module):
    """A 3x3 convolution of stride 1 with one pixel of reflection or zero padding, without bias.

    Args:
        convolution: the layer whose weights it takes over.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight = convolution.weight
        self.mode = "reflect" if convolution.padding_mode == "reflect" else "constant"
        kernel = torch.tensor(_KERNEL, dtype=torch.float32)
        outputs, inputs = self.weight.shape[:2]
        taps = self.weight.detach().permute(2, 3, 1, 0).reshape(9, -1)
        transformed = (torch.kron(kernel, kernel) @ taps).view(SPAN * SPAN, inputs, outputs)
        self.register_buffer("transformed", transformed, persistent=False)
        # Both directions of a tile in one matrix product.
        for name, rows in (("to_products", _INPUT), ("to_pixels", _OUTPUT)):
            matrix = torch.tensor(rows, dtype=torch.float32)
            self.register_buffer(name, torch.kron(matrix, matrix), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, H, W) for (B, inputs, H, W)."""
        padded = functional.pad(x, (1, 1, 1, 1), mode=self.mode)
        if not _plain_float(x) or x.shape[2] % TILE or x.shape[3] % TILE:
            return functional.conv2d(padded, self.weight)
        batch, channels, height, width = x.shape
        rows, columns = height // TILE, width // TILE
        pixels = padded.permute(0, 2, 3, 1).contiguous()
        image, line, step, _ = pixels.stride()
        # Overlapping 6x6 tiles, 4 apart, as a view.
        tiles = pixels.as_strided(
            (SPAN, SPAN, batch, rows, columns, channels),
            (line, step, image, TILE * line, TILE * step, 1),
        )
        products = self._buffer("to_products") @ tiles.reshape(SPAN * SPAN, -1)
        products = torch.bmm(products.view(SPAN * SPAN, -1, channels), self._buffer("transformed"))
        outputs = products.shape[2]
        result = self._buffer("to_pixels") @ products.view(SPAN * SPAN, -1)
        result = result.view(TILE, TILE, batch, rows, columns, outputs).permute(2, 3, 0, 4, 1, 5)
        return result.reshape(batch, height, width, outputs).permute(0, 3, 1, 2)

    def _buffer(self, name: str) -> Tensor:
        return self.get_buffer(name)


class FewOutputsConvolution(nn.Conv2d):
    """A KxK convolution of stride 1 with zero padding (K - 1) / 2 to very few channels, without bias.

    Vectorised kernels compute 16 output channels at a time, so three waste most of the work. Here, on CPUs, the K rows
    of the kernel become output channels of a 1xK convolution, and its shifted results are added. It serves training
    and use, in float32 and under bf16 autocast (the sum is float32 then too).

    Args:
        inputs: channels in.
        outputs: channels out.
        side: K, odd.
    """

    def __init__(self, inputs: int, outputs: int, side: int) -> None:
        super().__init__(inputs, outputs, side, padding=side // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, H, W) for (B, inputs, H, W)."""
        if x.device.type != "cpu":
            return super().forward(x)
        outputs, inputs, side, _ = self.weight.shape
        reach, height = side // 2, x.shape[2]
        rows = self.weight.transpose(1, 2).transpose(0, 1).reshape(side * outputs, inputs, 1, side)
        parts = functional.conv2d(x, rows, padding=(0, reach)).float()
        parts = functional.pad(parts, (0, 0, reach, reach))
        result = parts[:, :outputs, :height]
        for row in range(1, side):
            result = result + parts[:, row * outputs : (row + 1) * outputs, row : row + height]
        return result


def _plain_float(x: Tensor) -> bool:
    kind = x.device.type
    return kind == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled(kind)
