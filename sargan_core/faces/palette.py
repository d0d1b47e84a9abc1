"""Palette: an edit gives the skin of a face no colours that the face does not have.

A model shades skin as it learned on evenly lit photos: it takes light away and mixes grey in. On a face in other
colours, as in a painting or by candle light, such a shade is a grey stain. How a face is coloured at each lightness,
and how far its colours stray, is measured on its skin. A place that becomes darker or lighter may stray but little more
than it did before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import EllipsisType

import numpy as np
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from sargan_core.faces.align import Alignment
from sargan_core.faces.face import EditedCrops
from sargan_core.faces.masks import face_mask
from sargan_core.faces.mouth import lips_region
from sargan_core.faces.tone import Tone, luma, mean_by_light
from sargan_core.faces.warp import positions, sample

# Part of the face's mask from which a pixel counts as skin, and how much more colours may stray, in deviations.
SKIN, STRAYS = 0.5, 0.3
# Times that a place is lighter after an edit than before, at most.
LIGHTER = 2.0
# One of so many pixels is looked at, across and down.
FEWER = 2


def in_own_colours(edited: EditedCrops, crop: Tensor, alignment: Alignment) -> EditedCrops:
    """Return an edit whose colours are those of its face; its lips and what lies between them are left alone.

    Args:
        edited: of one face; an edit that moves nothing paints what it shows, and is returned as it is.
        crop: (1, 3, S, S) the face before it.
        alignment: of the crop; without landmarks nothing is known of the skin, and nothing is changed.
    """
    if edited.flow is None or alignment.landmarks is None:
        return edited
    landmarks = alignment.landmarks.astype(np.float64)
    size = crop.shape[-1]
    face = face_mask(landmarks, size).to(crop)
    skin = face[0] > SKIN
    if not bool(skin[::FEWER, ::FEWER].any()):
        return edited
    usual = _Usual.of(crop[..., ::FEWER, ::FEWER], skin[::FEWER, ::FEWER])
    if edited.lips is not None and bool(edited.lips.isfinite().all()):
        # Lips, teeth and tongue have colours of their own.
        whole = np.concatenate([landmarks[:48], edited.lips[0].cpu().double().numpy()])
        face = face * (1 - lips_region(whole, size)).to(crop)
    part = _around(face[0] > 0)
    # At a quarter of the pixels: the colours of skin are coarse.
    small = avg_pool2d(edited.image[part], FEWER)
    own = sample(crop, avg_pool2d(positions(edited.flow)[part], FEWER))
    light, light_before = luma(small)[0], luma(own)[0]
    # How a place differs from the rest of the face grows with the light on it.
    before = usual.strays(own) * (light / light_before.clamp_min(1e-3)).clamp(0, LIGHTER)
    strays = usual.strays(small)
    # What an edit covers, such as an iris by a lid, may lose any part of its colour.
    kept = (strays * before).sum(0) / before.square().sum(0).clamp_min(1e-9)
    further = strays - kept.clamp(0, 1) * before
    most = STRAYS * usual.spread.colour(light[0]).clamp_min(0).sqrt()
    excess = (1 - most / _length(further).clamp_min(1e-6)).clamp_min(0)
    too_much = interpolate((excess * further)[None], scale_factor=FEWER, mode="bilinear", align_corners=False)
    image = edited.image.clone()
    image[part] -= face[None][part] * too_much
    return replace(edited, image=image)


def _around(wanted: Tensor) -> tuple[EllipsisType, slice, slice]:
    """Return the rectangle around what is wanted, (S, S), with some room, in steps of ``FEWER`` pixels."""
    sides = []
    for axis in (1, 0):
        found = wanted.any(axis).nonzero()[:, 0]
        first, last = int(found[0]) // FEWER - 1, int(found[-1]) // FEWER + 2
        sides.append(slice(max(0, first) * FEWER, min(last, wanted.shape[1 - axis] // FEWER) * FEWER))
    return ..., sides[0], sides[1]


@dataclass(frozen=True)
class _Usual:
    """How the skin of one face is coloured.

    Attributes:
        tone: the mean colour at each lightness.
        spread: (1, LEVELS) the mean squared distance from it.
        darkest: the least lightness that the skin has; what is darker has less colour.
    """

    tone: Tone
    spread: Tone
    darkest: float

    @classmethod
    def of(cls, crop: Tensor, skin: Tensor) -> _Usual:
        light = luma(crop)[0, 0][skin]
        colour = (crop - luma(crop))[0][:, skin]
        tone = Tone(mean_by_light(light, colour), 1.0)
        away = _length(colour - tone.colour(light)).square()
        return cls(tone, Tone(mean_by_light(light, away), 1.0), max(float(light.min()), 1e-3))

    def strays(self, image: Tensor) -> Tensor:
        """Return how each pixel's colour differs from the usual one of its lightness, (3, S, S)."""
        light = luma(image)
        usual = self.tone.colour(light[0, 0]) * (light[0] / self.darkest).clamp(0, 1)
        return (image - light)[0] - usual


def _length(colours: Tensor) -> Tensor:
    return colours.square().sum(0, keepdim=True).sqrt()
