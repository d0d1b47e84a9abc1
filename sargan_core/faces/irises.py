"""Irises: found as discs, and kept round where lids move over them.

A displacement field that follows the landmarks of the lids stretches what lies between them, and a round iris becomes
an oval. Here the eye stays where it is and the lids move over it. A lid that opens uncovers a part of the iris that the
photo does not show. There each ring around the middle of the iris is stretched along itself, from where the lid cut it
before to where the lid cuts it now. A ring stays a ring, so pupil and iris stay round, and the field has no tears.
Convention of fields: see ``faces/warp.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from sargan_core.faces.blur import ramp, smooth_step
from sargan_core.faces.eyes import EYES

Points = npt.NDArray[np.float64]
Plane = npt.NDArray[np.float64]
Picture = npt.NDArray[np.float32]


def _grid(aside: Plane, above: Plane, radii: Plane) -> Plane:
    return np.stack(np.meshgrid(aside, above, radii, indexing="ij"), -1).reshape(-1, 3)


# Circles (x, y, radius) to try, as fractions of the distance between the corners of the eye: first around the middle of
# the lids' points, then around the best of those circles.
COARSE = _grid(np.linspace(-0.28, 0.28, 17), np.linspace(-0.14, 0.14, 9), np.linspace(0.2, 0.325, 7))
FINE = _grid(np.linspace(-0.03, 0.03, 5), np.linspace(-0.03, 0.03, 5), np.linspace(-0.015, 0.015, 5))
# Angles at which the rim is searched: at the sides and below, where no lid covers it (y points down), and the
# directions of these, (N, 2).
ANGLES = np.deg2rad(np.concatenate([np.arange(-35, 61, 6), np.arange(120, 216, 6)]))
RAYS = np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1)
# Weights (N, 2) whose products with values at these angles are the means of each side.
SIDES = np.repeat(np.eye(2, dtype=np.float32), len(ANGLES) // 2, axis=0) / np.float32(len(ANGLES) // 2)
# Distance from the rim at which white and iris are compared, as a fraction of the eye's width, and limits of the
# difference in brightness between them, so that catch lights and lashes do not outweigh the rest.
BESIDE = 0.03
STEPS = (-0.1, 0.3)
# Weights, beside the mean difference, of the weaker side's difference and of the darkness inside the rim.
WEAKER_SIDE = 0.5
DARKNESS = 0.05
# Circles with nearly the best score count too, so that the result does not depend on the last bit of a pixel.
NEARLY = 0.004
# Mean difference at the rim: no iris is visible up to the first value, one surely is from the second.
SURE = (0.05, 0.1)
# The field of the iris fades into that of the face between these multiples of the radius.
FADE = (1.5, 2.1)
# A closing lid squeezes its rim: how far behind its moved line the eye begins, as a fraction of the lid's way.
RIM = 0.55
# Part of a ring's visible arc, from the side up to the lid, that stays as it is.
STAYS = 0.3
# Where the iris is compared with itself above and below its middle, as fractions of the radius: columns beside pupil
# and catch lights, and heights. And the difference in brightness that means a lid, as a fraction of that to the white.
COLUMNS = np.array([-0.75, -0.65, -0.55, -0.45, 0.45, 0.55, 0.65, 0.75])
HEIGHTS = np.linspace(0, 1, 21)
ALIKE = 0.5
LOWEST = 0.75
# Between these visible fractions of the height, the place of the lid changes from what the iris shows to the points of
# the lid.
WHOLE = (0.6, 0.75)
# A lid that does not touch the iris is farther from it than its points are, by this multiple of their distance.
CLEARS = 2.0
# Where the circles of each grid are looked at, inside and outside of the rim: (2, circles, angles, 2) as fractions of
# the eye's width.
PLACES = tuple(
    np.stack(
        [grid[:, None, :2] + (grid[:, None, 2:] + beside) * RAYS[None] for beside in (-BESIDE, BESIDE)]
    ).astype(np.float32)
    for grid in (COARSE, FINE)
)
# Fixed-point iterations that find where a field takes a point, and the step in crop pixels that ends them.
STEPS_FORWARD = 12
FOUND = 1e-4


@dataclass(frozen=True)
class Iris:
    """The iris of one eye.

    Attributes:
        x: middle, crop pixels.
        y: middle, crop pixels.
        radius: crop pixels.
        above: how far it is visible above its middle, up to lid or lashes, crop pixels.
        below: how far it is visible below its middle, crop pixels.
        certainty: 0 if no iris is visible (shut eye, dark glasses), 1 if one surely is.
    """

    x: float
    y: float
    radius: float
    above: float
    below: float
    certainty: float


def find_iris(image: Tensor, landmarks: Points, eye: tuple[int, ...]) -> Iris:
    """Return the iris: the circle with the largest difference in brightness across its rim.

    Args:
        image: (3, S, S) RGB in [0, 1].
        landmarks: (68, 2) crop pixels.
        eye: one of ``EYES``.
    """
    points = landmarks[list(eye)]
    width = max(1.0, float(points[3, 0] - points[0, 0]))
    light: Picture = image.detach().cpu().mean(0).numpy()
    found = np.array([*points.mean(0), 0.0])
    sure = 0.0
    for grid, places in zip((COARSE, FINE), PLACES, strict=True):
        score, sides = _scores(light, places, found, width)
        weight = np.exp((score - score.max()) / NEARLY)
        weight /= weight.sum()
        found = found + width * (weight @ grid)
        sure = float(np.clip((weight @ sides - SURE[0]) / (SURE[1] - SURE[0]), 0, 1))
    x, y, radius = (float(each) for each in found)
    return Iris(x, y, radius, *_seen(light, x, y, radius), sure)


def _scores(light: Picture, places: Picture, around: Plane, width: float) -> tuple[Plane, Plane]:
    """Return the score of N circles around another one (x, y, radius), and the difference at their weaker side.

    ``places`` are of ``PLACES``.
    """
    # For torch -1 and +1 are the centres of the first and the last pixel.
    per_pixel = 2 / (len(light) - 1)
    start = (around[:2] + around[2] * RAYS) * per_pixel - 1
    where = places * np.float32(width * per_pixel)
    where += start.astype(np.float32)
    within, beyond = _at(torch.from_numpy(light)[None, None], where.reshape(1, -1, *where.shape[2:])).reshape(
        where.shape[:3]
    )
    step = np.clip(beyond - within, *STEPS)
    # Means along so few angles are sooner had as products.
    one, other = (step @ SIDES).T.astype(np.float64)
    weaker = np.minimum(one, other)
    score = (one + other) / 2 + WEAKER_SIDE * weaker - DARKNESS * (within @ SIDES).mean(1)
    return score, weaker


def _seen(light: Picture, x: float, y: float, radius: float) -> tuple[float, float]:
    """Return how far the iris is visible above and below its middle: as far as it looks like itself."""
    aside, heights = radius * COLUMNS[None], radius * HEIGHTS[:, None]
    own = float(np.median(_read(light, x + aside, y + heights[: len(heights) // 2])))
    white = float(_read(light, np.array([x - 1.25 * radius, x + 1.25 * radius]), np.array([y, y])).max())
    both = []
    for sign in (-1, 1):
        column = np.median(_read(light, x + aside, y + sign * heights), axis=1)
        alike = np.exp(-(((column - own) / max(ALIKE * (white - own), 0.01)) ** 2))
        both.append(float(np.minimum.accumulate(alike).mean()))
    above = max(both[0], _catch_light(light, x, y, radius, own, white))
    # The columns end before the upper and lower edge of the disc; what is visible that far may be visible as a whole.
    whole = ramp(above, WHOLE)
    return radius * (above + whole), radius * min(1.0, both[1] / LOWEST)


def _catch_light(light: Picture, x: float, y: float, radius: float, own: float, white: float) -> float:
    """Return the height of the upper edge of a catch light, as a fraction of the radius; 0 without one.

    A catch light has the dark eye below and above it; bright skin of the lid has not.
    """
    heights = np.linspace(0, 1.2, 25)
    middle = radius * np.linspace(-0.35, 0.35, 8)[None]
    brightest = _read(light, x + middle, y - radius * heights[:, None]).max(1)
    top = int(brightest[:17].argmax())
    spot = brightest[top] - own
    dark = np.flatnonzero(brightest[top : top + 9] - own < 0.4 * spot)
    lit = spot > 0.5 * (white - own)
    return float(heights[top + dark[0]]) if lit and len(dark) else 0.0


def with_round_irises(image: Tensor, landmarks: Points, flow: Tensor) -> Tensor:
    """Return the field changed so that the eyes stay in place and the lids move over them.

    Args:
        image: (1, 3, S, S) RGB in [0, 1], the face before the edit.
        landmarks: (68, 2) crop pixels on that face.
        flow: (1, 2, S, S) backward field of the edit, crop pixels.
    """
    if not np.isfinite(landmarks).all():
        return flow
    field: Picture = flow[0].detach().cpu().numpy().copy()
    for eye in EYES:
        iris = find_iris(image[0], landmarks, eye)
        if iris.certainty > 0:
            _move_lids(field, iris, landmarks, eye)
    return torch.from_numpy(field)[None].to(flow)


def _move_lids(field: Picture, iris: Iris, landmarks: Points, eye: tuple[int, ...]) -> None:
    """Change the field (2, S, S) in place so that the lids of one eye move over its iris."""
    size = field.shape[-1]
    reach = FADE[1] * iris.radius
    left, top = (max(0, int(np.floor(at - reach))) for at in (iris.x, iris.y))
    right, bottom = (min(size, int(np.ceil(at + reach)) + 1) for at in (iris.x, iris.y))
    if left >= right or top >= bottom:
        return
    columns = np.arange(left, right, dtype=np.float64)
    # From the middle of the iris.
    aside = (columns - iris.x).astype(np.float32)
    above = (iris.y - np.arange(top, bottom, dtype=np.float64)).astype(np.float32)[:, None]
    distance = np.hypot(aside, above)
    angle = np.arctan2(above, np.abs(aside))
    weight = iris.certainty * smooth_step(
        np.clip((FADE[1] - distance / np.float32(iris.radius)) / (FADE[1] - FADE[0]), 0, 1)
    )
    lids = [_edge_of_lid(iris, landmarks, eye, sign) for sign in (1, -1)]
    near = iris.x + np.clip(columns - iris.x, -0.7 * iris.radius, 0.7 * iris.radius)
    for own, now, sign in zip(lids, _moved(field, lids), (1, -1), strict=True):
        # Height of the lid above the middle of the iris, in each column, before and after the edit.
        before, after = (
            (sign * (iris.y - np.interp(near, line[:, 0], line[:, 1]))).astype(np.float32)
            for line in (own, now)
        )
        cut, end = (np.arcsin(np.clip(each / np.maximum(distance, 1e-6), -1, 1)) for each in (before, after))
        start = np.where(cut > 0, STAYS * cut, cut - 0.5)
        drawn = start + (sign * angle - start) * (cut - start) / np.maximum(end - start, 1e-6)
        angle = np.where((end > cut) & (sign * angle > start), sign * np.minimum(drawn, cut), angle)
        # Beyond the edge of the lid its skin is seen.
        edge = (iris.y - np.interp(columns, now[:, 0], now[:, 1])).astype(np.float32)
        edge += sign * RIM * np.maximum(before - after, 0)
        weight = weight * np.clip(sign * (edge - above) + 0.5, 0, 1)
    part = field[:, top:bottom, left:right]
    held = np.where(aside < 0, np.float32(-1), np.float32(1)) * distance * np.cos(angle) - aside
    part[0] += weight * (held - part[0])
    held = above - distance * np.sin(angle)
    part[1] += weight * (held - part[1])


def _edge_of_lid(iris: Iris, landmarks: Points, eye: tuple[int, ...], sign: int) -> Points:
    """Return the edge of the upper (1) or the lower lid (-1), (N, 2) from left to right."""
    own = _lid_line(landmarks, eye, eye[1:3] if sign > 0 else eye[4:6])
    # The points of the upper lid may lie above its lashes, those of the lower lid inside the eye.
    height = float(np.interp(iris.x, own[:, 0], own[:, 1]))
    own[:, 1] += max(0.0, iris.y + (-iris.above if sign > 0 else iris.below) - height)
    # In a wide eye they lie farther inside, so a lid that does not touch the iris is farther away than they show.
    own[:, 1] -= sign * CLEARS * max(0.0, sign * (iris.y - height) - iris.radius)
    return own


def _lid_line(landmarks: Points, eye: tuple[int, ...], lid: tuple[int, ...]) -> Points:
    """Return the visible edge of a lid, (N, 2) from left to right, through the corners of the eye."""
    first, last = landmarks[eye[0]], landmarks[eye[3]]
    points = landmarks[sorted(lid, key=lambda point: landmarks[point, 0])].copy()
    line = np.concatenate([first[None], points, last[None]])
    ticks = np.linspace(line[0, 0], line[-1, 0], 25)
    # A smooth curve: the lid is round.
    at, along = (
        np.vander(2 * (x - ticks[0]) / max(ticks[-1] - ticks[0], 1e-6) - 1, 4) for x in (line[:, 0], ticks)
    )
    curve = np.linalg.lstsq(at, line[:, 1], rcond=None)[0]
    return np.stack([ticks, along @ curve], 1)


def _moved(field: Picture, lines: Sequence[Points]) -> list[Points]:
    """Return where a backward field (2, S, S) moves lines of points, (N, 2) each, from left to right."""
    start = np.concatenate(lines)
    place, planes, per_pixel = start.copy(), torch.from_numpy(field)[None], 2 / (field.shape[-1] - 1)
    for _ in range(STEPS_FORWARD):
        where = (place * per_pixel - 1).astype(np.float32)
        step = 0.7 * (start - _at(planes, where[None, None])[:, 0].T - place)
        place += step
        if np.abs(step).max() < FOUND:
            break
    ends = np.cumsum([len(line) for line in lines])[:-1]
    return [line[np.argsort(line[:, 0], kind="stable")] for line in np.split(place, ends)]


def _at(planes: Tensor, where: Picture) -> Picture:
    """Return planes (1, C, S, S) at many places (1, h, w, 2), in torch's coordinates, as (C, h, w)."""
    read = grid_sample(planes, torch.from_numpy(where), padding_mode="border", align_corners=True)
    values: Picture = read[0].numpy()
    return values


def _read(plane: Picture, x: Plane, y: Plane) -> Plane:
    """Return planes (..., H, W) at fractional positions, bilinear; outside them the border is repeated."""
    height, width = plane.shape[-2:]
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, top = np.minimum(x.astype(np.int64), width - 2), np.minimum(y.astype(np.int64), height - 2)
    right, low = x - left, y - top
    # One index into rows laid end to end takes half as long as two.
    rows = plane.reshape(*plane.shape[:-2], -1)
    corner = top * width + left
    upper = rows[..., corner] * (1 - right) + rows[..., corner + 1] * right
    lower = rows[..., corner + width] * (1 - right) + rows[..., corner + width + 1] * right
    result: Plane = upper * (1 - low) + lower * low
    return result
