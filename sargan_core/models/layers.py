"""What several networks share: a layer, the way they see a crop, how their weights lie in memory."""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sargan_core.models.winograd import memory


def convolution(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Return convolution with zero padding, batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def standardised(crops: Tensor) -> Tensor:
    """Return each of (B, C, H, W) ``crops`` at mean 0 and deviation 1; one that is nearly flat stays nearly flat."""
    mean = crops.mean((1, 2, 3), keepdim=True)
    spread = crops.std((1, 2, 3), keepdim=True).clamp_min(0.02)
    return (crops - mean) / spread


def memory_format(device: torch.device | str) -> torch.memory_format:
    """Return the memory format of pictures and weights: channels-last on a CPU, whose convolutions are fastest with it.

    On a GPU group normalisation takes contiguous tensors alone and would copy others: a step of the generator took 1.3
    times as long there (batch 64, H100, ``benchmarks/sargan_gpu.py``).
    """
    return torch.channels_last if torch.device(device).type == "cpu" else torch.contiguous_format


def lay_out(module: nn.Module, device: torch.device | str) -> None:
    """Lay out the convolution weights as ``memory_format`` says."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=memory_format(device))


def for_inference(network: nn.Module, device: torch.device | str = "cpu") -> None:
    """Prepare a network that is not trained any more: batch norms become part of the convolutions before them.

    The network is changed in place. Answers differ by rounding only.
    """
    _fuse(network)
    lay_out(network, device)


def _fuse(network: nn.Module) -> None:
    for name, child in network.named_children():
        if isinstance(child, nn.Sequential):
            setattr(network, name, nn.Sequential(*_fused(child)))
        else:
            _fuse(child)


def _fused(sequence: nn.Sequential) -> list[nn.Module]:
    """Return the layers of a sequence and of those within it, in order, without batch norms."""
    layers: list[nn.Module] = []
    for layer in sequence:
        if isinstance(layer, nn.Sequential):
            layers += _fused(layer)
        elif isinstance(layer, nn.BatchNorm2d) and layers and isinstance(layers[-1], nn.Conv2d):
            layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
        elif isinstance(layer, nn.ReLU) and layers and isinstance(layers[-1], nn.Conv2d):
            layers.append(nn.ReLU(inplace=True))
        else:
            _fuse(layer)
            layers.append(layer)
    return layers


EPSILON = 1e-5
# Values that a norm treats at a time: enough for all threads, few enough for the cache.
PART = 2**18
# Output channels that a convolution computes at a time.
LANES = 16


class InstanceNorm(nn.Module):
    """Instance normalisation with scale and shift.

    The same in ``train()`` and ``eval()`` and independent of the rest of the batch. Group normalisation with
    one channel a group is the same thing, and unlike the library's instance norm it keeps channels-last
    tensors channels-last; only its backward pass is slow on CPUs, so training there has its own.

    Args:
        channels: of the input.
        positive: True: what is below 0 becomes 0 afterwards, as by ReLU.
    """

    def __init__(self, channels: int, positive: bool = False) -> None:
        super().__init__()
        self.positive = positive
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W) ``x`` with each channel of each image at the learned mean and spread.

        Without gradients, on a CPU, it is written over ``x``.
        """
        if _writes_over(x):
            for image in x.permute(0, 2, 3, 1):
                _norm_over(image.flatten(0, 1), self.weight, self.bias, self.positive)
            return x
        normed = self._normed(x)
        return relu(normed) if self.positive else normed

    def _normed(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and torch.is_grad_enabled():
            normed: Tensor = _ChannelsLastNorm.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
            return normed
        return functional.group_norm(x, x.shape[1], self.weight, self.bias, EPSILON)


def relu(x: Tensor) -> Tensor:
    """Return ``max(x, 0)``, written over ``x`` where no gradient needs it."""
    return functional.relu(x, inplace=not torch.is_grad_enabled())


def _writes_over(x: Tensor) -> bool:
    """Return whether a norm is written over its input: in use on a CPU, in float32, channels-last."""
    return (
        x.device.type == "cpu"
        and not torch.is_grad_enabled()
        and x.dtype == torch.float32
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def _norm_over(rows: Tensor, weight: Tensor, bias: Tensor, positive: bool) -> None:
    """Norm each channel of an image's (P, C) pixels, in place, and with ``positive`` replace what is below 0 by 0.

    The sums are the same for any number of threads, which group normalisation's are not.
    """
    # In place and with few operations: on images of a few pixels they take longer to start than to compute.
    mean = rows.mean(0)
    parts = rows.split(max(1, PART // rows.shape[1]))
    squares = [torch.square(part, out=memory.take("squares", *part.shape)).sum(0) for part in parts]
    variance = (reduce(torch.add, squares) / len(rows) - mean.square()).clamp_min_(0)
    scale = variance.add_(EPSILON).rsqrt_().mul_(weight)
    shift = bias - mean * scale
    # Both steps on a part while the cache holds it.
    for part in parts:
        torch.addcmul(shift, part, scale, out=part)
        if positive:
            part.clamp_min_(0)


class _ChannelsLastNorm(Function):
    """Group normalisation whose backward pass sums over pixels by matrix products on (B, pixels, C).

    ``x`` may be float32, or bfloat16 as under autocast; statistics and the gradients of weight and bias are float32.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        x = x.contiguous(memory_format=torch.channels_last)
        result, mean, inverse = torch.native_group_norm(
            x, weight, bias, batch, channels, height * width, channels, EPSILON
        )
        ctx.save_for_backward(x, mean.float(), inverse.float(), weight)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, mean, inverse, weight = ctx.saved_tensors
        batch, channels, height, width = x.shape
        pixels = height * width
        rows, g = (part.permute(0, 2, 3, 1).reshape(batch, pixels, channels) for part in (x, gradient))
        mean, inverse = mean.view(batch, 1, channels), inverse.view(batch, 1, channels)
        # With n = (x - mean) * inverse the gradient is scale * (g - mean(g) - n * mean(g * n)): linear in x and g,
        # so two passes over the pixels make it.
        g_mean = _mean(g)
        along = (_mean(g * rows) - mean * g_mean) * inverse
        scale = inverse * weight
        slope = -scale * along * inverse
        offset = -scale * g_mean - slope * mean
        back = torch.addcmul(offset.to(x.dtype), rows, slope.to(x.dtype)).addcmul_(g, scale.to(x.dtype))
        return (
            back.view(batch, height, width, channels).permute(0, 3, 1, 2),
            along.sum((0, 1)) * pixels,
            g_mean.sum((0, 1)) * pixels,
        )


def _mean(rows: Tensor) -> Tensor:
    """Return the mean over pixels of (B, P, C) as float32 (B, 1, C)."""
    batch, pixels, _ = rows.shape
    return torch.bmm(rows.new_ones(1, 1, 1).expand(batch, 1, pixels), rows).float() / pixels


class FewOutputsConvolution(nn.Conv2d):
    """A KxK convolution of stride 1 with zero padding (K - 1) / 2 to very few channels, without bias.

    Vectorised kernels compute 16 output channels at a time, so three waste most of the work. Here, on CPUs, the K rows
    of the kernel become output channels of a 1xK convolution, and its shifted results are added. In use the rows beyond
    16 channels make two columns at a time. It serves training and use, in float32 and under bf16 autocast (the sum is
    float32 then too).

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
        made = (
            [functional.conv2d(x, rows, padding=(0, reach))]
            if torch.is_grad_enabled()
            else _in_lanes(x, rows, LANES // outputs * outputs)
        )
        parts = [functional.pad(part.float(), (0, 0, reach, reach)) for part in made]
        planes = [plane for part in parts for plane in part.split(outputs, 1)]
        result = planes[0][:, :, :height]
        for row in range(1, side):
            result = result + planes[row][:, :, row : row + height]
        return result


def _in_lanes(x: Tensor, rows: Tensor, first: int) -> list[Tensor]:
    """Return the convolution of (B, C, H, W) with (N, C, 1, K) ``rows``: the ``first`` outputs, then the others.

    They are contiguous: pixel by pixel, sums of planes would be of three values at a time.
    """
    if x.shape[3] % 2:
        first = len(rows)
    made = functional.conv2d(x, _whole_lanes(rows[:first]), padding=(0, rows.shape[3] // 2))
    parts = [made[:, :first].contiguous()]
    return [*parts, _two_columns(x, rows[first:])] if first < len(rows) else parts


def _two_columns(x: Tensor, rows: Tensor) -> Tensor:
    """Return the convolution of (B, C, H, W), W even, with (N, C, 1, K) ``rows``, as 2 N outputs of stride 2."""
    batch, _, height, width = x.shape
    both = _whole_lanes(torch.cat([functional.pad(rows, (0, 1)), functional.pad(rows, (1, 0))]))
    made = functional.conv2d(x, both, stride=(1, 2), padding=(0, rows.shape[3] // 2))
    columns = made[:, : 2 * len(rows)].unflatten(1, (2, len(rows)))
    return columns.permute(0, 2, 3, 4, 1).reshape(batch, len(rows), height, width)


def _whole_lanes(rows: Tensor) -> Tensor:
    """Return a kernel with outputs of zeros up to a multiple of ``LANES``: a part of one takes longer than all."""
    return functional.pad(rows, (0, 0, 0, 0, 0, 0, 0, -len(rows) % LANES))
