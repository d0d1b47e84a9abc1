"""The mouth: lips that touch, what is seen between parted lips, and how it is hidden when they close."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sargan_core.faces.blur import gaussian_blur
from sargan_core.faces.opening import opening_of

# iBUG-68: the inner lip line from corner to corner and the points above and below each other.
INNER_LIPS = tuple(range(60, 68))
UPPER_LIP = (*range(49, 54), 61, 62, 63)
LOWER_LIP = (*range(55, 60), 65, 66, 67)
# Without the inner corners (60, 64): they lie so close to the outer ones that finding errors would fold a warp.
ALL_POINTS = (*range(60), *range(61, 64), *range(65, 68))
WITHOUT_UPPER_LIP = tuple(point for point in ALL_POINTS if point not in UPPER_LIP)
WITHOUT_LOWER_LIP = tuple(point for point in ALL_POINTS if point not in LOWER_LIP)
FACING = ((61, 67), (62, 66), (63, 65))
# Outer corner, inner corner, next point of the upper lip; where the inner corner lies between the two.
CORNERS = ((48, 60, 61), (54, 64, 63))
CORNER_SHARE = 0.55
# Skin around the lips that goes with them, as a fraction of the crop's side.
LIPS_MARGIN = 0.025
# Teeth beside the opening that the landmarks tell of: reach across and down as fractions of the crop's side, light as a
# share of the brightest between the lips, and how much brighter and less red than lips they are.
BESIDE = (0.02, 0.005)
AS_BRIGHT = 0.45
BRIGHTER, LESS_RED = 1.3, 0.025
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
# Reach of the lips' colour into the hidden mouth, in pixels of a 256 px crop, and how dark the lip line is.
FILL_SCALE = 5.0
LIP_LINE = 0.6


def closed(landmarks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the landmarks with lips that cross put together: a warp through crossing points would fold.

    Where the lower lip passes the upper one it is hidden behind it, so the upper lip's edge is the lip line. The
    inner corners of such a mouth are put back on the line from the outer corner to the lips.
    """
    points = landmarks.copy()
    crossed = [pair for pair in FACING if points[pair[1], 1] < points[pair[0], 1]]
    for upper, lower in crossed:
        points[lower] = points[upper]
    if len(crossed) == len(FACING):
        for corner, inner, beside in CORNERS:
            points[inner] = points[corner] + CORNER_SHARE * (points[beside] - points[corner])
    return points


def together(landmarks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the landmarks with the inner lips put together on the line midway between them."""
    points = landmarks.copy()
    for upper, lower in FACING:
        points[lower] = points[upper] = (landmarks[upper] + landmarks[lower]) / 2
    return closed(points)


def with_lip_line(landmarks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return 63 points: the 68 landmarks with the two inner lips replaced by the three points midway between them.

    A spline between shapes whose lips nearly touch needs this: a gap of a fraction of a pixel in one and of some pixels
    in the other would tear it.
    """
    line = [(landmarks[upper] + landmarks[lower]) / 2 for upper, lower in FACING]
    return np.concatenate([landmarks[:60], np.stack(line)])


def opening(landmarks: npt.NDArray[np.float64]) -> float:
    """Return the mean gap between the inner lips in pixels of the landmarks; 0 for lips that touch or cross."""
    gaps = [landmarks[lower, 1] - landmarks[upper, 1] for upper, lower in FACING]
    return max(0.0, float(np.mean(gaps)))


def inside_mouth(landmarks: npt.NDArray[np.float64], size: int) -> Tensor:
    """Return the share of each pixel that lies between the lips, (1, S, S) float64 in [0, 1]."""
    canvas = np.zeros((size * 4, size * 4), np.uint8)
    outline = np.round(((landmarks[list(INNER_LIPS)] + 0.5) * 4 - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [outline], 255, shift=4)
    share = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(share.astype(np.float64) / 255)[None]


def lips_region(landmarks: npt.NDArray[np.float64], size: int) -> Tensor:
    """Return where the lips and the skin just around them are, (1, S, S) float64 in [0, 1] with a soft edge."""
    canvas = np.zeros((size, size), np.float32)
    outline = cv2.convexHull(landmarks[48:60].astype(np.float32))
    cv2.fillConvexPoly(canvas, np.round(outline * 16).astype(np.int32), 1.0, shift=4)
    reach = 2 * round(LIPS_MARGIN * size) + 1
    canvas = cv2.dilate(canvas, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    canvas = cv2.GaussianBlur(canvas, (0, 0), LIPS_MARGIN * size / 2)
    return torch.from_numpy(canvas.astype(np.float64))[None]


def below_lip_line(landmarks: npt.NDArray[np.float64], size: int) -> Tensor:
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


def between_lips(image: Tensor, landmarks: npt.NDArray[np.float64]) -> Tensor:
    """Return where an open mouth shows its inside, (1, 1, S, S) in [0, 1], somewhat widened.

    The opening as the landmarks have it, up to the corners of the lips, and what looks like teeth beyond its edge:
    brighter than the upper lip and less red than both lips.

    Args:
        image: (1, 3, S, S) in [0, 1].
        landmarks: (68, 2) crop pixels.
    """
    size = image.shape[-1]
    mouth = opening_of(landmarks)
    cover = torch.from_numpy(mouth.cover(size, size, 0.5 * size / 256)).to(image)[None, None]
    inside = torch.maximum(cover, inside_mouth(landmarks, size).to(image)[None])
    colours = image[0].permute(1, 2, 0).cpu().numpy()
    light, redness = colours @ LUMA, (colours[..., 0] - colours[..., 1]) / (colours.sum(2) + 0.05)
    lips = np.zeros((size, size), np.uint8)
    outline = cv2.convexHull(landmarks[48:60].astype(np.float32))
    cv2.fillConvexPoly(lips, np.round(outline * 16).astype(np.int32), 1, shift=4)
    lip = (lips > 0) & (inside[0, 0].cpu().numpy() < 0.05)
    # Only just beside the opening: lips shine too.
    wide, high = (2 * round(reach * size) + 1 for reach in BESIDE)
    within = cover[0, 0].cpu().numpy() > 0.3
    near = cv2.dilate(within.astype(np.uint8), np.ones((high, wide), np.uint8))
    if lip.sum() < 20 or not within.any():
        return widened(inside)
    least = max(BRIGHTER * float(np.median(light[lip])), AS_BRIGHT * float(np.quantile(light[within], 0.9)))
    teeth = (light > least) & (redness < np.median(redness[lip]) - LESS_RED)
    found = (teeth & (near > 0) & (lips > 0)).astype(np.float32)
    return widened(torch.maximum(inside, torch.from_numpy(found).to(image)[None, None]))


def hide_inside(image: Tensor, inside: Tensor) -> Tensor:
    """Return the crop with what lies between its lips painted over by the lips' own colour, as a dark lip line.

    Args:
        image: (1, 3, S, S).
        inside: (1, 1, S, S), 1 between the lips, best a little wider: no tooth may peep out.
    """
    sigma = FILL_SCALE * image.shape[-1] / 256
    window = 2 * int(3 * sigma) + 1
    lips = gaussian_blur(image * (1 - inside), window, sigma)
    weight = gaussian_blur(1 - inside, window, sigma).clamp_min(1e-3)
    return torch.lerp(image, LIP_LINE * lips / weight, inside)
