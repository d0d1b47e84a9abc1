"""Lay one photo of a head on another: what is left between the two is the expression."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from sargan_core.faces.align import Template

# The part of the face that is compared, from the middle of the eyes, in eye distances: eyes and nose bridge,
# which stay where they are in every expression; brows and mouth do not.
ABOVE, BELOW, ASIDE = 0.3, 0.7, 0.95
# A result that moves the eyes further than this (in eye distances) has locked on to something else.
FARTHEST = 0.12
ITERATIONS, ENOUGH, BLUR = 50, 1e-4, 5


def register(
    fixed: npt.NDArray[np.uint8], moving: npt.NDArray[np.uint8], template: Template
) -> npt.NDArray[np.float64]:
    """Return the small rotation and shift that takes points of one crop to the same points of another.

    Maximises the correlation of the two grey crops around the eyes and the nose bridge (Evangelidis &
    Psarakis 2008, as in ``cv2.findTransformECC``), which finds to a fraction of a pixel what landmarks only
    find to one or two.

    Args:
        fixed: (3, S, S) uint8 crop of the input.
        moving: (3, S, S) uint8 crop of the target, already within a few pixels.
        template: the alignment of both.

    Returns:
        (2, 3) float64, pixels of ``fixed`` -> pixels of ``moving``; the identity where nothing plausible was
        found.
    """
    still = np.eye(2, 3)
    left, right = template.pixels()[:2]
    distance = float(np.linalg.norm(right - left))
    middle = (left + right) / 2
    top, bottom = middle[1] - ABOVE * distance, middle[1] + BELOW * distance
    start, end = middle[0] - ASIDE * distance, middle[0] + ASIDE * distance
    mask = np.zeros(fixed.shape[1:], np.uint8)
    mask[max(0, round(top)) : round(bottom) + 1, max(0, round(start)) : round(end) + 1] = 255
    grey = [np.ascontiguousarray(crop.mean(0, dtype=np.float32)) for crop in (fixed, moving)]
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ITERATIONS, ENOUGH)
    try:
        _, found = cv2.findTransformECC(
            grey[0], grey[1], still.astype(np.float32), cv2.MOTION_EUCLIDEAN, criteria, mask, BLUR
        )
    except cv2.error:
        # No contrast, or no convergence: the landmarks' answer stands.
        return still
    motion = np.asarray(found, dtype=np.float64)
    eyes = np.stack([left, right])
    moved = eyes @ motion[:, :2].T + motion[:, 2]
    if not np.linalg.norm(moved - eyes, axis=1).max() < FARTHEST * distance:
        return still
    return motion
