"""Figures of what is seen between parted lips: fine detail, edges between teeth, and the tone of teeth."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from sargan_core.faces.align import apply_matrix, similarity
from sargan_core.faces.face import Pixels
from sargan_core.faces.lip_line import with_sure_lips
from sargan_core.faces.mouth import INNER_LIPS

# Width that the mouth is brought to, from corner to corner, and the picture around it.
MOUTH = 200.0
SIDE = 320
# Detail is what a Gaussian of this many of its pixels takes away.
SCALE = 2.0
# Fewest pixels between the lips that say anything: a line of some rows is a closed mouth.
FEWEST = 900


def mouth_detail(pixels: Pixels, landmarks: npt.NDArray[np.float32] | None) -> dict[str, float]:
    """Return the figures of an open mouth: ``mouth_detail``, ``mouth_gradient`` and ``teeth_light``, ``_a``, ``_b``.

    Args:
        pixels: (H, W, 3) uint8 or uint16 RGB photo.
        landmarks: (68, 2) of the face as it is found in this photo, photo pixels.

    Returns:
        Root mean square of the fine detail and mean absolute horizontal Sobel gradient in 8-bit levels of grey, mean
        L*a*b* of the brighter half; empty for a mouth that is not open.
    """
    if landmarks is None:
        return {}
    ends = np.array([[(SIDE - MOUTH) / 2, SIDE / 2], [(SIDE + MOUTH) / 2, SIDE / 2]])
    # Lips of a closed mouth are easily found as parted.
    known = with_sure_lips(pixels, landmarks).astype(np.float64)
    matrix = similarity(known[[48, 54]], ends)
    scale = float(np.hypot(*matrix[:, 0]))
    grid = np.asarray(pixels.astype(np.float32) * (255 / np.iinfo(pixels.dtype).max))
    if scale < 1:
        # What the smaller picture cannot show must not come back as false detail.
        grid = cv2.GaussianBlur(grid, (0, 0), 0.5 / scale)
    picture = cv2.warpAffine(
        grid, matrix, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    picture = np.clip(picture, 0, 255)
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    rim = apply_matrix(matrix, known[list(INNER_LIPS)])
    cv2.fillPoly(canvas, [np.round(rim * 16).astype(np.int32)], 1, shift=4)
    inside = canvas.astype(bool)
    if inside.sum() < FEWEST:
        return {}
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    fine = (grey - cv2.GaussianBlur(grey, (0, 0), SCALE))[inside]
    gradient = np.abs(cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=3))[inside]
    lab = cv2.cvtColor(picture / np.float32(255), cv2.COLOR_RGB2LAB)[inside]
    brighter = lab[lab[:, 0] >= np.median(lab[:, 0])].mean(0)
    return {
        "mouth_detail": float(np.sqrt(np.square(fine).mean())),
        "mouth_gradient": float(gradient.mean()),
        "teeth_light": float(brighter[0]),
        "teeth_a": float(brighter[1]),
        "teeth_b": float(brighter[2]),
    }
