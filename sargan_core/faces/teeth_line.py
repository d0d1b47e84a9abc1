"""Move the points of the inner lips to where teeth end: landmark networks place them inside the teeth of a smile.

A network that is in doubt between shut and parted lips answers with the mean of both. Teeth are less red than lips and
as bright or brighter, so three lines from the upper to the lower rim of the lips show where they begin and end.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from sargan_core.faces.face import Pixels
from sargan_core.faces.mouth import FACING
from sargan_core.faces.tone import LUMA

Points = npt.NDArray[np.float64]
Picture = npt.NDArray[np.float32]

# Outer points of the upper and of the lower lip on the lines through the pairs of ``FACING``.
RIMS = ((50, 58), (51, 57), (52, 56))
# Smallest mouth, in photo pixels.
SMALLEST = 4
# Width of the mouth, between its corners, in the picture that is looked at, and its blur, in pixels.
MOUTH = 48.0
BLUR = 0.7
# Colours along a line, from rim (0) to rim (1); parts of it where lips are seen for sure.
SAMPLES = 49
UPPER_LIP, LOWER_LIP = slice(2, 7), slice(42, 47)
# How far from the middle of the found points teeth are looked for, as a fraction of the line.
NEAR = 0.08
# Least difference in redness between lips and teeth, where the lips are found parted and where they are found shut, by
# the gap as a fraction of the mouth's width; largest redness of teeth; brightness of them as a multiple of the lips'.
CONTRAST, CONTRAST_SHUT, SHUT = 0.03, 0.09, 0.05
REDDEST = 0.16
BRIGHT, BRIGHT_EDGE = 1.08, 0.95
# Teeth are a run of at least this fraction of the line, and do not reach its ends.
LEAST, ENDS = 0.12, 0.06
# Between two rows of teeth it is dark: largest height of the gap as a fraction of the line, its light as a multiple of
# the lips', and least height of the row beyond it.
APART, DARK, ROW = 0.2, 0.65, 0.05
# How much farther than the middle one of the three a point may move, as a fraction of the mouth's width.
MORE = 0.03


def with_seen_teeth(pixels: Pixels, landmarks: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the landmarks with the inner lips moved apart to the edges of the teeth between them.

    Args:
        pixels: (H, W, 3) uint8 or uint16 RGB photo.
        landmarks: (68, 2) photo pixels.

    Returns:
        (68, 2) float32; only the three facing pairs of the inner lips differ, which never come nearer to each other.
        Without teeth, in doubt and on grey photos, the landmarks themselves.
    """
    points = landmarks.astype(np.float64)
    width = float(np.linalg.norm(points[54] - points[48]))
    window = _window(points, width, pixels.shape) if width >= SMALLEST else None
    if window is None:
        return landmarks
    rows, columns = window
    scale = min(1.0, MOUTH / width)
    picture = _reduced(pixels[rows, columns], scale)
    known = (points - [columns.start, rows.start] + 0.5) * scale - 0.5
    spans = [_teeth(picture, known, line) for line in range(len(FACING))]
    if sum(span is not None for span in spans) < 2:
        return landmarks
    moves = np.zeros((len(FACING), 2))
    ways = np.stack([points[low] - points[top] for top, low in RIMS])
    for line, ((upper, lower), (top, _), span) in enumerate(zip(FACING, RIMS, spans, strict=True)):
        if span is not None:
            length = float(ways[line] @ ways[line])
            above, below = (float((points[at] - points[top]) @ ways[line]) / length for at in (upper, lower))
            moves[line] = np.maximum(0, [above - span[0], span[1] - below]) * np.sqrt(length)
    moves = np.minimum(moves, np.median(moves, axis=0) + MORE * width)
    result = points.copy()
    for (upper, lower), way, (up, down) in zip(FACING, ways, moves, strict=True):
        along = way / np.linalg.norm(way)
        result[upper] -= up * along
        result[lower] += down * along
    return result.astype(np.float32)


def _window(points: Points, width: float, shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """Return rows and columns of the photo around the mouth, None if it is not in the photo."""
    low = np.floor(points[48:68].min(0) - 0.1 * width).astype(int)
    high = np.ceil(points[48:68].max(0) + 0.1 * width).astype(int) + 1
    (left, top), (right, bottom) = np.maximum(low, 0), np.minimum(high, [shape[1], shape[0]])
    if min(right - left, bottom - top) < SMALLEST:
        return None
    return slice(int(top), int(bottom)), slice(int(left), int(right))


def _reduced(pixels: Pixels, scale: float) -> Picture:
    """Return (h, w, 3) pixels as a slightly blurred picture in [0, 1], reduced by ``scale``."""
    picture = pixels.astype(np.float32) / float(np.iinfo(pixels.dtype).max)
    if scale < 1:
        size = tuple(max(2, round(side * scale)) for side in picture.shape[1::-1])
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    blurred: Picture = cv2.GaussianBlur(picture, (0, 0), BLUR)
    return blurred


def _teeth(picture: Picture, points: Points, line: int) -> tuple[float, float] | None:
    """Return where teeth begin and end on one line from the upper (0) to the lower (1) rim; None if none are seen."""
    (upper, lower), (top, low) = FACING[line], RIMS[line]
    way = points[low] - points[top]
    length = float(way @ way)
    if length < 4:
        return None
    shares = np.linspace(0, 1, SAMPLES)
    colours = _read(picture, points[top] + shares[:, None] * way)
    redness, light = (colours[:, 0] - colours[:, 1]) / (colours.sum(1) + 0.05), colours @ np.array(LUMA)
    lips = np.r_[UPPER_LIP, LOWER_LIP]
    lip, lip_light = float(np.median(redness[lips])), float(np.median(light[lips]))
    middle = float(np.clip((points[[upper, lower]].mean(0) - points[top]) @ way / length, 0, 1))
    near = np.flatnonzero((np.abs(shares - middle) < NEAR) & (light > BRIGHT * lip_light))
    if not len(near):
        return None
    at = int(near[redness[near].argmin()])
    contrast = lip - float(redness[at])
    gap = float(np.linalg.norm(points[lower] - points[upper])) / float(
        np.linalg.norm(points[54] - points[48])
    )
    if contrast < (CONTRAST_SHUT if gap < SHUT else CONTRAST) or redness[at] > REDDEST:
        return None
    # The edge lies halfway from teeth to lips.
    excess = np.minimum((lip - redness) / contrast - 0.5, (light / lip_light - BRIGHT_EDGE) * 4)
    dark = light < DARK * lip_light
    first, last = _end(excess[at::-1], dark[at::-1]), _end(excess[at:], dark[at:])
    span = (at - first) / (SAMPLES - 1), (at + last) / (SAMPLES - 1)
    inside = span[0] > ENDS and span[1] < 1 - ENDS and span[1] - span[0] > LEAST
    return span if inside else None


def _read(picture: Picture, places: Points) -> npt.NDArray[np.float64]:
    """Return the colours (N, 3) at places (N, 2), bilinear; OpenCV would round the places to 1/32 pixel."""
    last = np.array(picture.shape[1::-1]) - 1
    places = places.clip(0, last)
    (x, y) = np.minimum(places.astype(int), np.maximum(last - 1, 0)).T
    right, down = (places - np.stack([x, y], 1)).T[..., None]
    upper = picture[y, x] * (1 - right) + picture[y, x + 1] * right
    lower = picture[y + 1, x] * (1 - right) + picture[y + 1, x + 1] * right
    return np.asarray(upper * (1 - down) + lower * down, dtype=np.float64)


def _end(excess: npt.NDArray[np.float64], dark: npt.NDArray[np.bool_]) -> float:
    """Return where teeth end, in samples from the first value; a second row beyond a dark gap belongs to them.

    Args:
        excess: (N,) above 0 where teeth are seen; they are at the first value.
        dark: (N,) where it is dark.
    """
    end = _crossing(excess)
    beyond = np.flatnonzero(excess > 0)
    beyond = beyond[beyond > end]
    if not len(beyond) or beyond[0] - end > APART * SAMPLES or not dark[int(end) : beyond[0]].any():
        return end
    row = _crossing(excess[beyond[0] :])
    return float(beyond[0] + row) if row > ROW * SAMPLES else end


def _crossing(values: npt.NDArray[np.float64]) -> float:
    """Return the place, in samples, where values that begin above 0 first reach it; the last one if they never do."""
    below = np.flatnonzero(values <= 0)
    if not len(below):
        return float(len(values) - 1)
    after = int(below[0])
    if after == 0:
        return 0.0
    return after - 1 + float(values[after - 1] / (values[after - 1] - values[after]))
