"""Made things before faces: bars and letters, microphones, and what has any shape."""

from __future__ import annotations

import cv2
import numpy as np

from sargan_core.models.occlusion.scene import Layer, Random, Scene, lit, skin_like, solid
from sargan_core.models.occlusion.shapes import (
    any_colour,
    cover,
    grid,
    polygon,
    polyline,
    rounded_box,
    superellipse,
    surface,
    turned,
)


def bar(random: Random, scene: Scene) -> list[Layer]:
    """Return a stick, a line, a bar with letters, or the rim of a box."""
    u, size = scene.unit, scene.size
    centre = scene.place(random.uniform(-0.9, 0.9), random.uniform(-0.8, 1.9))
    angle = random.choice([0.0, np.pi / 2, random.uniform(0, np.pi)]) + random.normal(0, 0.02)
    half = (random.uniform(0.3, 4) * u, random.uniform(0.02, 0.28) * u)
    along, across = turned(size, centre, angle)
    distance = rounded_box(along, across, half, random.uniform(0, 0.1) * u)
    if random.random() < 0.3:
        half = (random.uniform(0.5, 2) * u, random.uniform(0.4, 1.5) * u)
        if random.random() < 0.6:
            # A frame that was drawn around a face touches its edge.
            centre = scene.place(random.normal(0, 0.25), random.normal(0.55, 0.25))
            along, across = turned(size, centre, random.normal(0, 0.1))
            half = (random.uniform(0.75, 1.5) * u, random.uniform(0.8, 1.7) * u)
        distance = np.abs(rounded_box(along, across, half, 0)) - random.uniform(0.01, 0.04) * u
    colour = surface(random, size, any_colour(random))
    if random.random() < 0.5:
        colour = colour * lit(random, np.clip(across / half[1], -1, 1))[..., None]
    if random.random() < 0.25:
        letters = np.zeros((size, size), np.uint8)
        text = "".join(random.choice(list("ABCDEFGHKLMNOPRSTUaekmnorstx 0123456789"), 9))
        spot = (int(centre[0] - 0.8 * u), int(centre[1] + 0.05 * u))
        cv2.putText(letters, text, spot, int(random.integers(0, 4)), 0.012 * u, 255, 1, cv2.LINE_AA)
        ink = any_colour(random).astype(np.float32)
        if random.random() < 0.5:
            share = (letters / 255.0 * cover(distance))[..., None]
            colour = colour + share.astype(np.float32) * (ink - colour)
        else:
            alpha = (letters / 255.0).astype(np.float32)
            around = cv2.dilate(alpha, np.ones((3, 3), np.uint8))
            return [Layer(np.broadcast_to(ink, (size, size, 3)), alpha, (around > 0.3).astype(np.float32))]
    return [solid(random, distance, np.clip(colour, 0, 1).astype(np.float32))]


def microphone(random: Random, scene: Scene) -> list[Layer]:
    """Return a round or long head on a stick."""
    u, size = scene.unit, scene.size
    head = scene.points[48:68].mean(0) + np.array([random.normal(0, 0.35), random.normal(0.3, 0.35)]) * u
    angle = np.pi / 2 + random.normal(0, 0.6)
    half = (random.uniform(0.2, 0.5) * u, random.uniform(0.16, 0.36) * u)
    along, across = turned(size, head, angle)
    knob = superellipse(along, across, half, random.uniform(2, 3))
    x, y = grid(size)
    mesh = 1 + random.uniform(0, 0.4) * np.sin((x + y) * 2 * np.pi / random.uniform(2, 5)) * np.sin(
        (x - y) * 2 * np.pi / random.uniform(2, 5)
    )
    tone = any_colour(random) if random.random() < 0.3 else np.full(3, random.uniform(0.02, 0.6))
    colour = surface(random, size, tone) * (mesh * lit(random, across / half[1]))[..., None]
    end = head + 3 * u * np.array([np.cos(angle), np.sin(angle)])
    stick, aside = polyline(size, np.stack([head, end]), np.array([0.6, 0.4]) * half[1])
    rod = surface(random, size, any_colour(random)) * lit(random, aside)[..., None]
    return [
        solid(random, stick, np.clip(rod, 0, 1).astype(np.float32)),
        solid(random, knob, np.clip(colour, 0, 1).astype(np.float32)),
    ]


def thing(random: Random, scene: Scene) -> list[Layer]:
    """Return something of any shape: round, square, or with a wavy edge."""
    u, size = scene.unit, scene.size
    centre = scene.place(random.uniform(-1.1, 1.1), random.uniform(-1, 2.1))
    reach = random.uniform(0.15, 0.9) * u
    kind = random.random()
    if kind < 0.35:
        along, across = turned(size, centre, random.uniform(0, np.pi))
        distance = superellipse(
            along, across, (reach, reach * random.uniform(0.4, 1)), random.uniform(1.6, 5)
        )
    else:
        turns = np.linspace(0, 2 * np.pi, 25)[:-1]
        waves = sum(
            random.normal(0, 0.35 / k) * np.cos(k * turns + random.uniform(0, 6)) for k in range(1, 6)
        )
        radius = reach * np.clip(1 + waves, 0.25, 2)
        outline = centre + np.stack([np.cos(turns), np.sin(turns)], 1) * radius[:, None]
        distance = polygon(size, outline if kind < 0.8 else outline[:: int(random.integers(4, 7))])
    skin = random.random() < 0.25
    colour = skin_like(random, scene) if skin else surface(random, size, any_colour(random))
    return [solid(random, distance, colour)]
