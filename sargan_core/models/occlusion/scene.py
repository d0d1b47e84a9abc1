"""A face, and layers that are drawn in front of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from sargan_core.models.occlusion.shapes import (
    Colours,
    Plane,
    Points,
    cover,
    surface,
)

Random = np.random.Generator


@dataclass(frozen=True)
class Scene:
    """The picture that objects are drawn on.

    Attributes:
        picture: (S, S, 3) float32 in [0, 1].
        points: (68, 2) pixels.
    """

    picture: Colours
    points: Points

    @property
    def size(self) -> int:
        """Side of the canvas."""
        return self.picture.shape[0]

    @property
    def unit(self) -> float:
        """Distance between the eyes in pixels."""
        return float(np.linalg.norm(self.points[42:48].mean(0) - self.points[36:42].mean(0)))

    @property
    def tilt(self) -> float:
        """Angle of the line through the eyes."""
        way = self.points[42:48].mean(0) - self.points[36:42].mean(0)
        return float(np.arctan2(way[1], way[0]))

    def place(self, right: float, down: float) -> Points:
        """Return a place in eye distances from the middle between the eyes, in the face's own directions."""
        middle = self.points[36:48].mean(0)
        cosine, sine = np.cos(self.tilt), np.sin(self.tilt)
        return np.asarray(
            middle + self.unit * np.array([right * cosine - down * sine, right * sine + down * cosine])
        )


@dataclass(frozen=True)
class Layer:
    """An object in front of the face.

    Attributes:
        colour: (S, S, 3) float32 in [0, 1].
        alpha: (S, S) opacity in [0, 1].
        label: (S, S) the mask to be learned, in [0, 1].
        shadow: darkness of its shadow in [0, 1].
    """

    colour: Colours
    alpha: Plane
    label: Plane
    shadow: float = 0.0


Maker = Callable[[Random, Scene], list[Layer]]


def solid(random: Random, distance: Plane, colour: Colours, shadow: float = 0.5) -> Layer:
    """Return an opaque object with a soft edge and, more often than not, a shadow."""
    alpha = cover(distance, random.uniform(0.8, 2.2))
    return Layer(colour, alpha, cover(distance), random.uniform(0, shadow) if random.random() < 0.6 else 0.0)


def skin_like(random: Random, scene: Scene) -> Colours:
    """Return skin like that of the face, in other light: of the face itself, or made of its cheeks' colour."""
    size = scene.size
    cheek = (
        (scene.points[41] + scene.points[48]) / 2 if random.random() < 0.5 else scene.points[[46, 54]].mean(0)
    )
    x, y = np.clip(np.round(cheek).astype(int), 3, size - 4)
    tone = np.median(scene.picture[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3), axis=0)
    if random.random() < 0.12:
        tone = np.array([0.85, 0.62, 0.5]) * random.uniform(0.2, 1.1)
    light = np.exp(random.normal(0, 0.22)) * np.exp(random.normal(0, 0.05, 3))
    made = surface(random, size, tone * light)
    if random.random() < 0.4:
        turn = cv2.getRotationMatrix2D((float(x), float(y)), random.uniform(0, 360), random.uniform(0.7, 1.6))
        turn[:, 2] += random.normal(0, 0.2 * scene.unit, 2)
        moved = cv2.warpAffine(
            scene.picture, turn, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        )
        # Grain and blemishes of the face, not its features.
        fine = moved - cv2.GaussianBlur(moved, (0, 0), 2.0)
        made = made + np.clip(fine, -0.06, 0.06)
    return np.clip(made, 0, 1).astype(np.float32)


def lit(random: Random, aside: Plane) -> Plane:
    """Return the shading of a cylinder, (S, S); ``aside`` is -1..1 from edge to edge."""
    towards = random.uniform(-0.5, 0.5)
    round_ = np.sqrt(np.clip(1 - (np.clip(aside - towards * 0.4, -1, 1)) ** 2, 0, 1))
    depth = random.uniform(0.15, 0.75)
    return (1 - depth + depth * round_).astype(np.float32)
