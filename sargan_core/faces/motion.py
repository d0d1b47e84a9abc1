"""Motion of a face from one set of landmarks to another, as one backward field with lips and lids of their own.

Lips that part and lids that shut move towards or away from each other, which no single smooth field can do. So there
are layers: above the eyes, between eyes and lips, below the lips, and what lies between the lips. Each follows the
landmarks of its own side only. Convention of fields: see ``faces/warp.py``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sargan_core.faces.eyes import EYES, between_lids, eye_openings
from sargan_core.faces.mouth import ALL_POINTS, LOWER_LIP, UPPER_LIP, below_lip_line, closed, inside_mouth
from sargan_core.faces.warp import smallest_area, spline_field

Points = npt.NDArray[np.float64]

UPPER_LIDS = (37, 38, 43, 44)
LOWER_LIDS = (40, 41, 46, 47)
# Smoothings of the splines, see ``spline_field``, tried in this order: a landmark's finding error must not crease the
# skin, and where a motion would fold it (a brow that would come to lie below the lid) the spline follows less closely.
SMOOTHINGS = (0.3, 4.0, 30.0, 200.0)
# Area that a pixel must at least keep under a field, as a share of its own.
LEAST_AREA = 0.05
# The lid line of both eyes from left to right: corners, and pairs of points that face each other.
LID_LINE = ((36, 36), (37, 41), (38, 40), (39, 39), (42, 42), (43, 47), (44, 46), (45, 45))


def without(*parts: tuple[int, ...]) -> list[int]:
    """Return the landmarks that splines go through, less those of ``parts``."""
    left_out = {point for part in parts for point in part}
    return [point for point in ALL_POINTS if point not in left_out]


# Landmarks of lids lie a little inside of the opening that is seen: its height as a multiple of theirs.
SEEN_OPENING = 1.5

LAYERS = (
    without(),
    without(LOWER_LIDS, LOWER_LIP),
    without(UPPER_LIDS, LOWER_LIP),
    without(UPPER_LIDS, UPPER_LIP),
)


def sound(landmarks: Points) -> Points:
    """Return the landmarks with lips and lids that cross put together, as far as a warp can follow them."""
    points = closed(landmarks)
    for upper, lower in LID_LINE:
        if points[lower, 1] < points[upper, 1]:
            points[upper] = points[lower] = (points[upper] + points[lower]) / 2
    return points


def with_seen_lids(landmarks: Points) -> Points:
    """Return the landmarks with those of the lids on the edges of the opening that is seen."""
    points = landmarks.copy()
    for upper, lower in LID_LINE:
        if upper != lower:
            reach = (SEEN_OPENING - 1) / 2 * (landmarks[lower] - landmarks[upper])
            points[upper] -= reach
            points[lower] += reach
    return points


def motion_field(own: Points, goal: Points, size: int) -> Tensor:
    """Return the field (1, 2, S, S) float32 under which ``goal`` shows what lies at ``own``.

    Args:
        own: (68, 2) crop pixels of the face as it is.
        goal: (68, 2) crop pixels where the landmarks are to be.
        size: side S of the crop.

    An eye that narrows keeps its content in place, and the lids move over it: an iris is not squeezed.
    """
    own, goal = with_seen_lids(sound(own)), with_seen_lids(sound(goal))
    # Lips and lids that come together fold what is seen between them, which is hidden then.
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
    """Return the spline that follows the motion as closely as it can without folding, (2, S, S)."""
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
