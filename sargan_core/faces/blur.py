"""Soft masks: Gaussian blur of crops, polygons with soft edges, and ramps from 0 to 1."""

from __future__ import annotations

from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

# OpenCV's border mode for each padding mode of torch.
BORDERS = {"reflect": cv2.BORDER_REFLECT_101, "replicate": cv2.BORDER_REPLICATE}

# A number, an array or a tensor.
Share = TypeVar("Share")


def gaussian_blur(image: Tensor, window: int, sigma: float, border: str = "reflect") -> Tensor:
    """Return (B, C, H, W) blurred, as Kornia's ``gaussian_blur2d`` does it, whose import takes 0.3 s.

    Args:
        image: float32 or float64.
        window: side of the kernel in pixels, odd.
        sigma: its standard deviation in pixels.
        border: ``reflect`` or ``replicate``, how the picture continues beyond its border.
    """
    ticks = torch.arange(window, dtype=image.dtype) - window // 2
    bell = torch.exp(-ticks.square() / (2 * sigma**2))
    kernel = bell / bell.sum()
    if image.device.type == "cpu" and not image.requires_grad:
        # OpenCV is several times as fast as a convolution of torch here.
        taps = kernel.numpy()
        planes = image.detach().reshape(-1, *image.shape[-2:]).numpy()
        result = np.empty(planes.shape, planes.dtype)
        for plane, blurred in zip(planes, result, strict=True):
            cv2.sepFilter2D(plane, -1, taps, taps, dst=blurred, borderType=BORDERS[border])
        return torch.from_numpy(result).view(image.shape)
    count, reach = image.shape[1], window // 2
    taps_there = kernel.to(image.device).expand(count, 1, 1, window)
    padded = functional.pad(image, (reach, reach, reach, reach), mode=border)
    wide = functional.conv2d(padded, taps_there, groups=count)
    return functional.conv2d(wide, taps_there.transpose(2, 3), groups=count)


def polygon_cover(outline: npt.NDArray[np.float64], size: int) -> Tensor:
    """Return the fraction of each pixel that lies inside a polygon, (1, S, S) float64 in [0, 1].

    ``outline`` is (N, 2) crop pixels, (x, y), pixel centres at integers.
    """
    canvas = np.zeros((size * 4, size * 4), np.uint8)
    cv2.fillPoly(canvas, [np.round(((outline + 0.5) * 4 - 0.5) * 16).astype(np.int32)], 255, shift=4)
    share = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(share.astype(np.float64) / 255)[None]


def ramp(value: float, between: tuple[float, float]) -> float:
    """Return 0 below the first value, 1 above the second, and a straight line between them."""
    return min(1.0, max(0.0, (value - between[0]) / (between[1] - between[0])))


def smooth_step(share: Share) -> Share:
    """Return the curve 3 s² - 2 s³, which rises from 0 to 1 without a corner at either end; s in [0, 1]."""
    s: Any = share
    return s * s * (3 - 2 * s)


def smooth_ramp(value: float, between: tuple[float, float]) -> float:
    """Return 0 below the first value, 1 above the second, and a smooth curve between them."""
    return smooth_step(ramp(value, between))
