"""Made objects before faces: hands, arms, heads, glasses, microphones, bars, caps, masks, locks of hair, tongues.

None of them is cut out of a photo but for skin, which hands take from the face that they are laid over. They need not
look real: the network is to learn what is a face, and that everything before one is not.
"""

from __future__ import annotations

import cv2
import numpy as np

from sargan_core.models.occlusion.bodies import hand, head, limb, lock, tongue
from sargan_core.models.occlusion.scene import Maker, Random, Scene
from sargan_core.models.occlusion.shapes import (
    Colours,
    Plane,
    any_colour,
    bumpy,
    cover,
    polygon,
    turned,
)
from sargan_core.models.occlusion.things import bar, microphone, thing
from sargan_core.models.occlusion.worn import cap, cloth, glasses

# How often each is drawn.
MAKERS: tuple[tuple[Maker, float], ...] = (
    (hand, 0.27),
    (glasses, 0.3),
    (bar, 0.12),
    (microphone, 0.06),
    (thing, 0.09),
    (cap, 0.08),
    (cloth, 0.05),
    (lock, 0.07),
    (tongue, 0.06),
    (head, 0.07),
    (limb, 0.06),
)


def with_objects(random: Random, scene: Scene) -> tuple[Colours, Plane]:
    """Return the picture with one or two objects before the face, and where they are, (S, S)."""
    chances = np.array([chance for _, chance in MAKERS])
    picture, label = scene.picture.copy(), np.zeros((scene.size, scene.size), np.float32)
    for _ in range(1 if random.random() < 0.8 else 2):
        maker = MAKERS[int(random.choice(len(MAKERS), p=chances / chances.sum()))][0]
        blur = random.uniform(0.3, 1.2) if random.random() < 0.3 else 0.0
        for layer in maker(random, scene):
            alpha = layer.alpha
            if layer.shadow:
                picture = picture * (1 - layer.shadow * _shadow(random, scene, alpha))[..., None]
            if blur:
                alpha = cv2.GaussianBlur(alpha, (0, 0), blur)
            picture = picture + alpha[..., None] * (layer.colour - picture)
            label = np.maximum(label, layer.label)
    return picture.astype(np.float32), label


def _shadow(random: Random, scene: Scene, alpha: Plane) -> Plane:
    reach = 0.12 * scene.unit
    shift = np.array([[1, 0, random.normal(0, reach)], [0, 1, abs(random.normal(0, reach))]])
    moved = cv2.warpAffine(alpha, shift, (scene.size, scene.size))
    return np.asarray(
        cv2.GaussianBlur(moved, (0, 0), random.uniform(0.5, 0.6 * reach + 0.6)), dtype=np.float32
    )


def with_distractors(random: Random, scene: Scene) -> Colours:
    """Return the picture with what is no object: shadows, painted lips, the dark of a beard, gleams."""
    picture, size, u = scene.picture, scene.size, scene.unit
    if random.random() < 0.25:
        along, across = turned(size, scene.place(*random.normal(0, 0.7, 2)), random.uniform(0, 2 * np.pi))
        curve = across + random.uniform(-0.4, 0.4) * along**2 / u
        shade = cover(curve.astype(np.float32), random.uniform(0.7, 12)) * random.uniform(0.2, 0.75)
        picture = picture * (1 - shade * np.array([0.9, 1.0, 1.05]).reshape(3, 1, 1)).transpose(1, 2, 0)
    if random.random() < 0.12:
        lips = np.clip(
            cover(polygon(size, scene.points[48:60])) - cover(polygon(size, scene.points[60:68])), 0, 1
        )
        paint = any_colour(random) * np.array([1.0, 0.5, 0.5])
        soft = cv2.GaussianBlur(lips, (0, 0), 0.7)[..., None] * random.uniform(0.2, 0.8)
        picture = picture + soft * (paint * picture.mean() * 2 - picture)
    if random.random() < 0.2:
        hair = any_colour(random) * 0.2 if random.random() < 0.7 else np.full(3, random.uniform(0.3, 0.9))
        picture = picture + _beard(random, scene)[..., None] * (hair - picture)
    if random.random() < 0.15:
        gleam = np.clip(bumpy(random, size, random.uniform(4, 12)) - 1, 0, 1) * random.uniform(0, 0.4)
        picture = picture + gleam[..., None] * (1 - picture)
    return np.clip(picture, 0, 1).astype(np.float32)


def _beard(random: Random, scene: Scene) -> Plane:
    """Return how much hair covers the skin round the mouth: stubble, a beard, a moustache."""
    size, u, points = scene.size, scene.unit, scene.points
    jaw = points[2:15] + np.array([0, 0.05 * u])
    whole = cover(polygon(size, np.concatenate([jaw, points[[14, 54, 33, 48, 2]]])), 4.0)
    above = (points[[54, 35, 33, 31, 48]] + points[[54, 52, 51, 50, 48]]) / 2
    below = points[48:55] + np.array([0, 0.03 * u])
    moustache = cover(polygon(size, np.concatenate([below, above])), 3.0)
    part = moustache if random.random() < 0.4 else np.maximum(whole, moustache)
    lips = cover(polygon(size, points[48:60]), 2.0)
    part = part * (1 - lips * random.uniform(0.2, 1.0))
    hairs = np.clip(
        0.8 + random.uniform(0.05, 0.35) * bumpy(random, size, size / random.uniform(1, 2.5)), 0, 1
    )
    return np.asarray(part * hairs * random.uniform(0.15, 0.95), dtype=np.float32)
