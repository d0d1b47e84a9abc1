"""A small linear face model: a mean head, identity modes, and a displacement for each face unit.

``shape(a, c) = mean + sum a_i modes_i + sum c_u offsets_u``; x to the subject's left, y up, z to the viewer, lengths in
decimetres. The projection is orthographic: ``picture(v) = scale * (R v)_xy + shift`` with y pointing down.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """Pose of a head in a picture.

    Attributes:
        rotation: (3, 3) of the head relative to the camera.
        scale: pixels per decimetre.
        shift: (2,) pixels, the model's origin in the picture.
    """

    rotation: Array
    scale: float
    shift: Array

    @property
    def matrix(self) -> Array:
        """Return the (2, 3) matrix from model to picture, without the shift."""
        return self.scale * self.rotation[:2] * np.array([[1.0], [-1.0]])

    def project(self, points: Array) -> Array:
        """Return (..., 3) model points in picture pixels, (..., 2)."""
        return np.asarray(points @ self.matrix.T + self.shift)

    def depth(self, points: Array) -> Array:
        """Return the depth (...) of model points (..., 3) in pixels, larger = nearer to the viewer."""
        return np.asarray(self.scale * points @ self.rotation[2])


@dataclass(frozen=True)
class FaceModel:
    """The model's arrays; V vertices, K identity modes, U units.

    Attributes:
        mean: (V, 3).
        modes: (K, V, 3), in standard deviations.
        offsets: (U, V, 3), displacement at weight 1.
        triangles: (T, 3) vertex numbers, counter-clockwise seen from outside.
        landmarks: (68,) vertex numbers, iBUG order.
        habits: (H, 68, 3) offsets of annotated landmarks from those of the model: their mean, then their principal
            components in standard deviations, which the modes do not hold; H may be 0.
    """

    mean: Array
    modes: Array
    offsets: Array
    triangles: npt.NDArray[np.int64]
    landmarks: npt.NDArray[np.int64]
    habits: Array = field(default_factory=lambda: np.zeros((0, 68, 3)))

    def shape(self, identity: Array, code: Array) -> Array:
        """Return the vertices (V, 3) of a person (K,) with an expression (U,)."""
        return np.asarray(
            self.mean + np.tensordot(identity, self.modes, 1) + np.tensordot(code, self.offsets, 1)
        )

    def normals(self, vertices: Array) -> Array:
        """Return the unit normals (V, 3) at vertices (V, 3)."""
        corners = vertices[self.triangles]
        faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        sums = np.stack(
            [
                np.bincount(self.triangles.ravel(), np.repeat(faces[:, axis], 3), len(vertices))
                for axis in range(3)
            ],
            1,
        )
        return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12))

    @cached_property
    def points(self) -> tuple[Array, Array, Array]:
        """Mean, modes and offsets of the landmarks alone: (68, 3), (K + H - 1, 68, 3), (U, 68, 3).

        The mean includes that of the landmark offsets, and their components are further modes.
        """
        rows = self.landmarks
        mean = self.mean[rows] + self.habits[:1].sum(0)
        return mean, np.concatenate([self.modes[:, rows], self.habits[1:]]), self.offsets[:, rows]


def rotation_of(yaw: float, pitch: float, roll: float) -> Array:
    """Return the (3, 3) rotation of a head, in degrees.

    Args:
        yaw: > 0: the nose points to the left in the picture.
        pitch: > 0: the face looks down.
        roll: > 0: the face is turned clockwise in the picture.
    """
    a, b, c = np.radians([-yaw, pitch, -roll])
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(about_z @ about_x @ about_y)
