"""Check whether a mouth is really open: landmark networks often find closed lips parted, if one lip is lighter."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from sargan_core.faces.align import apply_matrix, similarity, to_square
from sargan_core.faces.blur import ramp
from sargan_core.faces.face import Pixels
from sargan_core.faces.mouth import FACING
from sargan_core.faces.tone import LUMA

Points = npt.NDArray[np.float64]

# Side of the picture of the mouth, and the mouth's width in it; all lengths below are in its pixels.
SIDE = 64
MOUTH = 32.0
# Signs of an open mouth. Each pair is where the mouth may be open, and where it surely is:
# - what lies between the lips is darker than the lower lip (a cavity; natural logarithm of the ratio),
# - it is less red than the lower lip (teeth; red minus green, over their sum),
# - the gap is wide,
# - a part of it is much brighter than the upper lip and hardly red (teeth, also between dark lips).
DARKER = (0.45, 0.6)
PALER = (0.02, 0.05)
WIDER = (6.5, 9.0)
TEETH = (0.06, 0.12)
BRIGHTER, PALE = 1.5, 0.05
# Outer points of the lower lip below the pairs of ``FACING``.
LOWER_RIM = (58, 57, 56)
# Outer points of the upper lip above them.
UPPER_RIM = (50, 51, 52)
SAMPLES = 9


def with_sure_lips(pixels: Pixels, landmarks: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the landmarks with the inner lips closed on the dark line between them, unless the mouth is open.

    Args:
        pixels: (H, W, 3) uint8 or uint16 RGB photo.
        landmarks: (68, 2) photo pixels.

    Returns:
        (68, 2) float32; only the six inner points of the lips differ.
    """
    known = landmarks.astype(np.float64)
    ends = np.array([[(SIDE - MOUTH) / 2, SIDE / 2], [(SIDE + MOUTH) / 2, SIDE / 2]])
    matrix = similarity(ends, known[[48, 54]])
    inverse = np.asarray(np.linalg.inv(to_square(matrix))[:2], dtype=np.float64)
    points = apply_matrix(inverse, known)
    gap = float(np.mean([points[lower, 1] - points[upper, 1] for upper, lower in FACING]))
    if gap <= 0:
        return landmarks
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    peak = float(np.iinfo(pixels.dtype).max)
    picture = (
        cv2.warpAffine(pixels, matrix, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE) / peak
    )
    share = _sure(picture.astype(np.float32), points, gap)
    if share == 1:
        return landmarks
    line = _darkest(picture.astype(np.float32), points)
    for upper, lower in FACING:
        middle = points[upper] + line * (points[lower] - points[upper])
        points[upper] += (1 - share) * (middle - points[upper])
        points[lower] += (1 - share) * (middle - points[lower])
    return apply_matrix(matrix, points).astype(np.float32)


def _sure(picture: npt.NDArray[np.float32], points: Points, gap: float) -> float:
    """Return how certain it is that the lips are parted, 0 to 1."""
    inside, lip = [], []
    for (upper, lower), rim in zip(FACING, LOWER_RIM, strict=True):
        inside.append(_between(picture, points[upper], points[lower], (0.3, 0.9)))
        lip.append(_between(picture, points[lower], points[rim], (0.15, 0.65)))
    within, beside = np.median(np.concatenate(inside), axis=0), np.median(np.concatenate(lip), axis=0)
    darker = float(np.log((beside @ np.array(LUMA) + 0.02) / (within @ np.array(LUMA) + 0.02)))
    paler = _redness(beside) - _redness(within)
    return max(
        ramp(darker, DARKER), ramp(paler, PALER), ramp(gap, WIDER), ramp(_teeth(picture, points), TEETH)
    )


def _teeth(picture: npt.NDArray[np.float32], points: Points) -> float:
    """Return the fraction of the area between the lips that looks like teeth."""
    inside, upper = [], []
    for (above, below), top in zip(FACING, UPPER_RIM, strict=True):
        inside.append(_between(picture, points[above], points[below], (-0.1, 1.1)))
        upper.append(_between(picture, points[above], points[top], (0.15, 0.65)))
    colours, lip = np.concatenate(inside), np.median(np.concatenate(upper), axis=0)
    redness = (colours[:, 0] - colours[:, 1]) / (colours.sum(1) + 0.05)
    return float(np.mean((redness < PALE) & (colours @ np.array(LUMA) > BRIGHTER * (lip @ np.array(LUMA)))))


def _darkest(picture: npt.NDArray[np.float32], points: Points) -> float:
    """Return where the darkest line lies between the upper (0) and the lower (1) inner lip."""
    reach = (-0.2, 1.2)
    profiles = [
        _between(picture, points[upper], points[lower], reach) @ np.array(LUMA) for upper, lower in FACING
    ]
    return float(np.linspace(*reach, SAMPLES)[np.argmin(np.mean(profiles, axis=0))])


def _between(
    picture: npt.NDArray[np.float32], one: Points, other: Points, shares: tuple[float, float]
) -> npt.NDArray[np.float32]:
    """Return the colours along the line from one point to another, (SAMPLES, 3), between two fractions of it."""
    places = one + np.linspace(*shares, SAMPLES)[:, None] * (other - one)
    x, y = places.astype(np.float32).T
    colours: npt.NDArray[np.float32] = cv2.remap(picture, x[None], y[None], cv2.INTER_LINEAR)[0]
    return colours


def _redness(colour: npt.NDArray[np.floating]) -> float:
    return float((colour[0] - colour[1]) / (colour.sum() + 0.05))
