"""Made things that people wear before faces: glasses, caps, masks and scarves."""

from __future__ import annotations

import cv2
import numpy as np

from sargan_core.models.occlusion.scene import Layer, Random, Scene, solid
from sargan_core.models.occlusion.shapes import (
    any_colour,
    bumpy,
    cover,
    grid,
    polyline,
    superellipse,
    surface,
    turned,
)


def glasses(random: Random, scene: Scene) -> list[Layer]:
    """Return glasses: two rims, bridge and temples; lenses clear, tinted or dark."""
    u, size = scene.unit, scene.size
    half = (random.uniform(0.36, 0.52) * u, random.uniform(0.2, 0.42) * u)
    drop = random.uniform(-0.06, 0.16)
    apart = random.uniform(0.94, 1.12)
    tilt = scene.tilt + random.normal(0, 0.02)
    thick = max(0.8, random.uniform(0.02, 0.13) * u * random.choice([1, 0.6]))
    power = random.uniform(1.9, 5)
    rim_colour = surface(random, size, any_colour(random))
    shift = random.normal(0, 0.03)
    lenses, rims = None, None
    for sign in (-1, 1):
        centre = scene.place(sign * 0.5 * apart + shift, drop)
        along, across = turned(size, centre, tilt + sign * random.uniform(0, 0.06))
        across = across + 0.1 * random.uniform(-1, 1) * along * sign
        lens = superellipse(along, across, half, power)
        rim = np.abs(lens) - thick / 2
        if random.random() < 0.12:
            # Half-rimmed.
            rim = np.maximum(rim, across - 0.1 * half[1])
        lenses = lens if lenses is None else np.minimum(lenses, lens)
        rims = rim if rims is None else np.minimum(rims, rim)
    assert lenses is not None
    assert rims is not None
    inner = 0.5 * apart * u - half[0]
    height = random.uniform(-0.7, 0.15) * half[1]
    ends = [
        scene.place((sign * (inner + 0.3 * thick)) / u + shift, drop + height / u)
        for sign in (-1.0, 0.0, 1.0)
    ]
    ends[1] = ends[1] + np.array([0, -random.uniform(0, 0.09) * u])
    bridge, _ = polyline(size, np.stack(ends), np.full(3, max(0.45, thick * random.uniform(0.3, 0.7))))
    frame = np.minimum(rims, bridge)
    for sign in (-1, 1):
        hinge = scene.place(
            sign * (0.5 * apart + half[0] / u) + shift, drop - random.uniform(0, 0.6) * half[1] / u
        )
        ear = scene.place(sign * random.uniform(0.95, 1.6), random.uniform(-0.15, 0.2))
        temple, _ = polyline(
            size, np.stack([hinge, ear]), np.full(2, max(0.4, thick * random.uniform(0.3, 0.6)))
        )
        frame = np.minimum(frame, temple)
    layers = []
    dark = random.random()
    alpha = 0.0
    if dark > 0.5:
        alpha = random.uniform(0.05, 0.4) if dark < 0.7 else random.uniform(0.75, 1.0)
    inside = cover(lenses)
    tint = surface(random, size, any_colour(random) * (0.45 if random.random() < 0.75 else 1.0))
    x, y = grid(size)
    fade = np.clip((y - lenses.shape[0] * 0.2) / (size * 0.3), 0, 1) if random.random() < 0.3 else 0.0
    opacity = np.clip(alpha * (1 - 0.4 * fade), 0, 1)
    shown = (alpha > 0.6) * inside
    if alpha:
        layers.append(Layer(tint, (inside * opacity).astype(np.float32), shown.astype(np.float32)))
    if random.random() < 0.45:
        # What is mirrored in the lenses stays where it is.
        streak = np.sin(
            (x + y * random.uniform(-1, 1)) * 2 * np.pi / random.uniform(8, 50) + random.uniform(0, 6)
        )
        gleam = np.clip(streak * 2 - random.uniform(0.6, 1.6), 0, 1) * random.uniform(0.1, 0.8) * inside
        gleam = cv2.GaussianBlur(gleam.astype(np.float32), (0, 0), random.uniform(0.3, 2))
        light = np.clip(np.full(3, random.uniform(0.5, 1)) * random.uniform(0.85, 1, 3), 0, 1)
        layers.append(
            Layer(np.broadcast_to(light.astype(np.float32), (size, size, 3)), gleam, shown.astype(np.float32))
        )
    see_through = 1.0 if random.random() < 0.85 else random.uniform(0.45, 0.8)
    layer = solid(random, frame, rim_colour, 0.5)
    layers.append(Layer(layer.colour, layer.alpha * see_through, layer.label, layer.shadow))
    if random.random() < 0.4:
        shine = cover(np.abs(frame + random.uniform(0.2, 0.5) * thick) - 0.2 * thick) * random.uniform(
            0.1, 0.6
        )
        spots = np.clip(bumpy(random, size, 8), 0, 1) * shine * layer.alpha
        layers.append(
            Layer(np.ones((size, size, 3), np.float32), spots.astype(np.float32), np.zeros_like(shine))
        )
    return layers


def cap(random: Random, scene: Scene) -> list[Layer]:
    """Return the brim of a hat or a scarf: everything above a curve."""
    u, size = scene.unit, scene.size
    along, across = turned(size, scene.place(random.normal(0, 0.2), 0), scene.tilt + random.normal(0, 0.12))
    # Over the brows, or just above them, or across the forehead.
    height = -u * random.uniform(0.12, 0.85)
    curve = height + random.uniform(-0.12, 0.16) * along**2 / u
    distance = across - curve
    colour = surface(random, size, any_colour(random))
    band = np.clip(-distance / (random.uniform(0.1, 0.5) * u), 0, 1)
    other = surface(random, size, any_colour(random))
    if random.random() < 0.5:
        colour = colour + cover(0.5 - band, 0.1)[..., None] * (other - colour)
    return [solid(random, distance.astype(np.float32), colour, 0.7)]


def cloth(random: Random, scene: Scene) -> list[Layer]:
    """Return a mask or a scarf before nose and mouth, or a cup or book from below."""
    u, size = scene.unit, scene.size
    along, across = turned(size, scene.place(random.normal(0, 0.1), 0), scene.tilt + random.normal(0, 0.08))
    height = u * random.uniform(0.35, 1.15)
    curve = height + random.uniform(-0.05, 0.3) * along**2 / u
    distance = curve - across
    if random.random() < 0.5:
        distance = np.maximum(distance, np.abs(along) - random.uniform(0.5, 1.1) * u)
    if random.random() < 0.4:
        distance = np.maximum(distance, across - height - random.uniform(0.5, 1.2) * u)
    tone = np.array([0.6, 0.8, 0.9]) if random.random() < 0.2 else any_colour(random)
    folds = 1 + random.uniform(0, 0.2) * np.sin(across * 2 * np.pi / (random.uniform(0.1, 0.4) * u))
    colour = surface(random, size, tone) * folds[..., None]
    return [solid(random, distance.astype(np.float32), np.clip(colour, 0, 1).astype(np.float32))]
