"""Expression transfer by motion: move a face's landmarks, and show the reference's mouth between parted lips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sargan_core.faces.eyes import EYES, between_lids, eye_openings, eye_regions, eye_white
from sargan_core.faces.motion import motion_field, sound, with_seen_lids
from sargan_core.faces.mouth import FACING, hide_inside, inside_mouth, opening, widened
from sargan_core.faces.warp import positions, sample

Points = npt.NDArray[np.float64]

# Lowest brightness of the inside of the mouth, as a fraction of the reference's; it is never made brighter.
DARKEST = 0.4
# Highest brightness of teeth, as a fraction of the whites of the same face's eyes.
TEETH = 1.15
# Fraction by which the colour of teeth is pulled to the colour of the light.
TINT = 0.7
# Opening of the face's own mouth, as a fraction of the wanted one. Below the first value the inside comes from the
# reference, above the second from the face itself; between them the two are mixed.
OWN_MOUTH = (0.35, 0.75)
# Gap between the lips, as a fraction of the crop's side: closed below the first value, open from the second.
PARTED = (0.006, 0.016)
# Gap between the inner lips, as a fraction of the crop's side: below the first value it is landmark error and counts
# as 0, from the second it counts in full.
SURE_GAP = (0.005, 0.016)
# How dark an open mouth is of which nothing is known, as a fraction of the crop's mean.
CAVITY = 0.25
# Mouth closing (fraction) at which the fade-out of the mouth's inside starts and ends.
CLOSING = (0.6, 1.0)
# Eye closing (fraction) at which the fade-out of the eyeball starts and ends.
SHUTTING = (0.5, 0.85)


@dataclass(frozen=True)
class Seen:
    """A face in a crop.

    Attributes:
        image: (1, 3, S, S) float32 RGB in [0, 1].
        landmarks: (68, 2) float64 crop pixels.
    """

    image: Tensor
    landmarks: Points


@dataclass(frozen=True)
class Carried:
    """A face after its landmarks were moved.

    Attributes:
        image: (1, 3, S, S) float32 RGB.
        flow: (1, 2, S, S): the content of pixel ``p`` came from ``p + flow(p)`` of the face's own crop.
        keep: (1, 1, S, S) in [0, 1]: 0 where the content is not the face's own.
        inside: (1, 1, S, S) in [0, 1]: what lies between the lips.
        borrowed: how much of what is seen there is not the face's own, 0 to 1.
    """

    image: Tensor
    flow: Tensor
    keep: Tensor
    inside: Tensor
    borrowed: float


def carry(face: Seen, goal: Points, reference: Seen | None, flow: Tensor | None = None) -> Carried:
    """Return ``face`` with its landmarks at ``goal``.

    Args:
        face: the face to be changed.
        goal: (68, 2) crop pixels.
        reference: whose mouth is seen inside if this face's own does not show enough; its crop has the same size;
            None = nobody's, the opening stays dark.
        flow: (1, 2, S, S) how the face's pixels move; None = as its landmarks alone say. Otherwise it brings the
            skin of lids along that shut.
    """
    size = face.image.shape[-1]
    own, goal = sound(face.landmarks), sound(goal)
    by_landmarks = flow is None
    flow = motion_field(own, goal, size).to(face.image) if flow is None else flow
    inside = inside_mouth(goal, size).to(face.image)[None]
    before, after = opening(own), opening(goal)
    image, seen = _hide(face.image, own, _ramp(1 - after / max(before, 1e-6), CLOSING))
    if by_landmarks:
        image, seen = _shut(image, seen, own, goal)
    keep = sample(seen, positions(flow))
    image = sample(image, positions(flow))
    borrowed = (1 - _ramp(before / max(after, 1e-6), OWN_MOUTH)) * _ramp(after / size, PARTED)
    if borrowed > 0 and reference is None:
        shade = CAVITY * image.mean((2, 3), keepdim=True)
        image = torch.lerp(image, shade.expand_as(image), inside * borrowed)
        keep = keep * (1 - inside * borrowed)
    elif borrowed > 0 and reference is not None:
        theirs = sound(reference.landmarks)
        mouth = sample(reference.image, positions(motion_field(theirs, goal, size).to(face.image)))
        lit = _lit(mouth, inside, _white(face.image, own), _white(reference.image, theirs))
        image = torch.lerp(image, lit, inside * borrowed)
        keep = keep * (1 - inside * borrowed)
    return Carried(image, flow, keep, inside, borrowed)


def _lit(mouth: Tensor, inside: Tensor, white: Tensor, their_white: Tensor) -> Tensor:
    """Return the inside of a mouth in the light of another face, told by the whites of both faces' eyes, (3,) each."""
    lit = mouth * (white.mean() / their_white.mean().clamp_min(0.05)).clamp(DARKEST, 1.0)
    light = lit.mean(1, keepdim=True)
    if not bool((inside > 0.5).any()):
        return lit.clamp(0, 1)
    brightest = light[inside > 0.5].quantile(0.95).clamp_min(0.05)
    # Teeth take the colour of the light from the whites of the eyes; tongue and gums keep theirs.
    redness = (lit[:, :1] - lit[:, 1:2]) / (3 * light + 0.05)
    teeth = ((light / brightest - 0.45) / 0.3).clamp(0, 1) * ((0.2 - redness) / 0.08).clamp(0, 1)
    tint = (white / white.mean().clamp_min(0.05)).clamp(0.88, 1.12).view(1, 3, 1, 1)
    lit = torch.lerp(lit, light * tint, TINT * teeth)
    return (lit * (TEETH * white.mean() / brightest).clamp(DARKEST, 1.0)).clamp(0, 1)


def settled(landmarks: Points, size: int) -> Points:
    """Return the landmarks with small gaps between the lips narrowed, and lips that cross put together.

    On a closed mouth the points of the two lips are found some pixels apart or across each other, more so on full
    lips. A motion that is added to such points would part the lips too far or not at all.
    """
    points = sound(landmarks)
    for upper, lower in FACING:
        apart = points[lower] - points[upper]
        gap = apart * (1 - _ramp(float(np.linalg.norm(apart)) / size, SURE_GAP))
        points[upper], points[lower] = points[upper] + gap / 2, points[lower] - gap / 2
    return points


def _hide(image: Tensor, landmarks: Points, share: float) -> tuple[Tensor, Tensor]:
    """Return the crop with an open mouth painted over by ``share``, and where its own detail may still be seen.

    Lips that come together would otherwise squeeze the teeth into a bright line.
    """
    size = image.shape[-1]
    share = share * _ramp(opening(landmarks) / size, PARTED)
    inside = widened(inside_mouth(landmarks, size).to(image)[None])
    if share == 0:
        return image, torch.ones_like(inside)
    hidden = inside * share
    return torch.lerp(image, hide_inside(image, inside), hidden), 1 - hidden


def _shut(image: Tensor, seen: Tensor, own: Points, goal: Points) -> tuple[Tensor, Tensor]:
    """Return the crop with eyes that shut painted over as a dark line of lashes; ``seen`` as of ``_hide``."""
    size = image.shape[-1]
    openings = zip(EYES, eye_openings(own), eye_openings(goal), strict=True)
    for eye, before, after in openings:
        share = _ramp(1 - after / max(before, 1e-6), SHUTTING)
        if share > 0:
            inside = widened(between_lids(with_seen_lids(own), eye, size).to(image)[None])
            image = torch.lerp(image, hide_inside(image, inside), inside * share)
            seen = seen * (1 - inside * share)
    return image, seen


def _white(image: Tensor, landmarks: Points) -> Tensor:
    return eye_white(image[0], eye_regions(landmarks, image.shape[-1]))


def _ramp(value: float, between: tuple[float, float]) -> float:
    """Return 0 below the first value, 1 above the second, smooth between them."""
    share = min(1.0, max(0.0, (value - between[0]) / (between[1] - between[0])))
    return share * share * (3 - 2 * share)
