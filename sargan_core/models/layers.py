"""What the small networks for landmarks and for judging are made of."""

from __future__ import annotations

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
