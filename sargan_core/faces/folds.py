"""Skin folds: where an edit compresses the skin, the face's own fine lines across that direction deepen.

The displacement field of an edit gives the compression of the skin and its direction. Lines across that direction (on
the forehead under raised brows, beside the mouth, at the corners of the eyes, at the root of the nose) become darker,
and the ridges between them lighter. No line is added to a face without lines.
Convention of fields: see ``faces/warp.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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
# Rows and columns.
Box = tuple[slice, slice]

# Compression, as a fraction of length, at which folds begin and at which they are deepest.
FOLDS = (0.02, 0.16)
# Scale at which compression is measured, and a line's half width and half length, in pixels of a 256 px crop.
STRAIN_SCALE = 3.0
LINE = (1.3, 3.4)
# Difference of compression between directions below which there is none.
SAME = 1e-12
ORIENTATIONS = 6
# A line goes on for so far to both sides, in pixels of a 256 px crop; a mole or a freckle does not.
GOES_ON = 4.0
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
    free = mask[0, 0].detach().cpu().numpy() * _skin(landmarks, flow.shape[-1])
    if (near := _around(free)) is None:
        return edited
    push, level, upright = compression(flow, near)
    push -= FOLDS[0]
    push /= FOLDS[1] - FOLDS[0]
    amount = np.clip(push, 0, 1, out=push)
    amount *= free[near]
    if (within := _around(amount)) is None:
        return edited
    rows, columns = (
        slice(outer.start + inner.start, outer.start + inner.stop)
        for outer, inner in zip(near, within, strict=True)
    )
    part = (..., rows, columns)
    light = moved[part].mean(1)[0].clamp(1e-3, 1).detach().cpu().numpy()
    change = _change(light, amount[within], (level[within], upright[within]), flow.shape[-1] / 256)
    result = edited.clone()
    result[part] *= 1 + torch.from_numpy(change).to(edited)
    return result


def _around(amount: Plane) -> Box | None:
    """Return rows and columns of the rectangle around what is above 0; None if nothing is."""
    above = amount > 0
    rows, columns = np.flatnonzero(above.any(1)), np.flatnonzero(above.any(0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _change(light: Plane, amount: Plane, direction: tuple[Plane, Plane], scale: float) -> Plane:
    """Return the change of brightness of each pixel as a fraction of its own, (H, W); above 0 is lighter.

    Args:
        light: (H, W), brightness in [0, 1].
        amount: of the same shape, how much the skin folds, in [0, 1].
        direction: of the same shape each, cosine and sine of twice the angle of compression.
        scale: the crop's side as a multiple of 256 px.
    """
    lines = _lines(scale)
    responses = np.empty((ORIENTATIONS, *light.shape), np.float32)
    for line, response in zip(lines, responses, strict=True):
        _filter(light, line, response)
    # A quarter of the pixels tells the median as well.
    unsure = np.float32(UNSURE * np.median(np.abs(responses[:, ::2, ::2])))
    responses -= np.clip(responses, -unsure, unsure)
    responses = _long(responses, GOES_ON * scale)
    sigma = TOGETHER * scale
    side = 2 * int(2 * sigma) + 1
    # Sums over all directions: of the weights, of weighted lines and energies, of energies.
    total, along, across, every = (np.zeros_like(light) for _ in range(4))
    level, upright = direction
    for turn, response in zip(2 * math.pi * np.arange(ORIENTATIONS) / ORIENTATIONS, responses, strict=True):
        weight = level * np.float32(math.cos(turn))
        weight += upright * np.float32(math.sin(turn))
        np.maximum(weight, 0, out=weight)
        weight *= weight
        weight *= weight
        total += weight
        along += weight * response
        response *= response
        energy = cv2.GaussianBlur(response, (side, side), sigma, borderType=cv2.BORDER_REPLICATE)
        every += energy
        weight *= energy
        across += weight
    along /= total
    # Where lines have one direction; stubble, pores and hair have all of them.
    alone = across / (total * np.maximum(every / ORIENTATIONS, 1e-12))
    alone = np.clip((alone - ALONE[0]) / (ALONE[1] - ALONE[0]), 0, 1)
    depth = np.float32(DEEPER) * amount * alone
    depth *= np.where(along > 0, along, np.float32(RIDGE) * along)
    return np.clip(-depth / light, -MOST, MOST)


def _long(responses: Plane, reach: float) -> Plane:
    """Return the responses (ORIENTATIONS, H, W) to what goes on for ``reach`` pixels along the line to both sides.

    Of the three values there the one nearest to 0 counts, and none where they differ in sign.
    """
    long = np.empty_like(responses)
    height, width = responses.shape[1:]
    for step, response in enumerate(responses):
        angle = math.pi * step / ORIENTATIONS
        x, y = round(-reach * math.sin(angle)), round(reach * math.cos(angle))
        places = [
            np.ix_(
                np.clip(np.arange(height) + k * y, 0, height - 1),
                np.clip(np.arange(width) + k * x, 0, width - 1),
            )
            for k in (-1, 1)
        ]
        before, after = (response[place] for place in places)
        dark = np.minimum(np.minimum(before, after), response)
        light = np.maximum(np.maximum(before, after), response)
        long[step] = np.maximum(dark, 0) + np.minimum(light, 0)
    return long


def _filter(light: Plane, line: _Line, response: Plane) -> None:
    """Write the response of a filter at each pixel, (H, W)."""
    if line.level is not None and line.upright is not None:
        cv2.sepFilter2D(
            light, cv2.CV_32F, line.level, line.upright, dst=response, borderType=cv2.BORDER_REPLICATE
        )
    else:
        # OpenCV applies so large a filter in the frequency domain, faster than torch's convolution.
        cv2.filter2D(light, cv2.CV_32F, line.kernel, dst=response, borderType=cv2.BORDER_REPLICATE)


def compression(flow: Tensor, part: Box | None = None) -> tuple[Plane, Plane, Plane]:
    """Return the largest compression of the skin, a fraction of the length, 0 where it is stretched, and its direction.

    A stretch at right angles to it is taken away. All (h, w). The direction is the cosine and the sine of twice its
    angle from x towards y.

    Args:
        flow: (1, 2, S, S) backward field, crop pixels.
        part: rows and columns of the crop that are wanted; None = all.
    """
    size = flow.shape[-1]
    rows, columns = part or (slice(0, size), slice(0, size))
    sigma = STRAIN_SCALE * size / 256
    window = 2 * int(2 * sigma) + 1
    # What lies farther away is not seen.
    top, left = (max(0, side.start - window // 2 - 1) for side in (rows, columns))
    bottom, right = (min(size, side.stop + window // 2 + 1) for side in (rows, columns))
    smooth = gaussian_blur(flow[..., top:bottom, left:right].detach().cpu(), window, sigma, "replicate")
    inner = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    (x_y, x_x), (y_y, y_x) = (
        [gradient[inner] for gradient in np.gradient(plane)] for plane in smooth[0].numpy()
    )
    shear = (x_y + y_x) / 2
    mean, half = (x_x + y_y) / 2, (x_x - y_y) / 2
    longest = np.sqrt(half * half + shear * shear)
    # Skin that is stretched along its lines is taut, and folds by so much less.
    taut = np.maximum(longest - mean, 0)
    mean += longest
    mean -= taut
    # Where a backward field grows, more of the face is shown in the same space.
    push = 1 - 1 / (1 + np.maximum(mean, 0))
    # Where all directions are alike, it is x.
    alike = longest < SAME
    half[alike] = longest[alike] = 1
    return push, half / longest, shear / longest


def _skin(landmarks: Points, size: int) -> Plane:
    """Return 1 on skin and 0 on brows, eyes and lips, (S, S), with soft edges."""
    canvas = np.zeros((size, size), np.uint8)
    for points in BROWS:
        line = np.round(landmarks[list(points)] * 16).astype(np.int32)
        cv2.polylines(canvas, [line], False, 255, max(1, round(2 * BROW * size)), cv2.LINE_8, 4)
    for points in STILL:
        outline = cv2.convexHull(np.round(landmarks[list(points)] * 16).astype(np.int32))
        cv2.fillConvexPoly(canvas, outline, 255, cv2.LINE_8, 4)
        cv2.polylines(canvas, [outline], True, 255, max(1, round(2 * RIM * size)), cv2.LINE_8, 4)
    soft = cv2.GaussianBlur(canvas.astype(np.float32) / 255, (0, 0), 0.008 * size)
    return np.asarray(1 - soft)


@dataclass(frozen=True)
class _Line:
    """A filter whose response is the depth of a dark line of one direction.

    Attributes:
        kernel: (K, K).
        level, upright: (K,) each, filters that do the same one after the other; None = there are none.
    """

    kernel: Plane
    level: Plane | None
    upright: Plane | None

    @classmethod
    def of(cls, kernel: Plane) -> _Line:
        middle = len(kernel) // 2
        level, upright = kernel[middle], kernel[:, middle] / kernel[middle, middle]
        if np.allclose(np.outer(upright, level), kernel, atol=1e-7):
            return cls(kernel, level, upright)
        return cls(kernel, None, None)


@lru_cache(maxsize=4)
def _lines(scale: float) -> tuple[_Line, ...]:
    """Return one filter per direction."""
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
    return tuple(_Line.of(kernel.float().numpy()) for kernel in filters)
