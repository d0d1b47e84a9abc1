"""Upright crops with known points, and their augmentation, for the neutral network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from sargan_core.faces.align import similarity
from sargan_core.faces.landmarks import MIRRORED, upright_crop
from sargan_core.models.landmarks.network import CROP_POINTS, SIZE
from sargan_core.photo.photo import MAX_PIXELS, read_photo

# Room around the network's crop for rotation, shift and scale in training.
MARGIN = 28


def training_crop(
    path: Path, anchors: npt.NDArray[np.float64], max_pixels: int = MAX_PIXELS
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """Cut the upright crop of a face, with a margin for ``augment``.

    Args:
        path: the photo.
        anchors: (3, 2) photo pixels: eyes and mouth.
        max_pixels: refuse photos of more pixels.

    Returns:
        (C, C) luminance, C = 168, and the (2, 3) matrix from its pixels to the photo's.

    Raises:
        PhotoError: the photo cannot be read.
    """
    matrix = similarity(np.array(CROP_POINTS) * SIZE - 0.5 + MARGIN, anchors)
    luminance = upright_crop(read_photo(path, max_pixels=max_pixels).pixels, matrix, SIZE + 2 * MARGIN)
    return (luminance * 255).round().astype(np.uint8), matrix


def augment(images: Tensor, points: Tensor, trust: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Draw a jittered 112 px view of each crop: flip, rotation, scale, shift, light, blur, noise, occluders.

    Args:
        images: (B, 1, C, C) luminance in [0, 1].
        points: (B, 68, 2) crop pixels.
        trust: (B, 68).

    Returns:
        (B, 1, 112, 112), the points in its pixels, and the trust, mirrored with the points.
    """
    count, side = len(images), images.shape[-1]
    flip = torch.rand(count) < 0.5
    points, trust = points.clone(), trust.clone()
    points[flip, :, 0] = side - 1 - points[flip, :, 0]
    points[flip] = points[flip][:, MIRRORED]
    trust[flip] = trust[flip][:, MIRRORED]
    images = torch.where(flip[:, None, None, None], images.flip(3), images)

    angle = torch.randn(count) * 0.16
    scale = torch.exp(torch.randn(count) * 0.12)
    stretch = torch.exp(torch.randn(count) * 0.05)
    shift = torch.randn(count, 2) * 4.5
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    # View pixel -> crop pixel, about both centres.
    matrix = torch.stack(
        [torch.stack([cosine, -sine * stretch], 1), torch.stack([sine, cosine * stretch], 1)], 1
    )
    ticks = torch.arange(SIZE) - (SIZE - 1) / 2
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    view = torch.stack([x, y], 2).view(1, -1, 2)
    position = view @ matrix.transpose(1, 2) + shift[:, None]
    grid = (position / ((side - 1) / 2)).view(count, SIZE, SIZE, 2)
    images = functional.grid_sample(images, grid, align_corners=True, padding_mode="border")
    centred = points - (side - 1) / 2 - shift[:, None]
    points = centred @ torch.linalg.inv(matrix).transpose(1, 2) + (SIZE - 1) / 2
    return _degrade(images), points, trust


def _degrade(images: Tensor) -> Tensor:
    count = len(images)

    def draw() -> Tensor:
        return torch.rand(count, 1, 1, 1)

    gamma = torch.exp((draw() - 0.5) * 1.6)
    images = images.clamp(1e-3, 1) ** gamma
    ramp = torch.linspace(-1, 1, SIZE)
    light = (draw() - 0.5) * ramp.view(1, 1, 1, -1) + (draw() - 0.5) * ramp.view(1, 1, -1, 1)
    images = images * (1 + 0.9 * light) * (0.4 + 0.9 * draw()) + (draw() - 0.5) * 0.3
    soft = functional.avg_pool2d(functional.pad(images, (2, 2, 2, 2), mode="replicate"), 5, 1)
    images = torch.lerp(images, soft, (draw() * 2.6 - 1.2).clamp(-0.8, 1))
    # A drawing or a statue is its outline: now and then show only local contrast, or a few grey levels.
    levels = 3 + (draw() * 4).floor()
    images = torch.where(draw() < 0.06, (images * levels).round() / levels, images)
    images = torch.where(draw() < 0.06, 0.5 + 3 * (images - soft), images)
    images = images + torch.randn_like(images) * 0.06 * draw()
    for _ in range(2):
        centre = torch.rand(count, 2) * SIZE
        reach = 4 + torch.rand(count, 2) * 18
        ticks = torch.arange(SIZE)
        inside = ((ticks - centre[:, :1]).abs() < reach[:, :1])[:, None, None, :] & (
            (ticks - centre[:, 1:]).abs() < reach[:, 1:]
        )[:, None, :, None]
        images = torch.where(inside & (draw() < 0.15), draw().expand_as(images), images)
    return images
