"""The eyes: their regions and openings, shut eyes, and their whites, which show the colour of the light."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sargan_core.faces.blur import polygon_cover

# iBUG-68: the lids of both eyes.
EYES = (tuple(range(36, 42)), tuple(range(42, 48)))
# Fraction of the pixels between the lids, the brightest ones, that counts as the white.
WHITE_SHARE = 0.2
# Rim of the lids that belongs to the eyes, as a fraction of the crop's side.
EYES_MARGIN = 0.006
# Gap between the lids, as a fraction of the eye's width: shut up to the first value, open from the second.
SHUT = (0.06, 0.095)
# How much wider eyes may be at rest than they are found; of 88 people who smile, 79 have less between both photos.
WIDER = 1.3
# Gap between the lids of eyes that are found shut, at rest, as a fraction of the eye's width.
LEAST_AT_REST = 0.14
# The ellipse that moves with a shut eye: its half-axes as fractions of the eye's width, and the part that fades out.
AROUND = (0.85, 0.5)
FADES = 0.4


def eye_regions(landmarks: npt.NDArray[np.float64], size: int) -> Tensor:
    """Return the pixels between the lids of both eyes, (S, S) bool; landmarks are (68, 2) crop pixels."""
    canvas = np.zeros((size, size), np.uint8)
    for eye in EYES:
        cv2.fillPoly(canvas, [np.round(landmarks[list(eye)] * 16).astype(np.int32)], 1, shift=4)
    return torch.from_numpy(canvas.astype(bool))


def between_lids(landmarks: npt.NDArray[np.float64], eye: tuple[int, ...], size: int) -> Tensor:
    """Return the fraction of each pixel that lies between the lids of one of ``EYES``, (1, S, S) float64 in [0, 1]."""
    return polygon_cover(landmarks[list(eye)], size)


def eye_openings(landmarks: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean gap between the lids of each of ``EYES`` in pixels of the landmarks; 0 for lids that cross."""
    gaps = [
        np.mean([landmarks[eye[5], 1] - landmarks[eye[1], 1], landmarks[eye[4], 1] - landmarks[eye[2], 1]])
        for eye in EYES
    ]
    return max(0.0, float(gaps[0])), max(0.0, float(gaps[1]))


def with_narrow_eyes(
    landmarks: npt.NDArray[np.float64], own: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return landmarks (68, 2) of a face at rest whose eyes are at most ``WIDER`` times as open as they are found.

    Narrow eyes are a person's own more often than an expression, and what wide ones would uncover is unknown.

    Args:
        landmarks: (68, 2) crop pixels, estimated at rest.
        own: (68, 2) crop pixels, as found.
    """
    result = landmarks.copy()
    for eye, rest, seen in zip(EYES, eye_openings(landmarks), eye_openings(own), strict=True):
        corners, lids = [eye[0], eye[3]], [eye[1], eye[2], eye[4], eye[5]]
        width = float(np.linalg.norm(own[eye[3]] - own[eye[0]]))
        widest = max(WIDER * seen, LEAST_AT_REST * width)
        if rest <= widest:
            continue
        share = max(0.0, widest - seen) / (rest - seen)
        moved = (landmarks - own)[corners].mean(0)
        result[lids] = own[lids] + moved + share * (landmarks[lids] - own[lids] - moved)
    return result


def with_shut_eyes(landmarks: npt.NDArray[np.float64], flow: Tensor) -> Tensor:
    """Return a displacement field in which a shut eye moves as a whole, because what its lids hide is unknown.

    Args:
        landmarks: (68, 2) crop pixels, as found.
        flow: (1, 2, S, S) backward displacement in crop pixels; see ``faces/warp.py``.
    """
    size = flow.shape[-1]
    rows, columns = np.mgrid[:size, :size]
    for eye, gap in zip(EYES, eye_openings(landmarks), strict=True):
        points = landmarks[list(eye)]
        corners = points[[0, 3]]
        width = float(np.linalg.norm(corners[1] - corners[0]))
        shut = float(np.clip((SHUT[1] - gap / max(width, 1e-6)) / (SHUT[1] - SHUT[0]), 0, 1))
        if shut == 0:
            continue
        middle = points.mean(0)
        far = np.hypot((columns - middle[0]) / (AROUND[0] * width), (rows - middle[1]) / (AROUND[1] * width))
        near = np.clip((1 - far) / FADES, 0, 1)
        near = torch.from_numpy(shut * near * near * (3 - 2 * near)).to(flow)
        # The corners of the eye lie on bone and move as the whole eye does.
        x, y = np.round(corners).astype(int).clip(0, size - 1).T
        whole = flow[:, :, y, x].mean(2)[:, :, None, None]
        flow = torch.lerp(flow, whole.expand_as(flow), near)
    return flow


def eyes_region(landmarks: npt.NDArray[np.float64], size: int) -> Tensor:
    """Return the mask of the openings of the eyes, (1, S, S) float64 in [0, 1], slightly widened, with a soft edge."""
    canvas = eye_regions(landmarks, size).numpy().astype(np.float32)
    reach = 2 * round(EYES_MARGIN * size) + 1
    canvas = cv2.dilate(canvas, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    canvas = cv2.GaussianBlur(canvas, (0, 0), EYES_MARGIN * size)
    return torch.from_numpy(canvas.astype(np.float64))[None]


def eye_white(image: Tensor, regions: Tensor) -> Tensor:
    """Return the mean colour of the brightest pixels between the lids, (3,) in [0, 1].

    Args:
        image: (3, S, S) RGB in [0, 1].
        regions: (S, S) bool; if it is empty, the whole crop counts.
    """
    pixels = image[:, regions.to(image.device)] if bool(regions.any()) else image.flatten(1)
    count = max(1, int(WHITE_SHARE * pixels.shape[1]))
    brightest = pixels.mean(0).topk(count).indices
    return pixels[:, brightest].mean(1)
