"""Skin folds: where an edit compresses the skin, the face's own fine lines across that direction deepen.

The displacement field of an edit gives the compression of the skin and its direction. Lines across that direction (on
the forehead under raised brows, beside the mouth, at the corners of the eyes, at the root of the nose) become darker,
and the ridges between them lighter. No line is added to a face without lines.
Convention of fields: see ``faces/warp.py``.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sargan_core.faces.blur import gaussian_blur
from sargan_core.faces.eyes import EYES

Points = npt.NDArray[np.float64]
Plane = npt.NDArray[np.float32]

# Compression, as a fraction of length, at which folds begin and at which they are deepest.
FOLDS = (0.02, 0.16)
# Scale at which compression is measured, and a line's half width and half length, in pixels of a 256 px crop.
STRAIN_SCALE = 3.0
LINE = (1.3, 3.4)
ORIENTATIONS = 6
# Depth added to a line at full compression, as a multiple of its own, and the lightening of the ridge beside it as a
# fraction of that.
DEEPER = 2.5
RIDGE = 0.4
# Largest change of a pixel, as a fraction of its brightness.
MOST = 0.22
# Responses below this multiple of the median on the face are pores and grain, not lines.
UNSURE = 0.6
# Energy of lines across the compression, as a multiple of the mean over all directions: stubble and pores up to the
# first value, folds from the second. And the scale of that energy, in pixels of a 256 px crop.
ALONE = (1.2, 2.0)
TOGETHER = 4.0
# Half width of the brows and of the rim around eyes, lips and nostrils, which stay as they are, as fractions of the
# crop's side.
BROW = 0.035
RIM = 0.03
BROWS = (tuple(range(17, 22)), tuple(range(22, 27)))
STILL = (*EYES, tuple(range(48, 60)), (29, 31, 32, 33, 34, 35))


def with_folds(edited: Tensor, moved: Tensor, flow: Tensor, landmarks: Points, mask: Tensor) -> Tensor:
    """Return the edited crop with lines deepened where skin is compressed.

    Args:
        edited: (1, 3, S, S) RGB.
        moved: (1, 3, S, S) RGB, the face's own pixels moved by the field.
        flow: (1, 2, S, S) backward field, crop pixels.
        landmarks: (68, 2) crop pixels after the edit.
        mask: (1, 1, S, S) in [0, 1], where skin may change.
    """
    push, angle = compression(flow)
    amount = ((push - FOLDS[0]) / (FOLDS[1] - FOLDS[0])).clamp(0, 1) * mask * _skin(landmarks, flow)
    rows, columns = ((amount[0, 0].amax(dim) > 0).nonzero()[:, 0].tolist() for dim in (1, 0))
    if not rows:
        return edited
    part = (..., slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    light = moved[part].mean(1)[0].clamp(1e-3, 1)
    here, folded, direction = (
        plane.detach().cpu().numpy() for plane in (light, amount[part][0, 0], angle[part][0, 0])
    )
    result = edited.clone()
    change = _change(here, folded, direction, flow.shape[-1] / 256)
    result[part] *= 1 + torch.from_numpy(change).to(edited)
    return result


def _change(light: Plane, amount: Plane, angle: Plane, scale: float) -> Plane:
    """Return the change of brightness of each pixel as a fraction of its own, (H, W); above 0 is lighter.

    Args:
        light: (H, W), brightness in [0, 1].
        amount: of the same shape, how much the skin folds, in [0, 1].
        angle: of the same shape, the direction of compression, radians.
        scale: the crop's side as a multiple of 256 px.
    """
    responses = np.stack([_filtered(light, line) for line in _lines(scale)])
    # A quarter of the pixels tells the median as well.
    unsure = np.float32(UNSURE * np.median(np.abs(responses[:, ::2, ::2])))
    responses -= np.clip(responses, -unsure, unsure)
    level, upright = np.cos(2 * angle), np.sin(2 * angle)
    across: Plane = np.stack(
        [
            level * np.float32(math.cos(turn)) + upright * np.float32(math.sin(turn))
            for turn in 2 * math.pi * np.arange(ORIENTATIONS) / ORIENTATIONS
        ]
    )
    np.maximum(across, 0, out=across)
    across *= across
    across *= across
    across /= across.sum(0)
    line = (across * responses).sum(0)
    depth = np.float32(DEEPER) * amount * _alone(responses, across, scale)
    depth *= np.where(line > 0, line, np.float32(RIDGE) * line)
    return np.clip(-depth / light, -MOST, MOST)


def _filtered(light: Plane, line: Plane) -> Plane:
    """Return the response of a filter (K, K) at each pixel, (H, W)."""
    middle = len(line) // 2
    across, down = line[middle], line[:, middle] / line[middle, middle]
    if np.allclose(np.outer(down, across), line, atol=1e-7):
        # Level and upright lines: two short filters do.
        return cv2.sepFilter2D(light, cv2.CV_32F, across, down, borderType=cv2.BORDER_REPLICATE)
    # OpenCV applies so large a filter in the frequency domain, faster than torch's convolution.
    return cv2.filter2D(light, cv2.CV_32F, line, borderType=cv2.BORDER_REPLICATE)


def compression(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest compression of the skin and its direction.

    Both (1, 1, S, S): a fraction of the length (0 where it is stretched), and an angle from x towards y in radians.
    """
    sigma = STRAIN_SCALE * flow.shape[-1] / 256
    window = 2 * int(2 * sigma) + 1
    smooth = gaussian_blur(flow, window, sigma, "replicate")
    along_x, along_y = (torch.gradient(smooth, dim=dim)[0] for dim in (3, 2))
    x_x, y_y = along_x[:, :1], along_y[:, 1:]
    shear = (along_y[:, :1] + along_x[:, 1:]) / 2
    mean, half = (x_x + y_y) / 2, (x_x - y_y) / 2
    largest = mean + (half**2 + shear**2).sqrt()
    # Where a backward field grows, more of the face is shown in the same space.
    return (1 - 1 / (1 + largest.clamp_min(0))), torch.atan2(shear, half) / 2


def _alone(responses: Plane, across: Plane, scale: float) -> Plane:
    """Return where lines have one direction, (H, W) in [0, 1]; stubble, pores and hair have all directions."""
    sigma = TOGETHER * scale
    side = 2 * int(2 * sigma) + 1
    energy = np.stack(
        [
            cv2.GaussianBlur(plane * plane, (side, side), sigma, borderType=cv2.BORDER_REPLICATE)
            for plane in responses
        ]
    )
    share = (across * energy).sum(0) / np.maximum(energy.mean(0), 1e-12)
    return np.asarray(np.clip((share - ALONE[0]) / (ALONE[1] - ALONE[0]), 0, 1), dtype=np.float32)


def _skin(landmarks: Points, like: Tensor) -> Tensor:
    """Return 1 on skin and 0 on brows, eyes and lips, (1, 1, S, S), with soft edges."""
    size = like.shape[-1]
    canvas = np.zeros((size, size), np.uint8)
    for points in BROWS:
        line = np.round(landmarks[list(points)] * 16).astype(np.int32)
        cv2.polylines(canvas, [line], False, 255, max(1, round(2 * BROW * size)), cv2.LINE_8, 4)
    for points in STILL:
        outline = cv2.convexHull(np.round(landmarks[list(points)] * 16).astype(np.int32))
        cv2.fillConvexPoly(canvas, outline, 255, cv2.LINE_8, 4)
        cv2.polylines(canvas, [outline], True, 255, max(1, round(2 * RIM * size)), cv2.LINE_8, 4)
    soft = cv2.GaussianBlur(canvas.astype(np.float32) / 255, (0, 0), 0.008 * size)
    return 1 - torch.from_numpy(soft).to(like)[None, None]


@lru_cache(maxsize=4)
def _lines(scale: float) -> Plane:
    """Return filters (N, K, K), one per direction, whose response is the depth of a dark line."""
    width, length = (each * scale for each in LINE)
    reach = round(2.4 * length)
    ticks = torch.arange(-reach, reach + 1, dtype=torch.float64)
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    filters = []
    for step in range(ORIENTATIONS):
        angle = math.pi * step / ORIENTATIONS
        across, along = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
        bell = torch.exp(-(across**2) / (2 * width**2) - along**2 / (2 * length**2))
        kernel = (across**2 / width**2 - 1) * bell
        kernel = kernel - bell * (kernel.sum() / bell.sum())
        # A line of depth 1 and this width gives a response of about 1.
        shape = torch.exp(-(across**2) / (2 * width**2))
        filters.append(kernel / -(kernel * shape).sum())
    lines: Plane = torch.stack(filters).float().numpy()
    return lines
