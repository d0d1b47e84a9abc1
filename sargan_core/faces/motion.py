"""Move a face from one set of landmarks to another: the displacement field, and the moved face.

Lips that part and lids that shut move against each other, which no single smooth field can do. So there are layers:
above the eyes, between eyes and lips, below the lips, and between the lips. Each follows the landmarks of its own side
only. Between lips that part, the reference's mouth is shown if the face's own shows too little.
Convention of fields: see ``faces/warp.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sargan_core.faces.blur import smooth_ramp
from sargan_core.faces.eyes import EYES, between_lids, eye_openings, eye_regions, eye_white
from sargan_core.faces.mouth import (
    ALL_POINTS,
    FACING,
    LOWER_LIP,
    UPPER_LIP,
    below_lip_line,
    between_lips,
    closed,
    draw_lip_line,
    hide_inside,
    inside_mouth,
    lip_gap,
    painted_over,
    parted_lips,
    widened,
)
from sargan_core.faces.warp import positions, sample, smallest_area, spline_field

Points = npt.NDArray[np.float64]

UPPER_LIDS = (37, 38, 43, 44)
LOWER_LIDS = (40, 41, 46, 47)
# Smoothings of the splines, see ``spline_field``, tried in this order until the field does not fold (as with a brow
# that would move below the lid). Even the first is above 0, so that errors of landmarks do not crease the skin.
SMOOTHINGS = (0.3, 4.0, 30.0, 200.0)
# Smallest area that a pixel may keep under a field, as a fraction of its own.
LEAST_AREA = 0.05
# The lid line of both eyes from left to right: corners, and pairs of points that face each other.
LID_LINE = ((36, 36), (37, 41), (38, 40), (39, 39), (42, 42), (43, 47), (44, 46), (45, 45))


def without(*parts: tuple[int, ...]) -> list[int]:
    """Return the landmarks that splines go through, without those of ``parts``."""
    left_out = {point for part in parts for point in part}
    return [point for point in ALL_POINTS if point not in left_out]


# Height of the visible opening of an eye as a multiple of its landmarks', which lie slightly inside.
SEEN_OPENING = 1.5

LAYERS = (
    without(),
    without(LOWER_LIDS, LOWER_LIP),
    without(UPPER_LIDS, LOWER_LIP),
    without(UPPER_LIDS, UPPER_LIP),
)
# Lowest brightness of the inside of the mouth, as a fraction of the reference's; it is never made brighter.
DARKEST = 0.4
# Highest brightness of teeth, as a fraction of the whites of the same face's eyes.
TEETH = 1.15
# How far the colour of teeth is moved to the colour of the light, 0 to 1.
TINT = 0.7
# Opening of the face's own mouth, as a fraction of the wanted one. Below the first value the inside comes from the
# reference, above the second from the face itself; between them the two are mixed.
OWN_MOUTH = (0.35, 0.75)
# Gap between the lips, as a fraction of the crop's side: closed below the first value, open from the second.
PARTED = (0.006, 0.016)
# Gap between the inner lips, as a fraction of the crop's side: below the first value it is landmark error and counts
# as 0, from the second it counts in full.
SURE_GAP = (0.005, 0.016)
# Brightness of an open mouth whose inside is unknown, as a fraction of the crop's mean.
CAVITY = 0.25
# Mouth closing (fraction) at which the fade-out of the mouth's inside starts and ends.
CLOSING = (0.6, 1.0)
# Eye closing (fraction) at which the fade-out of the eyeball starts and ends.
SHUTTING = (0.5, 0.85)


def sound(landmarks: Points) -> Points:
    """Return the landmarks with crossing lips and lids closed, so that a warp can follow them."""
    points = closed(landmarks)
    for upper, lower in LID_LINE:
        if points[lower, 1] < points[upper, 1]:
            points[upper] = points[lower] = (points[upper] + points[lower]) / 2
    return points


def with_seen_lids(landmarks: Points) -> Points:
    """Return the landmarks with those of the lids moved to the edges of the visible opening."""
    points = landmarks.copy()
    for upper, lower in LID_LINE:
        if upper != lower:
            reach = (SEEN_OPENING - 1) / 2 * (landmarks[lower] - landmarks[upper])
            points[upper] -= reach
            points[lower] += reach
    return points


def motion_field(own: Points, goal: Points, size: int) -> Tensor:
    """Return the backward field (1, 2, S, S) float32 that moves what lies at ``own`` to ``goal``.

    Args:
        own: (68, 2) crop pixels of the face as it is.
        goal: (68, 2) crop pixels where the landmarks are to be.
        size: side S of the crop.

    The content of a narrowing eye stays in place while the lids move over it, so that the iris is not squeezed.
    """
    own, goal = with_seen_lids(sound(own)), with_seen_lids(sound(goal))
    # Closing lips and lids fold what lies between them, but it is hidden then.
    fields = [spline_field(goal[LAYERS[0]], (own - goal)[LAYERS[0]], size, SMOOTHINGS[0])]
    fields += [_unfolded(goal[points], (own - goal)[points], size) for points in LAYERS[1:]]
    between, above, middle, below = torch.from_numpy(np.stack(fields)).split(1)
    field = torch.lerp(middle, below, below_lip_line(goal, size)[None])
    field = torch.lerp(above, field, _below_lid_line(goal, size)[None])
    field = torch.lerp(field, between, inside_mouth(goal, size).float()[None])
    for eye, before, after in zip(EYES, eye_openings(own), eye_openings(goal), strict=True):
        shift = (own - goal)[list(eye)].mean(0)
        still = torch.tensor([shift[0], 0.0], dtype=torch.float32).view(1, 2, 1, 1)
        widening = float(np.clip(after / max(before, 1e-6) - 1, 0, 0.1)) / 0.1
        content = torch.lerp(still.expand_as(between), between, widening)
        field = torch.lerp(field, content, between_lids(goal, eye, size).float()[None])
    return field


def _unfolded(points: Points, motion: Points, size: int) -> npt.NDArray[np.float32]:
    """Return the spline that follows the motion most closely without folding, (2, S, S)."""
    field = spline_field(points, motion, size, SMOOTHINGS[0])
    for smoothing in SMOOTHINGS[1:]:
        if smallest_area(field) > LEAST_AREA:
            break
        field = spline_field(points, motion, size, smoothing)
    return field


def _below_lid_line(landmarks: Points, size: int) -> Tensor:
    """Return 0 above the line between the lids of both eyes and 1 below it, (1, S, S) float32.

    The step is a pixel wide at the eyes and widens away from them.
    """
    line = np.stack([(landmarks[upper] + landmarks[lower]) / 2 for upper, lower in LID_LINE])
    ticks = np.arange(size)
    height = np.interp(ticks, line[:, 0], line[:, 1])
    beyond = np.full(size, np.inf)
    for first, last in ((line[0], line[3]), (line[4], line[7])):
        beyond = np.minimum(beyond, np.maximum(first[0] - ticks, ticks - last[0]).clip(0))
    step = (ticks[:, None] - height[None]) / (1 + 0.5 * beyond[None])
    return torch.from_numpy((step + 0.5).clip(0, 1).astype(np.float32))[None]


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
        flow: (1, 2, S, S) crop pixels: the content of pixel ``p`` came from ``p + flow(p)`` of the face's own crop.
        keep: (1, 1, S, S) in [0, 1]: 0 where the content is not the face's own.
        inside: (1, 1, S, S) in [0, 1]: 1 between the lips.
        borrowed: fraction of what is seen there that is not the face's own, 0 to 1.
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
        reference: the face whose mouth is shown if this face's own shows too little, in a crop of the same size;
            None = the opening stays dark.
        flow: (1, 2, S, S) field to use, which includes the skin of shutting lids; None = the field of the landmarks.
    """
    size = face.image.shape[-1]
    own, goal = sound(face.landmarks), sound(goal)
    by_landmarks = flow is None
    flow = motion_field(own, goal, size).to(face.image) if flow is None else flow
    inside = inside_mouth(goal, size).to(face.image)[None]
    before, after = lip_gap(own), lip_gap(goal)
    closing = smooth_ramp(1 - after / max(before, 1e-6), CLOSING)
    shut = closing * (1 - parted_lips(goal, size))
    image, painted = _hide(face.image, own, closing, shut)
    seen = 1 - painted
    if by_landmarks:
        image, seen = _shut(image, seen, own, goal)
    keep = sample(seen, positions(flow))
    image = sample(image, positions(flow))
    if shut > 0:
        image = draw_lip_line(image, sample(painted, positions(flow)), goal, shut)
    borrowed = (1 - smooth_ramp(before / max(after, 1e-6), OWN_MOUTH)) * smooth_ramp(after / size, PARTED)
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
    """Return the inside of a mouth in another face's light, given the whites of both faces' eyes, (3,) each."""
    lit = mouth * (white.mean() / their_white.mean().clamp_min(0.05)).clamp(DARKEST, 1.0)
    light = lit.mean(1, keepdim=True)
    if not bool((inside > 0.5).any()):
        return lit.clamp(0, 1)
    brightest = light[inside > 0.5].quantile(0.95).clamp_min(0.05)
    # Teeth take the colour of the whites of the eyes; tongue and gums keep theirs.
    redness = (lit[:, :1] - lit[:, 1:2]) / (3 * light + 0.05)
    teeth = ((light / brightest - 0.45) / 0.3).clamp(0, 1) * ((0.2 - redness) / 0.08).clamp(0, 1)
    tint = (white / white.mean().clamp_min(0.05)).clamp(0.88, 1.12).view(1, 3, 1, 1)
    lit = torch.lerp(lit, light * tint, TINT * teeth)
    return (lit * (TEETH * white.mean() / brightest).clamp(DARKEST, 1.0)).clamp(0, 1)


def settled(landmarks: Points, size: int) -> Points:
    """Return the landmarks with small gaps between the lips narrowed and crossing lips closed.

    On a closed mouth the points of the two lips are found some pixels apart or crossed, more so on full lips. A motion
    added to such points would part the lips too far or not at all.
    """
    points = sound(landmarks)
    for upper, lower in FACING:
        apart = points[lower] - points[upper]
        gap = apart * (1 - smooth_ramp(float(np.linalg.norm(apart)) / size, SURE_GAP))
        points[upper], points[lower] = points[upper] + gap / 2, points[lower] - gap / 2
    return points


def _hide(image: Tensor, landmarks: Points, share: float, shut: float) -> tuple[Tensor, Tensor]:
    """Return the crop with an open mouth painted over by ``share``, and how much of each pixel is painted.

    Closing lips would otherwise squeeze the teeth into a bright line. ``shut`` is how far they come together, 0 to 1.
    """
    size = image.shape[-1]
    share = share * smooth_ramp(lip_gap(landmarks) / size, PARTED)
    if share == 0:
        return image, torch.zeros_like(image[:, :1])
    inside = between_lips(image, landmarks)
    painted = inside * share
    return torch.lerp(image, painted_over(image, inside, landmarks, shut), painted), painted


def _shut(image: Tensor, seen: Tensor, own: Points, goal: Points) -> tuple[Tensor, Tensor]:
    """Return the crop with shutting eyes painted over as a dark line of lashes.

    ``seen`` is how much of each pixel is the crop's own.
    """
    size = image.shape[-1]
    openings = zip(EYES, eye_openings(own), eye_openings(goal), strict=True)
    for eye, before, after in openings:
        share = smooth_ramp(1 - after / max(before, 1e-6), SHUTTING)
        if share > 0:
            inside = widened(between_lids(with_seen_lids(own), eye, size).to(image)[None])
            image = torch.lerp(image, hide_inside(image, inside), inside * share)
            seen = seen * (1 - inside * share)
    return image, seen


def _white(image: Tensor, landmarks: Points) -> Tensor:
    return eye_white(image[0], eye_regions(landmarks, image.shape[-1]))
