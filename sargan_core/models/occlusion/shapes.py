"""Soft shapes and made surfaces on a small canvas: what the objects before faces are drawn with.

A shape is a plane of signed distances to its edge in pixels, negative inside; ``cover`` makes it a soft mask. Points
are (x, y), pixel centres at integers.
"""

from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.floating[Any]]
Colours = npt.NDArray[np.floating[Any]]
Points = npt.NDArray[np.float64]


def cover(distance: Plane, softness: float = 1.0) -> Plane:
    """Return the share of each pixel that lies inside of a shape whose edge is some pixels soft."""
    return np.clip(0.5 - distance / softness, 0, 1).astype(np.float32)


def grid(size: int) -> tuple[Plane, Plane]:
    """Return the columns and rows of a canvas, (S, S) each."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    return x, y


def turned(size: int, centre: npt.ArrayLike, angle: float) -> tuple[Plane, Plane]:
    """Return how far each pixel lies along and across a direction from a centre."""
    x, y = grid(size)
    x0, y0 = np.asarray(centre, dtype=np.float64)
    cosine, sine = np.cos(angle), np.sin(angle)
    along = (x - x0) * cosine + (y - y0) * sine
    across = (y - y0) * cosine - (x - x0) * sine
    return along.astype(np.float32), across.astype(np.float32)


def rounded_box(along: Plane, across: Plane, half: tuple[float, float], radius: float) -> Plane:
    """Return a box of half-lengths ``half`` with round corners."""
    radius = min(radius, *half)
    outer = [
        np.maximum(np.abs(part) - side + radius, 0) for part, side in zip((along, across), half, strict=True)
    ]
    inner = np.maximum(np.abs(along) - half[0] + radius, np.abs(across) - half[1] + radius)
    return (np.hypot(*outer) + np.minimum(inner, 0) - radius).astype(np.float32)


def superellipse(along: Plane, across: Plane, half: tuple[float, float], power: float) -> Plane:
    """Return about the distance to a superellipse: 2 = an ellipse, more = squarer."""
    a, b = np.abs(along) / half[0], np.abs(across) / half[1]
    reach = (a**power + b**power) ** (1 / power)
    scale = np.hypot(along, across) / np.maximum(reach, 1e-3)
    return ((reach - 1) * np.maximum(scale, min(half) * 0.5)).astype(np.float32)


def polyline(size: int, points: Points, radii: npt.ArrayLike) -> tuple[Plane, Plane]:
    """Return a thick line through points, and how far across of its middle each pixel lies, -1..1 at its edges.

    Args:
        size: side of the canvas.
        points: (N, 2) from its beginning to its end.
        radii: (N,) half its width at each.
    """
    x, y = grid(size)
    best = np.full((size, size), np.inf, np.float32)
    aside = np.zeros((size, size), np.float32)
    widths = np.asarray(radii, dtype=np.float64)
    for (start, end), (first, last) in zip(
        itertools.pairwise(points), itertools.pairwise(widths), strict=True
    ):
        way = end - start
        length = max(float(np.hypot(*way)), 1e-6)
        share = np.clip(((x - start[0]) * way[0] + (y - start[1]) * way[1]) / length**2, 0, 1)
        dx, dy = x - start[0] - share * way[0], y - start[1] - share * way[1]
        radius = first + share * (last - first)
        distance = np.hypot(dx, dy) - radius
        nearer = distance < best
        best = np.where(nearer, distance, best)
        side = (dy * way[0] - dx * way[1]) / length / np.maximum(radius, 1e-6)
        aside = np.where(nearer, side, aside)
    return best.astype(np.float32), aside.astype(np.float32)


def polygon(size: int, points: Points) -> Plane:
    """Return a filled polygon."""
    canvas = np.zeros((size * 2, size * 2), np.uint8)
    cv2.fillPoly(canvas, [np.round(((points + 0.5) * 2 - 0.5) * 16).astype(np.int32)], 255, shift=4)
    inside = cv2.distanceTransform(canvas, cv2.DIST_L2, 3)
    outside = cv2.distanceTransform(255 - canvas, cv2.DIST_L2, 3)
    both = cv2.resize(outside - inside, (size, size), interpolation=cv2.INTER_AREA) / 2
    return np.asarray(both, dtype=np.float32)


def bumpy(random: np.random.Generator, size: int, cells: float) -> Plane:
    """Return noise of mean 0 and deviation 1 with so many bumps across the canvas."""
    side = max(2, round(cells))
    coarse = random.standard_normal((side, side)).astype(np.float32)
    plane = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray((plane - plane.mean()) / max(float(plane.std()), 1e-3), dtype=np.float32)


def surface(random: np.random.Generator, size: int, colour: npt.ArrayLike) -> Colours:
    """Return a surface of some colour: lit from a side, bumpy, grainy, now and then patterned, (S, S, 3)."""
    x, y = grid(size)
    angle = random.uniform(0, 2 * np.pi)
    slope = random.uniform(-0.5, 0.5) * ((x * np.cos(angle) + y * np.sin(angle)) / size)
    light = 1 + slope + random.uniform(0, 0.15) * bumpy(random, size, random.uniform(2, 9))
    light = light + random.uniform(0, 0.06) * bumpy(random, size, size / random.uniform(1, 3))
    if random.random() < 0.2:
        along = x * np.cos(2 * angle) + y * np.sin(2 * angle)
        waves = np.sin(along * 2 * np.pi / random.uniform(4, 30) + random.uniform(0, 6))
        light = light * (1 + random.uniform(0.1, 0.6) * np.tanh(waves * random.uniform(1, 6)))
    return np.asarray(np.clip(light[..., None] * np.asarray(colour, np.float32), 0, 1), dtype=np.float32)


def any_colour(random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return a colour: black, white, grey, or a more or less saturated one."""
    kind = random.random()
    if kind < 0.2:
        return np.full(3, random.uniform(0.01, 0.15))
    if kind < 0.32:
        return np.full(3, random.uniform(0.75, 1.0)) * random.uniform(0.93, 1.0, 3)
    if kind < 0.42:
        return np.full(3, random.uniform(0.2, 0.7))
    hue, strength, value = random.uniform(0, 6), random.uniform(0.15, 1) ** 1.3, random.uniform(0.08, 1)
    wheel = np.clip(np.abs((hue + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return np.asarray(value * (1 - strength + strength * wheel))
