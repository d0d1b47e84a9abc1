"""Tone: the colours that a photo has at each lightness, so that an edit brings no others into a photo without colour.

A grey photo has none; a sepia or toned print, or a grey one with a tint, has one at each lightness: its colours lie on
a line from dark to light. A model, which was trained on colour photos, answers such a crop with a red mouth all the
same. There only the change of lightness is taken from it, and the colour follows the photo's own line. Whether the
colours lie on a line is measured on the crop, where the noise of a photo's coding is averaged out.

Colour here is what remains of RGB without its luma (ITU-R BT.601), three values whose weighted sum is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

LUMA = (0.299, 0.587, 0.114)
# Where a crop is looked at: a disc of this share of its width, on brows, eyes, nose and mouth. A coloured frame around
# a grey face says nothing about the face.
LOOK = 0.6
# Scatter of colour around the line (root mean square, 0..1) up to which a photo counts as having one tone, and from
# which its colours are left alone. It is measured on this many cells across: coding makes colour coarser than light,
# which in single pixels looks like scatter. Strongly toned photos make less than the first then, faces of pale colour
# photos more than the second.
SCATTER = (0.9 / 255, 1.6 / 255)
CELLS = 32
# A line that comes nowhere further from grey than this is grey: nothing finer can be written with 8 bits.
GREY = 0.5 / 255
# Levels of lightness at which the line is known, and how far each looks around, as a share of the range.
LEVELS = 65
REACH = 0.03


@dataclass(frozen=True)
class Tone:
    """The one line that a photo's colours lie on.

    Attributes:
        line: (3, LEVELS) float32, the colour at evenly spaced lightness from 0 to 1.
        share: how much of an edit keeps to the line, in (0, 1].
    """

    line: Tensor
    share: float

    def held(self, own: Tensor, change: Tensor) -> Tensor:
        """Return a change of a photo's pixels that keeps to the line.

        Args:
            own: the photo's pixels, (1, 3, H, W) in [0, 1].
            change: what a model would add to them, of the same shape.
        """
        light, added = luma(own), luma(change)
        kept = added.expand_as(change).contiguous()
        if bool(self.line.any()):
            kept = kept + (self.colour((light + added)[0, 0]) - self.colour(light[0, 0]))[None]
            # What is too light or dark for its colour gives up lightness: cut channel by channel it leaves the line.
            result = own + kept
            kept = kept - (result.amax(1, keepdim=True) - 1).clamp_min(0)
            kept = kept - result.amin(1, keepdim=True).clamp_max(0)
        return kept if self.share == 1 else torch.lerp(change, kept, self.share)

    def colour(self, light: Tensor) -> Tensor:
        """Return the line's colour at each lightness: (...) becomes (3, ...)."""
        at = light.clamp(0, 1) * (LEVELS - 1)
        below = at.long().clamp_max(LEVELS - 2)
        return torch.lerp(self.line[:, below], self.line[:, below + 1], at - below)


def luma(colours: Tensor) -> Tensor:
    """Return the luma of (1, 3, H, W) RGB as (1, 1, H, W)."""
    return (colours * colours.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def tone_of(crop: Tensor) -> Tone | None:
    """Return the tone of a photo that has only one in a face, None for a photo in colour.

    Args:
        crop: the face, (1, 3, S, S) RGB in [0, 1].
    """
    low, high = SCATTER
    cells = _seen(avg_pool2d(crop, max(1, crop.shape[-1] // CELLS)))
    # Colours that stray so far from the line of the cells themselves are on no line: most photos end here.
    if _scatter(*cells, mean_by_light(*cells)) > 2 * high:
        return None
    line = mean_by_light(*_seen(crop))
    scatter = _scatter(*cells, line)
    share = min(1.0, max(0.0, (high - scatter) / (high - low)))
    if share == 0:
        return None
    return Tone(torch.zeros_like(line) if float(line.abs().max()) < GREY else line, share)


def _scatter(light: Tensor, colour: Tensor, line: Tensor) -> float:
    """Return how far colours (3, N) stray from a line (root mean square), at their lightness (N,)."""
    return float((colour - Tone(line, 1.0).colour(light)).square().mean().sqrt())


def _seen(crop: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lightness (N,) and the colour (3, N) of the pixels that are looked at."""
    size = crop.shape[-1]
    ticks = (torch.arange(size, device=crop.device) + 0.5) / size * 2 - 1
    where = ticks[:, None].square() + ticks.square() < LOOK**2
    seen = crop[:, :, where][..., None, :]
    light = luma(seen)
    return light[0, 0, 0], (seen - light)[0, :, 0]


def mean_by_light(light: Tensor, colour: Tensor) -> Tensor:
    """Return the mean colour (C, LEVELS) around each level; beyond the darkest and lightest it stays as there.

    ``light`` is (N,), ``colour`` (C, N).
    """
    level = (light.clamp(0, 1) * (LEVELS - 1)).round().long()
    counts = torch.bincount(level, minlength=LEVELS).to(colour)
    sums = torch.stack([torch.bincount(level, plane, minlength=LEVELS) for plane in colour]).to(colour)
    away, near = _levels(colour.device, colour.dtype)
    means = (sums @ near) / (counts @ near)
    if bool(counts.all()):
        return means
    # A level without pixels of its own takes the colour of the nearest that has some.
    known = counts.nonzero()[:, 0]
    return means[:, known[away[:, known].argmin(1)]]


@lru_cache(maxsize=4)
def _levels(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return how far levels lie from each other, (LEVELS, LEVELS), and how much each sees of the others."""
    # A tensor made in inference mode could not be used in training afterwards.
    with torch.inference_mode(False):
        ticks = torch.arange(LEVELS, device=device, dtype=dtype)
        away = (ticks[:, None] - ticks).abs()
        return away, torch.exp(-0.5 * (away / (REACH * (LEVELS - 1))).square())
