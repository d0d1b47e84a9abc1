"""What several networks share: a layer, the way they see a crop, how their weights lie in memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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


def keep_channels_last(module: nn.Module) -> None:
    """Lay out the convolution weights channels-last, which convolutions are fastest with."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
