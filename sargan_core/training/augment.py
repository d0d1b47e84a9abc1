"""Augmentation: what makes frontal studio faces stand for portraits, avatars, paintings and statues.

Every draw is applied to the input and to the truth of a pair alike, so the network learns to keep it. All
random numbers come from a CPU generator, so a run can be repeated exactly on any device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class AugmentSettings:
    """How often and how strongly each kind is drawn; ``*_odds`` are probabilities per sample.

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
        """Return the settings with the geometric changes only; the same generator draws the same geometry."""
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
    # The pivot is fixed, not the picture's mean: that differs between input and truth.
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
