"""Views of pictures for training, drawn and spoilt on the device where the network learns, a whole batch at a time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def sample(pictures: Tensor, matrices: Tensor, size: int) -> Tensor:
    """Return (B, C, size, size) views of (B, C, H, W) pictures.

    Args:
        pictures: float32; beyond their border its pixels go on.
        matrices: (B, 2, 3) from view pixels to picture pixels, pixel centres at integers.
        size: side of the views.
    """
    height, width = pictures.shape[-2:]
    ticks = torch.arange(size, device=pictures.device, dtype=torch.float32)
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    places = torch.stack([x, y, torch.ones_like(x)], 2).view(1, -1, 3) @ matrices.transpose(1, 2)
    scale = torch.tensor([2 / width, 2 / height], device=pictures.device)
    grid = ((places + 0.5) * scale - 1).view(len(pictures), size, size, 2)
    return functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def spoil(images: Tensor, strength: float = 1.0) -> Tensor:
    """Return (B, C, S, S) pictures in [0, 1] in other light, blurred, noisy, as JPEG, partly covered."""
    count, channels, size = images.shape[0], images.shape[1], images.shape[-1]
    device = images.device

    def draw(low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, 1, device=device)

    def odds(share: float) -> Tensor:
        return torch.rand(count, 1, 1, 1, device=device) < share * strength

    images = images.clamp(1e-3, 1) ** torch.exp(draw(-0.7, 0.7) * strength)
    if channels == 3:
        tint = 1 + 0.16 * strength * torch.randn(count, 3, 1, 1, device=device).clamp(-2, 2)
        images = images * tint
        grey = (images * _luma(device)).sum(1, keepdim=True)
        colour = torch.where(odds(0.25), torch.zeros_like(grey[:, :, :1, :1]), draw(0.4, 1.5))
        images = grey + (images - grey) * colour
    # Light from a side, and the hard edge of a shadow or of a lamp.
    ramp = torch.linspace(-1, 1, size, device=device)
    across, down = ramp.view(1, 1, 1, -1), ramp.view(1, 1, -1, 1)
    images = images * (1 + strength * (draw(-0.45, 0.45) * across + draw(-0.45, 0.45) * down))
    angle = draw(0, 6.2832)
    edge = torch.sigmoid((across * angle.cos() + down * angle.sin() - draw(-0.7, 0.7)) * draw(3, 40))
    images = torch.where(odds(0.25), images * (1 - edge * draw(0.25, 0.75)), images)
    images = images * (1 + strength * draw(-0.45, 0.3)) + strength * draw(-0.12, 0.12)
    soft = functional.avg_pool2d(functional.pad(images, (2, 2, 2, 2), mode="replicate"), 5, 1)
    images = torch.lerp(images, soft, draw(-1.2, 1.4).clamp(-0.8, 1))
    # A photo of few pixels.
    small = functional.interpolate(images, (size * 2 // 5, size * 2 // 5), mode="area")
    small = functional.interpolate(small, (size, size), mode="bilinear", align_corners=False)
    images = torch.where(odds(0.12), small, images)
    # A drawing or a statue is its outline: now and then only local contrast, or a few grey levels.
    levels = 3 + draw(0, 4).floor()
    images = torch.where(odds(0.04), (images * levels).round() / levels, images)
    images = torch.where(odds(0.05), 0.5 + 3 * (images - soft), images)
    images = images + torch.randn_like(images) * 0.06 * strength * draw() * odds(0.6)
    images = torch.where(odds(0.3), jpeg(images, draw(0.3, 2.0)), images)
    for _ in range(2):
        images = torch.where(_covered(count, size, device) & odds(0.18), _cover(images, draw()), images)
    return images.clamp(0, 1)


def jpeg(images: Tensor, coarseness: Tensor) -> Tensor:
    """Return pictures whose 8 x 8 cosine blocks are quantised; ``coarseness`` (B, 1, 1, 1), 1 = JPEG of quality 50."""
    size = images.shape[-1]
    ticks = torch.arange(8, dtype=torch.float32, device=images.device)
    cosine = torch.cos((2 * ticks[None] + 1) * ticks[:, None] * torch.pi / 16) / 2
    cosine[0] /= 2**0.5
    # Close to the luminance table of the standard: 16 for the mean, 8 more for every step of frequency.
    steps = (12 + 7 * (ticks[:, None] + ticks[None])) / 255
    steps = (steps[None, None, None, :, None, :] * coarseness[..., None, None]).float()
    blocks = images.reshape(*images.shape[:2], size // 8, 8, size // 8, 8)
    waves = torch.einsum("ua,ncrakb,vb->ncrukv", cosine, blocks, cosine)
    waves = (waves / steps).round() * steps
    return torch.einsum("ua,ncrukv,vb->ncrakb", cosine, waves, cosine).reshape(images.shape)


def _covered(count: int, size: int, device: torch.device) -> Tensor:
    """Return (B, 1, S, S) masks: a turned box somewhere."""
    ticks = torch.linspace(-1, 1, size, device=device)
    draws = torch.rand(count, 5, 1, 1, 1, device=device)
    x = ticks.view(1, 1, 1, -1) - (2 * draws[:, 0] - 1)
    y = ticks.view(1, 1, -1, 1) - (2 * draws[:, 1] - 1)
    angle = draws[:, 2] * torch.pi
    along, across = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    return (along.abs() < 0.08 + 0.5 * draws[:, 3]) & (across.abs() < 0.06 + 0.3 * draws[:, 4])


def _cover(images: Tensor, shade: Tensor) -> Tensor:
    """Return what covers: a plain shade, or for every other picture a part of another face."""
    other = images.roll(1, 0).flip(2)
    plain = (torch.arange(len(images), device=images.device) % 2 == 0).view(-1, 1, 1, 1)
    return torch.where(plain, shade.expand_as(images), other)


def _luma(device: torch.device) -> Tensor:
    return torch.tensor([0.299, 0.587, 0.114], device=device).view(1, 3, 1, 1)
