"""Folds of the skin: where an edit pushes skin together, the face's own fine lines across the push deepen.

The field of an edit knows how much it compresses the skin and in which direction. Lines that lie across that direction
(of the forehead under raised brows, beside the mouth, at the corners of the eyes, at the root of the nose) become
darker, and the ridges between them lighter. A face without lines gets none: nothing is drawn that is not there.
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

# Compression from which skin folds, and at which its lines are as deep as they get, as a share of its length.
FOLDS = (0.02, 0.16)
# Scale at which compression is told, and a line's half width and half length, in pixels of a 256 px crop.
STRAIN_SCALE = 3.0
LINE = (1.3, 3.4)
ORIENTATIONS = 6
# How much deeper a line gets at full compression, as a multiple of its own depth, and the share of that by which the
# ridge beside it lightens.
DEEPER = 2.5
RIDGE = 0.4
# Most by which a pixel changes, as a share of its brightness.
MOST = 0.22
# What is no line but pores and grain: this many times the median response on the face.
UNSURE = 0.6
# Energy of lines across the push, as a multiple of that in all directions, between which it tells folds from stubble
# and pores; and the scale at which it is told, in pixels of a 256 px crop.
ALONE = (1.2, 2.0)
TOGETHER = 4.0
# Width of the brows and of the rim of eyes, lips and nostrils that stay as they are, as fractions of the crop's side.
BROW = 0.035
RIM = 0.03
BROWS = (tuple(range(17, 22)), tuple(range(22, 27)))
STILL = (*EYES, tuple(range(48, 60)), (29, 31, 32, 33, 34, 35))


def with_folds(edited: Tensor, moved: Tensor, flow: Tensor, landmarks: Points, mask: Tensor) -> Tensor:
    """Return the edited crop with lines deepened where skin is pushed together.

    Args:
        edited: (1, 3, S, S) RGB.
        moved: (1, 3, S, S) RGB, the face's own pixels where the field takes them.
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
    light = moved[part].mean(1, keepdim=True).clamp(1e-3, 1)
    result = edited.clone()
    result[part] *= 1 + _change(light, amount[part], angle[part], flow.shape[-1] / 256)
    return result


def _change(light: Tensor, amount: Tensor, angle: Tensor, scale: float) -> Tensor:
    """Return by how much each pixel of a part of a crop lightens, as a share of its brightness, (1, 1, H, W).

    Args:
        light: (1, 1, H, W), brightness in [0, 1].
        amount: of the same shape, how much the skin folds there, in [0, 1].
        angle: of the same shape, the direction that it is pushed in, radians.
        scale: the crop's side as a multiple of 256 px.
    """
    filters = _lines(scale).to(light)
    padded = torch.nn.functional.pad(light, [filters.shape[-1] // 2] * 4, mode="replicate")
    responses = torch.nn.functional.conv2d(padded, filters)
    unsure = UNSURE * responses.abs().median()
    responses = responses.sign() * (responses.abs() - unsure).clamp_min(0)
    steps = torch.arange(ORIENTATIONS, device=light.device, dtype=light.dtype).view(1, -1, 1, 1)
    across = (2 * (angle - math.pi * steps / ORIENTATIONS)).cos().clamp_min(0) ** 4
    across = across / across.sum(1, keepdim=True)
    line = (across * responses).sum(1, keepdim=True)
    depth = DEEPER * amount * _alone(responses, across, scale) * torch.where(line > 0, line, RIDGE * line)
    return (-depth / light).clamp(-MOST, MOST)


def compression(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Return how much skin is shortened along the direction of most compression, and that direction.

    Both (1, 1, S, S): a share of the length (0 where it is stretched), and an angle from x towards y in radians.
    """
    sigma = STRAIN_SCALE * flow.shape[-1] / 256
    window = 2 * int(2 * sigma) + 1
    smooth = gaussian_blur(flow, window, sigma, "replicate")
    along_x, along_y = (torch.gradient(smooth, dim=dim)[0] for dim in (3, 2))
    x_x, y_y = along_x[:, :1], along_y[:, 1:]
    shear = (along_y[:, :1] + along_x[:, 1:]) / 2
    mean, half = (x_x + y_y) / 2, (x_x - y_y) / 2
    largest = mean + (half**2 + shear**2).sqrt()
    # A backward field that grows shows more of the face in as little room.
    return (1 - 1 / (1 + largest.clamp_min(0))), torch.atan2(shear, half) / 2


def _alone(responses: Tensor, across: Tensor, scale: float) -> Tensor:
    """Return where lines lie in one direction only, (1, 1, S, S) in [0, 1]; stubble, pores and hair lie in all."""
    sigma = TOGETHER * scale
    window = 2 * int(2 * sigma) + 1
    energy = gaussian_blur(responses**2, window, sigma, "replicate")
    share = (across * energy).sum(1, keepdim=True) / energy.mean(1, keepdim=True).clamp_min(1e-12)
    return ((share - ALONE[0]) / (ALONE[1] - ALONE[0])).clamp(0, 1)


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
def _lines(scale: float) -> Tensor:
    """Return filters (N, 1, K, K) that answer with the depth of a dark line, one for each direction across it."""
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
        # A line of depth 1 and this width gives an answer of about 1.
        shape = torch.exp(-(across**2) / (2 * width**2))
        filters.append(kernel / -(kernel * shape).sum())
    return torch.stack(filters)[:, None].float()
