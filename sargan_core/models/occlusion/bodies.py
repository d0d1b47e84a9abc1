"""Made hands, arms, other heads, locks of hair and tongues before faces."""

from __future__ import annotations

import numpy as np

from sargan_core.models.occlusion.scene import Layer, Random, Scene, lit, skin_like, solid
from sargan_core.models.occlusion.shapes import (
    any_colour,
    bumpy,
    cover,
    grid,
    polyline,
    rounded_box,
    superellipse,
    surface,
    turned,
)


def hand(random: Random, scene: Scene) -> list[Layer]:
    """Return fingers, with a hand or without, that come from below, a side, or above."""
    u, size = scene.unit, scene.size
    tip = scene.place(random.uniform(-0.85, 0.85), random.uniform(-0.6, 1.75))
    if random.random() < 0.45:
        tip = scene.points[48:68].mean(0) + random.normal(0, 0.25, 2) * u
    angle = random.choice([-np.pi / 2, random.uniform(-np.pi, 0), random.uniform(-np.pi, np.pi)])
    angle = angle + random.normal(0, 0.3)
    count = int(random.choice([1, 2, 3, 4, 4]))
    skin = skin_like(random, scene)
    width = random.uniform(0.11, 0.19) * u
    way, side = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    spread = random.uniform(-0.02, 0.18)
    layers = []
    bases = []
    bend = random.normal(0, 0.16)
    nails = any_colour(random) if random.random() < 0.4 else None
    order = random.permutation(count) if random.random() < 0.3 else np.arange(count)
    for number in order:
        offset = number - (count - 1) / 2
        lean = angle + spread * offset
        own_way = np.array([np.cos(lean), np.sin(lean)])
        reach = random.uniform(0.75, 1.4) * u
        back = -0.25 * abs(offset) ** 1.5 * width * random.uniform(0.3, 2.2)
        end = tip + side * offset * 2.05 * width + way * back
        knuckles = [end - own_way * reach * share for share in (0, 0.28, 0.6, 1.0)]
        for joint, point in enumerate(knuckles):
            point += side * bend * reach * (joint / 3) ** 2
        path = np.stack(knuckles)
        radii = width * np.array([0.78, 0.92, 1.0, 1.08]) * random.uniform(0.9, 1.1)
        distance, aside = polyline(size, path, radii)
        x, y = grid(size)
        depth = ((end[0] - x) * own_way[0] + (end[1] - y) * own_way[1]) / reach
        light = lit(random, aside)
        for crease in (0.28, 0.6):
            light = light * (1 - random.uniform(0, 0.25) * np.exp(-(((depth - crease) / 0.02) ** 2)))
        colour = skin * light[..., None]
        if random.random() < 0.6:
            nail = superellipse(
                *turned(size, end + own_way * 0.15 * width, lean), (0.95 * width, 0.55 * width), 2.6
            )
            tone = (
                nails if nails is not None else np.clip(np.array([1.15, 1.0, 1.0]) * skin.mean((0, 1)), 0, 1)
            )
            painted = np.asarray(tone, np.float32) * (0.8 + 0.3 * light[..., None])
            colour = colour + cover(nail)[..., None] * (painted - colour)
            distance = np.minimum(distance, nail) if nails is not None else distance
        layers.append(solid(random, distance, np.clip(colour, 0, 1).astype(np.float32), 0.6))
        bases.append(path[-1])
    if random.random() < 0.75:
        middle = np.mean(bases, axis=0)
        half = (random.uniform(0.5, 1.0) * u, (0.55 + 1.1 * count) * width)
        along, across = turned(size, middle - way * half[0] * 0.7, angle + bend)
        palm = rounded_box(along, across, half, 0.6 * min(half))
        light = 1 + random.uniform(-0.25, 0.2) * np.clip(across / half[1], -1, 1)
        layers.insert(
            int(random.choice([0, len(layers)])),
            solid(random, palm, np.clip(skin * light[..., None], 0, 1).astype(np.float32), 0.6),
        )
    return layers


def limb(random: Random, scene: Scene) -> list[Layer]:
    """Return an arm, bare or in a sleeve, that crosses the crop beside the face or over its edge."""
    u, size = scene.unit, scene.size
    side = random.choice([-1, 1])
    if random.random() < 0.65:
        ends = [scene.place(side * random.uniform(0.35, 1.0), down) for down in (-2.2, 0.6, 3.0)]
    else:
        ends = [scene.place(right, random.uniform(0.9, 1.9)) for right in (-2.5, 0.0, 2.5)]
    width = random.uniform(0.16, 0.5) * u
    path = np.stack(ends) + random.normal(0, 0.12, (3, 2)) * u
    distance, aside = polyline(size, path, width * random.uniform(0.8, 1.2, 3))
    bare = random.random() < 0.6
    colour = skin_like(random, scene) if bare else surface(random, size, any_colour(random))
    colour = np.clip(colour * lit(random, aside)[..., None], 0, 1).astype(np.float32)
    return [solid(random, distance, colour, 0.6)]


def head(random: Random, scene: Scene) -> list[Layer]:
    """Return another's head from behind, or its crown with the forehead below, that comes in from below or a side."""
    u, size = scene.unit, scene.size
    half = np.array([random.uniform(0.6, 1.3), random.uniform(0.7, 1.4)]) * u
    if random.random() < 0.7:
        centre = scene.place(random.uniform(-1.1, 1.1), random.uniform(0.55, 1.6) + half[1] / u)
    else:
        away = random.uniform(0.3, 0.9) + half[0] / u
        centre = scene.place(random.choice([-1, 1]) * away, random.uniform(0, 1.5))
    angle = scene.tilt + random.normal(0, 0.3)
    along, across = turned(size, centre, angle)
    distance = superellipse(along, across, (half[0], half[1]), random.uniform(1.9, 2.6))
    distance = distance + random.uniform(0, 0.06) * u * bumpy(random, size, random.uniform(5, 16))
    tone = random.choice([0.03, 0.08, 0.2, 0.5]) * np.array(
        [1.0, random.uniform(0.6, 0.9), random.uniform(0.35, 0.8)]
    )
    # Hair runs from the crown outwards.
    turns = np.arctan2(along, across + half[1]) * random.uniform(8, 30)
    strands = 1 + random.uniform(0.05, 0.4) * np.sin(turns + 1.5 * bumpy(random, size, 10))
    gleam = 1 + random.uniform(0, 1.2) * np.exp(
        -(((across / half[1] + random.uniform(0.2, 0.7)) / 0.25) ** 2)
    )
    colour = surface(random, size, tone) * (strands * gleam)[..., None]
    if random.random() < 0.5:
        hairline = -random.uniform(0.1, 0.7) * half[1] + random.uniform(0, 0.4) * along**2 / u
        skin = skin_like(random, scene)
        colour = colour + cover(hairline - across, 3.0)[..., None] * (skin - colour)
    return [solid(random, distance.astype(np.float32), np.clip(colour, 0, 1).astype(np.float32), 0.6)]


def lock(random: Random, scene: Scene) -> list[Layer]:
    """Return a lock of hair that hangs across the face."""
    u, size = scene.unit, scene.size
    sign = random.choice([-1, 1])
    start = scene.place(sign * random.uniform(0.2, 1.1), -random.uniform(1.0, 1.6))
    end = scene.place(sign * random.uniform(-0.7, 0.9), random.uniform(0.2, 1.9))
    bow = scene.place(sign * random.uniform(0.0, 1.3), random.uniform(-0.8, 0.6))
    tone = random.choice([0.04, 0.12, 0.3, 0.6]) * np.array(
        [1.0, random.uniform(0.6, 0.85), random.uniform(0.35, 0.7)]
    )
    alpha, colour = np.zeros((size, size), np.float32), np.zeros((size, size, 3), np.float32)
    wide = random.uniform(0.01, 0.22) * u
    share = np.linspace(0, 1, 9)[:, None]
    for _ in range(int(random.integers(1, 9))):
        aside = random.normal(0, wide, (3, 2))
        path = (
            (1 - share) ** 2 * (start + aside[0])
            + 2 * share * (1 - share) * (bow + aside[1])
            + share**2 * (end + aside[2] * 1.5)
        )
        thick = max(0.35, random.uniform(0.006, 0.05) * u)
        distance, across = polyline(size, path, np.linspace(thick, thick * 0.5, 9))
        strand = cover(distance)
        shade = np.exp(random.normal(0, 0.3)) * lit(random, across)
        colour = colour + strand[..., None] * (np.clip(tone * shade[..., None], 0, 1) - colour)
        alpha = np.maximum(alpha, strand)
    return [Layer(colour.astype(np.float32), alpha, alpha, random.uniform(0, 0.3))]


def tongue(random: Random, scene: Scene) -> list[Layer]:
    """Return a tongue that hangs out of the mouth over the lower lip."""
    u, size = scene.unit, scene.size
    lips = scene.points[48:68]
    width = float(np.linalg.norm(scene.points[54] - scene.points[48]))
    top = scene.points[[61, 62, 63, 65, 66, 67]].mean(0) + np.array([random.normal(0, 0.08) * width, 0])
    way = scene.tilt + np.pi / 2 + random.normal(0, 0.25)
    length = random.uniform(0.25, 0.75) * u
    half = random.uniform(0.2, 0.38) * width
    path = np.stack([top + length * share * np.array([np.cos(way), np.sin(way)]) for share in (0, 0.5, 0.85)])
    distance, aside = polyline(
        size, path, half * np.array([1.0, random.uniform(0.85, 1.1), random.uniform(0.6, 0.9)])
    )
    # Nothing of it is seen above the upper lip.
    _, across = turned(size, lips[[13, 14, 15]].mean(0), scene.tilt)
    distance = np.maximum(distance, -across)
    tone = np.array([0.72, 0.38, 0.4]) * np.exp(random.normal(0, 0.25)) * np.exp(random.normal(0, 0.07, 3))
    level = float(scene.picture.mean()) / 0.5
    groove = 1 - random.uniform(0, 0.35) * np.exp(-((aside / 0.12) ** 2))
    grain = 1 + random.uniform(0, 0.12) * bumpy(random, size, size / 2)
    colour = (
        surface(random, size, np.clip(tone * level, 0, 1)) * (groove * grain * lit(random, aside))[..., None]
    )
    return [solid(random, distance.astype(np.float32), np.clip(colour, 0, 1).astype(np.float32), 0.6)]
