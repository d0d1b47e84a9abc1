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
    tensors channels-last; only its backward pass is slow on processors, so training there has its own.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W) ``x`` with each channel of each image at the learned mean and spread."""
        if torch.is_grad_enabled() and x.device.type == "cpu" and x.dtype == torch.float32:
            normed: Tensor = _ChannelsLastNorm.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
            return normed
        return functional.group_norm(x, x.shape[1], self.weight, self.bias, EPSILON)


class _ChannelsLastNorm(Function):
    """Forward and backward with the sums over pixels as matrix products over (B, pixels, C)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
        rows = rows - _mean(rows)
        inverse = torch.rsqrt(_mean(rows * rows) + EPSILON)
        rows.mul_(inverse)
        ctx.save_for_backward(rows, inverse, weight)
        result = torch.addcmul(bias, rows, weight)
        return result.view(batch, height, width, channels).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows, inverse, weight = ctx.saved_tensors
        batch, channels, height, width = gradient.shape
        g = gradient.permute(0, 2, 3, 1).reshape(rows.shape)
        mean, along = _mean(g), _mean(g * rows)
        scale = inverse * weight
        back = torch.addcmul(g * scale - mean * scale, rows, -(along * scale))
        pixels = rows.shape[1]
        return (
            back.view(batch, height, width, channels).permute(0, 3, 1, 2),
            along.sum((0, 1)) * pixels,
            mean.sum((0, 1)) * pixels,
        )


def _mean(rows: Tensor) -> Tensor:
    """Return the mean over pixels of (B, P, C) as (B, 1, C)."""
    ones = rows.new_full((1, 1, 1), 1 / rows.shape[1]).expand(rows.shape[0], 1, rows.shape[1])
    return torch.bmm(ones, rows)
