"""Augmentation: what makes frontal studio faces stand for portraits, avatars, paintings and statues.

``augment`` is for pairs: every draw is applied to the input and to the truth alike, so the network learns to keep it.
All its random numbers come from a CPU generator, so a run can be repeated exactly on any device. ``sample_views`` and
``degrade`` are for networks that recognise something; they work on a whole batch, on its device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class AugmentSettings:
    """Probability and strength of each change; ``*_odds`` are probabilities per sample.

    Attributes:
        flip_odds: mirror image.
        rotation: standard deviation of the rotation in degrees.
        zoom: standard deviation of the logarithm of the scale.
        shift: standard deviation of the shift as a fraction of the side.
        colour: strength of gain, contrast, gamma and white balance changes (1 = as tuned, 0 = none).
        grey_odds: grey picture (statues, old photos).
        posterise_odds: few tones with smooth regions (prints, paintings).
        sketch_odds: pencil-like drawing.
        blur_odds: lower resolution.
        occluder_odds: an ellipse or half-plane of another colour over the picture.
        noise_odds: sensor noise.
        jpeg_odds: block quantisation as in JPEG.
    """

    flip_odds: float = 0.5
    rotation: float = 3.0
    zoom: float = 0.04
    shift: float = 0.015
    colour: float = 1.0
    grey_odds: float = 0.12
    posterise_odds: float = 0.04
    sketch_odds: float = 0.03
    blur_odds: float = 0.12
    occluder_odds: float = 0.06
    noise_odds: float = 0.12
    jpeg_odds: float = 0.1

    def geometric(self) -> AugmentSettings:
        """Return the settings with the geometric changes only; they draw the same random numbers as all changes."""
        return replace(
            NONE, flip_odds=self.flip_odds, rotation=self.rotation, zoom=self.zoom, shift=self.shift
        )


NONE = AugmentSettings(*(0.0 for _ in range(12)))
FLIP = replace(NONE, flip_odds=0.5)

# The luminance table of the JPEG standard (ITU-T T.81, table K.1).
_JPEG_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_LUMA = (0.299, 0.587, 0.114)


def augment(
    pictures: tuple[Tensor, ...], settings: AugmentSettings, random: torch.Generator
) -> tuple[Tensor, ...]:
    """Return the pictures with one draw per sample, the same for every picture of the tuple.

    Args:
        pictures: tensors (B, 3, S, S) float32 RGB in [0, 1].
        settings: what is drawn.
        random: CPU generator.

    Returns:
        As many tensors of the same shape, in [0, 1].
    """
    count = len(pictures[0])
    copies = len(pictures)
    x = torch.stack(pictures, 1)
    x = _warp(x.flatten(0, 1), _similarity(count, settings, random).repeat_interleave(copies, 0)).view_as(x)
    x = _colour(x, settings, random)
    for odds, change in (
        (settings.grey_odds, _grey),
        (settings.posterise_odds, _posterise),
        (settings.sketch_odds, _sketch),
        (settings.blur_odds, _blur),
        (settings.occluder_odds, _occlude),
        (settings.noise_odds, _noise),
        (settings.jpeg_odds, _jpeg),
    ):
        chosen = torch.rand(count, generator=random) < odds
        for index in chosen.nonzero().flatten().tolist():
            x[index] = change(x[index], random)
    return tuple(x.clamp(0, 1).unbind(1))


def _uniform(low: float, high: float, random: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=random))


def _similarity(count: int, settings: AugmentSettings, random: torch.Generator) -> Tensor:
    """Return (B, 2, 3) sampling matrices for ``affine_grid``: rotation, scale, shift, mirror."""
    draws = torch.randn(count, 4, generator=random).clamp(-2.5, 2.5)
    angle = draws[:, 0] * math.radians(settings.rotation)
    scale = torch.exp(draws[:, 1] * settings.zoom)
    shift = draws[:, 2:] * settings.shift * 2
    mirror = torch.where(torch.rand(count, generator=random) < settings.flip_odds, -1.0, 1.0)
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    rows = (mirror * cosine, -sine, shift[:, 0], mirror * sine, cosine, shift[:, 1])
    return torch.stack(rows, 1).view(count, 2, 3)


def _warp(x: Tensor, matrices: Tensor) -> Tensor:
    grid = functional.affine_grid(matrices.to(x), list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


def _colour(x: Tensor, settings: AugmentSettings, random: torch.Generator) -> Tensor:
    """Gain, white balance, contrast, gamma and saturation of (B, copies, 3, S, S)."""
    draws = (settings.colour * torch.randn(len(x), 7, generator=random).clamp(-2, 2)).to(x)
    gain = torch.exp(0.15 * draws[:, :1] + 0.06 * draws[:, 1:4]).view(-1, 1, 3, 1, 1)
    contrast, gamma, saturation = (
        torch.exp(0.12 * draws[:, index]).view(-1, 1, 1, 1, 1) for index in (4, 5, 6)
    )
    x = (x * gain).clamp(0, 1)
    # The pivot is fixed, because the picture's mean differs between input and truth.
    x = ((x - 0.5) * contrast + 0.5).clamp(1e-4, 1) ** gamma
    grey = _luminance(x)
    return grey + (x - grey) * saturation**2


def _luminance(x: Tensor) -> Tensor:
    weights = torch.tensor(_LUMA, dtype=x.dtype, device=x.device).view(3, 1, 1)
    return (x * weights).sum(-3, keepdim=True)


def _grey(x: Tensor, random: torch.Generator) -> Tensor:
    tint = 1 + 0.08 * torch.randn(3, 1, 1, generator=random).clamp(-2, 2)
    return (_luminance(x) * tint.to(x)).expand_as(x)


def _posterise(x: Tensor, random: torch.Generator) -> Tensor:
    tones = int(torch.randint(4, 9, (), generator=random))
    smooth = functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    return torch.round(smooth * tones) / tones


def _sketch(x: Tensor, random: torch.Generator) -> Tensor:
    grey = _luminance(x)
    reach = x.shape[-1] // 20 * 2 + 1
    around = functional.avg_pool2d(grey, reach, 1, reach // 2, count_include_pad=False)
    strength = _uniform(0.6, 1.0, random)
    lines = (grey / around.clamp_min(0.05)).clamp(0, 1) ** 2
    return (strength * lines + (1 - strength) * grey).expand_as(x)


def _blur(x: Tensor, random: torch.Generator) -> Tensor:
    side = x.shape[-1]
    small = max(8, round(side * _uniform(0.35, 0.8, random)))
    reduced = functional.interpolate(x, (small, small), mode="bilinear", antialias=True)
    return functional.interpolate(reduced, (side, side), mode="bicubic", align_corners=False)


def _occlude(x: Tensor, random: torch.Generator) -> Tensor:
    ticks = torch.linspace(-1, 1, x.shape[-1])
    angle = _uniform(0, 2 * math.pi, random)
    across = ticks[None] * math.cos(angle) + ticks[:, None] * math.sin(angle)
    along = ticks[:, None] * math.cos(angle) - ticks[None] * math.sin(angle)
    if _uniform(0, 1, random) < 0.5:
        inside = (across - _uniform(0.45, 0.9, random)) * x.shape[-1] / 4
    else:
        centre, radius = _uniform(-0.9, 0.9, random), _uniform(0.1, 0.35, random)
        squeeze = _uniform(0.5, 2.0, random)
        distance = ((across - centre) ** 2 + (squeeze * (along - _uniform(-0.9, 0.9, random))) ** 2).sqrt()
        inside = (radius - distance) * x.shape[-1] / 4
    cover = inside.clamp(0, 1).to(x)
    shade = torch.rand(3, 1, 1, generator=random) + 0.15 * along * _uniform(-1, 1, random)
    return x + cover * (shade.to(x) - x)


def _noise(x: Tensor, random: torch.Generator) -> Tensor:
    grain = torch.randn(x.shape[1:], generator=random) * _uniform(0.01, 0.04, random)
    return x + grain.to(x)


def _jpeg(x: Tensor, random: torch.Generator) -> Tensor:
    """Quantise 8x8 cosine blocks of every channel with the scaled luminance table."""
    steps = torch.tensor(_JPEG_TABLE, dtype=x.dtype, device=x.device) * _uniform(0.3, 1.8, random) / 255
    ticks = torch.arange(8, dtype=x.dtype, device=x.device)
    cosine = torch.cos((2 * ticks[None] + 1) * ticks[:, None] * math.pi / 16) / 2
    cosine[0] /= math.sqrt(2)
    side = x.shape[-1] // 8
    blocks = x[..., : side * 8, : side * 8].reshape(*x.shape[:2], side, 8, side, 8)
    # blocks: (copies, 3, rows, 8, columns, 8)
    coefficients = torch.einsum("ua,nkraxb,vb->nkruxv", cosine, blocks, cosine)
    coefficients = torch.round(coefficients / steps[:, None, :]) * steps[:, None, :]
    blocks = torch.einsum("ua,nkruxv,vb->nkraxb", cosine, coefficients, cosine)
    result = x.clone()
    result[..., : side * 8, : side * 8] = blocks.flatten(-2).flatten(-3, -2)
    return result


def sample_views(pictures: Tensor, matrices: Tensor, size: int) -> Tensor:
    """Return (B, C, size, size) views of (B, C, H, W) pictures.

    Args:
        pictures: float32; pixels of the border are repeated outside.
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


def degrade(images: Tensor, strength: float = 1.0) -> Tensor:
    """Return (B, C, S, S) pictures in [0, 1] with random changes, drawn with torch's own generator of their device.

    Gamma, colour, light from a side, a shadow's edge, contrast, blur, low resolution, few grey levels, noise, JPEG, and
    things in front of the face.

    Args:
        images: C is 1 or 3.
        strength: 1 = as tuned for the landmark networks; less is milder and rarer.
    """
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
        grey = (images * torch.tensor(_LUMA, device=device).view(1, 3, 1, 1)).sum(1, keepdim=True)
        colour = torch.where(odds(0.25), torch.zeros_like(grey[:, :, :1, :1]), draw(0.4, 1.5))
        images = grey + (images - grey) * colour
    # Light from a side, and the hard edge of a shadow.
    ramp = torch.linspace(-1, 1, size, device=device)
    across, down = ramp.view(1, 1, 1, -1), ramp.view(1, 1, -1, 1)
    images = images * (1 + strength * (draw(-0.45, 0.45) * across + draw(-0.45, 0.45) * down))
    angle = draw(0, 6.2832)
    edge = torch.sigmoid((across * angle.cos() + down * angle.sin() - draw(-0.7, 0.7)) * draw(3, 40))
    images = torch.where(odds(0.25), images * (1 - edge * draw(0.25, 0.75)), images)
    images = images * (1 + strength * draw(-0.45, 0.3)) + strength * draw(-0.12, 0.12)
    soft = functional.avg_pool2d(functional.pad(images, (2, 2, 2, 2), mode="replicate"), 5, 1)
    images = torch.lerp(images, soft, draw(-1.2, 1.4).clamp(-0.8, 1))
    # Low resolution.
    small = functional.interpolate(images, (size * 2 // 5, size * 2 // 5), mode="area")
    small = functional.interpolate(small, (size, size), mode="bilinear", align_corners=False)
    images = torch.where(odds(0.12), small, images)
    # Drawings and statues show little but outlines: sometimes only local contrast, or a few grey levels.
    levels = 3 + draw(0, 4).floor()
    images = torch.where(odds(0.04), (images * levels).round() / levels, images)
    images = torch.where(odds(0.05), 0.5 + 3 * (images - soft), images)
    images = images + torch.randn_like(images) * 0.06 * strength * draw() * odds(0.6)
    images = torch.where(odds(0.3), _jpeg_batch(images, draw(0.3, 2.0)), images)
    for _ in range(2):
        images = torch.where(_covered(count, size, device) & odds(0.18), _cover(images, draw()), images)
    return images.clamp(0, 1)


def _jpeg_batch(images: Tensor, coarseness: Tensor) -> Tensor:
    """Return pictures whose 8 x 8 cosine blocks are quantised; ``coarseness`` (B, 1, 1, 1), 1 = JPEG quality 50."""
    size = images.shape[-1]
    ticks = torch.arange(8, dtype=torch.float32, device=images.device)
    cosine = torch.cos((2 * ticks[None] + 1) * ticks[:, None] * torch.pi / 16) / 2
    cosine[0] /= 2**0.5
    # Close to the luminance table of the standard, but linear in the frequency.
    steps = (12 + 7 * (ticks[:, None] + ticks[None])) / 255
    steps = (steps[None, None, None, :, None, :] * coarseness[..., None, None]).float()
    blocks = images.reshape(*images.shape[:2], size // 8, 8, size // 8, 8)
    waves = torch.einsum("ua,ncrakb,vb->ncrukv", cosine, blocks, cosine)
    waves = (waves / steps).round() * steps
    return torch.einsum("ua,ncrukv,vb->ncrakb", cosine, waves, cosine).reshape(images.shape)


def _covered(count: int, size: int, device: torch.device) -> Tensor:
    """Return (B, 1, S, S) masks of a rotated box at a random place."""
    ticks = torch.linspace(-1, 1, size, device=device)
    draws = torch.rand(count, 5, 1, 1, 1, device=device)
    x = ticks.view(1, 1, 1, -1) - (2 * draws[:, 0] - 1)
    y = ticks.view(1, 1, -1, 1) - (2 * draws[:, 1] - 1)
    angle = draws[:, 2] * torch.pi
    along, across = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    return (along.abs() < 0.08 + 0.5 * draws[:, 3]) & (across.abs() < 0.06 + 0.3 * draws[:, 4])


def _cover(images: Tensor, shade: Tensor) -> Tensor:
    """Return what covers the face: one grey value, or for every second picture another face."""
    other = images.roll(1, 0).flip(2)
    plain = (torch.arange(len(images), device=images.device) % 2 == 0).view(-1, 1, 1, 1)
    return torch.where(plain, shade.expand_as(images), other)
