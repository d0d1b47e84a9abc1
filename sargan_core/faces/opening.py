"""The opening between the lips: its outline from the landmarks of an edit, and coordinates inside of it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

# Where the opening ends, on the way from the outer to the inner corner of the lips: real lips part nearly to the end,
# the inner corner as it is found lies a little inside.
CORNER = 0.12
# Points that a curve from corner to corner is given by.
SAMPLES = 65
# Height of an opening in pixels of a 256 px crop below which nothing is seen between the lips.
LEAST_HEIGHT = 0.75


@dataclass(frozen=True)
class Opening:
    """The rim of the opening as two curves over the same columns.

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
        """Return the opening in the pixels of a picture that begins at (x0, y0) and is ``factor`` times as fine."""
        return Opening((self.x - x0) * factor, (self.upper - y0) * factor, (self.lower - y0) * factor)

    def cover(
        self, height: int, width: int, feather: float, rounding: float = 0.0
    ) -> npt.NDArray[np.float32]:
        """Return the share of each pixel that lies inside, (height, width).

        Args:
            height, width: of the picture.
            feather: how soft the edge is, in pixels.
            rounding: how round sharp corners are made, in pixels.
        """
        canvas = np.zeros((height, width), np.uint8)
        rim = np.concatenate([np.stack([self.x, self.upper], 1), np.stack([self.x, self.lower], 1)[::-1]])
        cv2.fillPoly(canvas, [np.round(rim * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
        if rounding > 0:
            # Nothing lies beyond the picture: mirrored at its border, the opening would run out of it.
            soft_canvas = cv2.GaussianBlur(canvas, (0, 0), rounding, borderType=cv2.BORDER_CONSTANT)
            canvas = cv2.threshold(soft_canvas, 127, 255, cv2.THRESH_BINARY)[1]
        soft: npt.NDArray[np.float32] = cv2.GaussianBlur(canvas.astype(np.float32) / 255, (0, 0), feather)
        return soft


def opening_of(landmarks: Points) -> Opening:
    """Return the opening of a face with these landmarks, (68, 2) in upright pixels.

    Smooth curves through the inner lips' points from corner to corner; the inner corners lie on the lower one.
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
    """Return the rows at columns ``x`` of a curve through points that does not swing beyond them (Fritsch-Carlson)."""
    order = np.argsort(points[:, 0], kind="stable")
    columns, rows = points[order, 0], points[order, 1]
    # Points in one column would be a step; they are set apart by next to nothing.
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
