"""Instance normalisation from the image's own statistics, always, and fast on channels-last tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

EPSILON = 1e-5


class InstanceNorm(nn.Module):
    """Instance normalisation with scale and shift.

    The same in ``train()`` and ``eval()`` and independent of the rest of the batch. Group normalisation with
    one channel a group is the same thing, and unlike the library's instance norm it keeps channels-last
    tensors channels-last; only its backward pass is slow on CPUs, so training there has its own.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W) ``x`` with each channel of each image at the learned mean and spread."""
        if torch.is_grad_enabled() and x.device.type == "cpu":
            normed: Tensor = _ChannelsLastNorm.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
            return normed
        return functional.group_norm(x, x.shape[1], self.weight, self.bias, EPSILON)


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
