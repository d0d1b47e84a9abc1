"""The mouth: lips that touch, the opening between parted lips, and hiding its inside when lips close."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sargan_core.faces.blur import gaussian_blur, polygon_cover
from sargan_core.faces.tone import LUMA

Points = npt.NDArray[np.float64]

# iBUG-68: the inner lips, both lips, and the pairs of inner points above each other.
INNER_LIPS = tuple(range(60, 68))
UPPER_LIP = (*range(49, 54), 61, 62, 63)
LOWER_LIP = (*range(55, 60), 65, 66, 67)
# Without the inner corners (60, 64): so close to the outer ones, landmark errors would fold a warp.
ALL_POINTS = (*range(60), *range(61, 64), *range(65, 68))
WITHOUT_UPPER_LIP = tuple(point for point in ALL_POINTS if point not in UPPER_LIP)
WITHOUT_LOWER_LIP = tuple(point for point in ALL_POINTS if point not in LOWER_LIP)
FACING = ((61, 67), (62, 66), (63, 65))
# Gap between the lips, as a fraction of the crop's side, from which a mouth counts as open.
OPEN_FROM = 0.012
# Outer corner, inner corner, next point of the upper lip; place of the inner corner between the other two, 0 to 1.
CORNERS = ((48, 60, 61), (54, 64, 63))
CORNER_SHARE = 0.55
# Width of the skin around the lips that belongs to them, as a fraction of the crop's side.
LIPS_MARGIN = 0.025
# Teeth beside the opening of the landmarks: distance across and down as fractions of the crop's side, brightness as a
# fraction of the brightest between the lips, and how much brighter and less red than lips they are.
BESIDE = (0.02, 0.005)
AS_BRIGHT = 0.45
BRIGHTER, LESS_RED = 1.3, 0.025
# The same for teeth below the opening near its corners: distance from the middle as a fraction of its width, distance
# across and down, and brightness as a fraction of the lips'.
FROM_MIDDLE, BELOW, IN_SHADOW = 0.25, (0.03, 0.016), 0.9
# Blur that spreads the lips' colour into the hidden mouth, in pixels of a 256 px crop, and brightness of the lip line.
FILL_SCALE = 5.0
LIP_LINE = 0.6
# The line between shut lips: share of the light that is lost on it, and how far its shade reaches above and below, in
# pixels of a 256 px crop (medians of 30 neutral London portraits).
LINE_DEPTH, LINE_ABOVE, LINE_BELOW = 0.36, 1.6, 1.1
# Where the opening ends on the way from the outer to the inner corner, 0 to 1: real lips part nearly to the outer one,
# and the inner one is found slightly inside.
CORNER = 0.12
# Number of points of a curve from corner to corner.
SAMPLES = 65
# Height of an opening in pixels of a 256 px crop below which nothing is seen between the lips.
LEAST_HEIGHT = 0.75


def closed(landmarks: Points) -> Points:
    """Return the landmarks with crossing lips closed, since a warp through crossing points would fold.

    Where the lower lip lies above the edge of the upper one, it is hidden behind it, so that edge is the lip line. If
    all points cross, the inner corners are put on the line from the outer corners to the lips.
    """
    points = landmarks.copy()
    crossed = [pair for pair in FACING if points[pair[1], 1] < points[pair[0], 1]]
    for upper, lower in crossed:
        points[lower] = points[upper]
    if len(crossed) == len(FACING):
        for corner, inner, beside in CORNERS:
            points[inner] = points[corner] + CORNER_SHARE * (points[beside] - points[corner])
    return points


def together(landmarks: Points) -> Points:
    """Return the landmarks with the inner lips closed on the line midway between them."""
    points = landmarks.copy()
    for upper, lower in FACING:
        points[lower] = points[upper] = (landmarks[upper] + landmarks[lower]) / 2
    return closed(points)


def with_lip_line(landmarks: Points) -> Points:
    """Return 63 points: the 68 landmarks with the two inner lips replaced by the three points midway between them.

    A spline between shapes whose lips nearly touch needs this: gaps of a fraction of a pixel in one shape and of some
    pixels in the other would tear it.
    """
    line = [(landmarks[upper] + landmarks[lower]) / 2 for upper, lower in FACING]
    return np.concatenate([landmarks[:60], np.stack(line)])


def lip_gap(landmarks: Points) -> float:
    """Return the mean gap between the inner lips in pixels of the landmarks; 0 for lips that touch or cross."""
    gaps = [landmarks[lower, 1] - landmarks[upper, 1] for upper, lower in FACING]
    return max(0.0, float(np.mean(gaps)))


def parted_lips(landmarks: Points, size: int) -> float:
    """Return how surely the lips are parted, from 0 to 1: a gap within the error of the landmarks is none.

    Args:
        landmarks: (68, 2) crop pixels.
        size: side of the crop.
    """
    return float(np.clip((lip_gap(landmarks) / size - OPEN_FROM) / OPEN_FROM, 0, 1))


def inside_mouth(landmarks: Points, size: int) -> Tensor:
    """Return the fraction of each pixel that lies between the lips, (1, S, S) float64 in [0, 1]."""
    return polygon_cover(landmarks[list(INNER_LIPS)], size)


def lips_region(landmarks: Points, size: int) -> Tensor:
    """Return the mask of the lips and the skin just around them, (1, S, S) float64 in [0, 1], with a soft edge."""
    return _lips_region(np.asarray(landmarks[48:60], dtype=np.float32).tobytes(), size)


# Most faces of a batch are edited towards the same landmarks.
@lru_cache(maxsize=16)
def _lips_region(points: bytes, size: int) -> Tensor:
    outline = cv2.convexHull(np.frombuffer(points, dtype=np.float32).reshape(-1, 2))
    canvas = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(canvas, np.round(outline * 16).astype(np.int32), 1, shift=4)
    reach = 2 * round(LIPS_MARGIN * size) + 1
    canvas = cv2.dilate(canvas, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    soft = cv2.GaussianBlur(canvas.astype(np.float32), (0, 0), LIPS_MARGIN * size / 2)
    # A tensor made in inference mode could not be used in training afterwards.
    with torch.inference_mode(False):
        return torch.from_numpy(soft.astype(np.float64))[None]


def below_lip_line(landmarks: Points, size: int) -> Tensor:
    """Return 0 above the line between the lips and 1 below it, (1, S, S) float32.

    The step is one pixel wide between the corners and widens outside of them.
    """
    upper, lower = landmarks[[60, 61, 62, 63, 64]], landmarks[[60, 67, 66, 65, 64]]
    line = (upper + lower) / 2
    ticks = np.arange(size)
    height = np.interp(ticks, line[:, 0], line[:, 1])
    beyond = np.maximum(line[0, 0] - ticks, ticks - line[-1, 0]).clip(0)
    step = (ticks[:, None] - height[None]) / (1 + 0.5 * beyond[None])
    return torch.from_numpy((step + 0.5).clip(0, 1).astype(np.float32))[None]


def widened(inside: Tensor) -> Tensor:
    """Return a (1, 1, S, S) region grown by about two pixels of a 256 px crop, with a soft edge."""
    sigma = inside.shape[-1] / 128
    window = 2 * int(2 * sigma) + 1
    return gaussian_blur(inside, window, sigma).mul(3).clamp(0, 1)


def between_lips(image: Tensor, landmarks: Points) -> Tensor:
    """Return the mask of the inside of an open mouth, (1, 1, S, S) in [0, 1], slightly widened.

    It covers the opening of the landmarks up to the corners of the lips, and what looks like teeth beside it: brighter
    and less red than the lips.

    Args:
        image: (1, 3, S, S) in [0, 1].
        landmarks: (68, 2) crop pixels.
    """
    size = image.shape[-1]
    mouth = opening_of(landmarks)
    cover = torch.from_numpy(mouth.cover(size, size, 0.5 * size / 256)).to(image)[None, None]
    inside = torch.maximum(cover, inside_mouth(landmarks, size).to(image)[None])
    colours = image[0].permute(1, 2, 0).cpu().numpy()
    light = colours @ np.array(LUMA, np.float32)
    redness = (colours[..., 0] - colours[..., 1]) / (colours.sum(2) + 0.05)
    lips = np.zeros((size, size), np.uint8)
    outline = cv2.convexHull(landmarks[48:60].astype(np.float32))
    cv2.fillConvexPoly(lips, np.round(outline * 16).astype(np.int32), 1, shift=4)
    lip = (lips > 0) & (inside[0, 0].cpu().numpy() < 0.05)
    within = cover[0, 0].cpu().numpy() > 0.3
    if lip.sum() < 20 or not within.any():
        return widened(inside)
    paler, lip_light = redness < np.median(redness[lip]) - LESS_RED, float(np.median(light[lip]))
    # Only just beside the opening, because lips shine too.
    least = max(BRIGHTER * lip_light, AS_BRIGHT * float(np.quantile(light[within], 0.9)))
    found = paler & (light > least) & _near(within, BESIDE, size)
    # Farther below it towards the corners, where few landmarks tell the lip's edge and teeth are in shadow.
    sides = np.abs(np.arange(size) - mouth.centre) > FROM_MIDDLE * mouth.width
    not_above = ~np.maximum.accumulate(within[::-1])[::-1]
    found |= paler & (light > IN_SHADOW * lip_light) & _near(within & sides, BELOW, size) & sides & not_above
    teeth = (found & (lips > 0)).astype(np.float32)
    return widened(torch.maximum(inside, torch.from_numpy(teeth).to(image)[None, None]))


def _near(within: npt.NDArray[np.bool_], reach: tuple[float, float], size: int) -> npt.NDArray[np.bool_]:
    """Return the pixels at most ``reach``, across and down, from those ``within``."""
    wide, high = (2 * round(part * size) + 1 for part in reach)
    return np.asarray(cv2.dilate(within.astype(np.uint8), np.ones((high, wide), np.uint8)) > 0)


def hide_inside(image: Tensor, inside: Tensor) -> Tensor:
    """Return the crop with the inside of the mouth painted over in the lips' own colour, as a dark lip line.

    Args:
        image: (1, 3, S, S).
        inside: (1, 1, S, S), 1 between the lips, slightly widened so that no tooth is left.
    """
    return torch.lerp(image, LIP_LINE * _spread(image, 1 - inside), inside)


def _spread(image: Tensor, known: Tensor) -> Tensor:
    """Return the colours where ``known``, (1, 1, S, S) in [0, 1], spread to the pixels around."""
    sigma = FILL_SCALE * image.shape[-1] / 256
    window = 2 * int(3 * sigma) + 1
    return gaussian_blur(image * known, window, sigma) / gaussian_blur(known, window, sigma).clamp_min(1e-3)


def painted_over(image: Tensor, inside: Tensor, landmarks: Points, lips: float) -> Tensor:
    """Return the crop with the inside of a mouth that closes painted over.

    Args:
        image: (1, 3, S, S).
        inside: (1, 1, S, S), see ``hide_inside``.
        landmarks: (68, 2) crop pixels of the open mouth.
        lips: share of lips in the paint, 0 to 1: both are continued up to the line midway between them. The rest is
            shade, which is right where the mouth stays open a little.
    """
    dark = hide_inside(image, inside)
    if lips == 0:
        return dark
    size = image.shape[-1]
    # The lips' own colour counts, skin only where no lip is near.
    known = (polygon_cover(landmarks[48:60], size).to(image)[None] + 1e-3) * (1 - inside)
    below = below_lip_line(landmarks, size).to(image)[None]
    upper, lower = (_spread(image, known * side) for side in (1 - below, below))
    continued = torch.lerp(image, torch.lerp(upper, lower, below), inside)
    return torch.lerp(dark, continued, lips)


def draw_lip_line(image: Tensor, painted: Tensor, goal: Points, shut: float) -> Tensor:
    """Return an edited crop with the line between the lips, in the columns where the mouth was painted over.

    Args:
        image: (1, 3, S, S) after the edit.
        painted: (1, 1, S, S) how much of each pixel was painted over, in [0, 1].
        goal: (68, 2) landmarks after the edit, crop pixels.
        shut: how far the lips come together, 0 to 1.
    """
    columns = shut * painted.amax(2, keepdim=True)
    return image * torch.lerp(torch.ones_like(columns), lip_line(goal, image.shape[-1]).to(image), columns)


def lip_line(landmarks: Points, size: int) -> Tensor:
    """Return the light that is left on and near the line between shut lips, (1, 1, S, S) float32 in (0, 1].

    Full from one inner corner to the other, it fades out towards the outer ones.

    Args:
        landmarks: (68, 2) crop pixels; the line is midway between the inner lips.
        size: side S of the crop.
    """
    middle = [(landmarks[upper] + landmarks[lower]) / 2 for upper, lower in FACING]
    points = np.stack([landmarks[48], landmarks[60], *middle, landmarks[64], landmarks[54]])
    ticks = np.arange(size, dtype=np.float64)
    ends = np.sort(points[:, 0])
    line = smooth_curve(points, np.clip(ticks, ends[0], ends[-1]))
    full = np.interp(ticks, ends[[0, 1, -2, -1]], [0.0, 1.0, 1.0, 0.0])
    away = (ticks[:, None] - line) * (256 / size)
    shade = np.exp(-0.5 * (away / np.where(away < 0, LINE_ABOVE, LINE_BELOW)) ** 2)
    return torch.from_numpy((1 - LINE_DEPTH * full * shade).astype(np.float32))[None, None]


@dataclass(frozen=True)
class Opening:
    """The opening between the lips: its rim as two curves over the same columns.

    Attributes:
        x: (N,) rising columns from corner to corner.
        upper: (N,) rows of the upper lip's edge; y grows downwards.
        lower: (N,) rows of the lower lip's edge, nowhere above ``upper``.
    """

    x: Points
    upper: Points
    lower: Points

    @property
    def width(self) -> float:
        """Distance of the corners."""
        return float(self.x[-1] - self.x[0])

    @property
    def centre(self) -> float:
        """Column halfway between the corners."""
        return float((self.x[0] + self.x[-1]) / 2)

    @property
    def height(self) -> float:
        """Largest gap between the lips."""
        return float((self.lower - self.upper).max())

    def scaled(self, factor: float, x0: float, y0: float) -> Opening:
        """Return the opening in pixels of a picture that begins at (x0, y0) and has ``factor`` times the resolution."""
        return Opening((self.x - x0) * factor, (self.upper - y0) * factor, (self.lower - y0) * factor)

    def cover(
        self, height: int, width: int, feather: float, rounding: float = 0.0
    ) -> npt.NDArray[np.float32]:
        """Return the fraction of each pixel that lies inside, (height, width).

        Args:
            height, width: of the picture.
            feather: softness of the edge in pixels.
            rounding: rounding of sharp corners in pixels.
        """
        canvas = np.zeros((height, width), np.uint8)
        rim = np.concatenate([np.stack([self.x, self.upper], 1), np.stack([self.x, self.lower], 1)[::-1]])
        cv2.fillPoly(canvas, [np.round(rim * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
        if rounding > 0:
            # Not mirrored at the border, or the opening would run out of the picture.
            soft_canvas = cv2.GaussianBlur(canvas, (0, 0), rounding, borderType=cv2.BORDER_CONSTANT)
            canvas = cv2.threshold(soft_canvas, 127, 255, cv2.THRESH_BINARY)[1]
        soft: npt.NDArray[np.float32] = cv2.GaussianBlur(canvas.astype(np.float32) / 255, (0, 0), feather)
        return soft


def opening_of(landmarks: Points) -> Opening:
    """Return the opening of a face with these landmarks, (68, 2) in upright pixels.

    Both curves go smoothly through the inner lips' points from corner to corner, the lower one also through the inner
    corners.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    left = points[48] + CORNER * (points[60] - points[48])
    right = points[54] + CORNER * (points[64] - points[54])
    upper = np.stack([left, points[61], points[62], points[63], right])
    lower = np.stack([left, points[60], points[67], points[66], points[65], points[64], right])
    x = np.linspace(left[0], right[0], SAMPLES)
    above, below = smooth_curve(upper, x), smooth_curve(lower, x)
    return Opening(x, above, np.maximum(above, below))


def smooth_curve(points: Points, x: Points) -> Points:
    """Return the rows at columns ``x`` of a smooth curve through points, without overshoot (Fritsch-Carlson)."""
    order = np.argsort(points[:, 0], kind="stable")
    columns, rows = points[order, 0], points[order, 1]
    # Points in one column would make a step, so they are moved apart by very little.
    columns = np.maximum.accumulate(columns) + np.arange(len(columns)) * 1e-6
    step = np.diff(columns)
    slope = np.diff(rows) / step
    tangent = np.concatenate([slope[:1], np.zeros(len(slope) - 1), slope[-1:]])
    for inner in range(1, len(slope)):
        before, after = slope[inner - 1], slope[inner]
        if before * after > 0:
            one, other = 2 * step[inner] + step[inner - 1], step[inner] + 2 * step[inner - 1]
            tangent[inner] = (one + other) / (one / before + other / after)
    at = np.clip(np.searchsorted(columns, x, side="right") - 1, 0, len(slope) - 1)
    t = np.clip((x - columns[at]) / step[at], 0, 1)
    left = rows[at] * (1 + 2 * t) * (1 - t) ** 2 + step[at] * tangent[at] * t * (1 - t) ** 2
    right = rows[at + 1] * t**2 * (3 - 2 * t) + step[at] * tangent[at + 1] * t**2 * (t - 1)
    return np.asarray(left + right)
