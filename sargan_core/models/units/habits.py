"""What landmarks of photographs have beside those of the face model: where hands set them, and how people vary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sargan_core.models.units.face_model import Array, FaceModel
from sargan_core.models.units.fit import Expected, fit_face
from sargan_core.units import CODE_NAMES

# Ways that are kept.
WAYS = 12


def landmark_habits(model: FaceModel, faces: Sequence[Array]) -> Array:
    """Return the habits (1 + WAYS, 68, 3) of a face model, from landmarks (68, 2) of neutral faces, seen frontally.

    What a fit without any expression leaves over is laid back into the frame of the model; its mean, and the ways in
    which it varies most, are what an expression must not be read from. Depth cannot be seen and stays 0.
    """
    nothing = np.zeros(len(CODE_NAMES))
    still = Expected(nothing, nothing, nothing, nothing)
    left = np.zeros((len(faces), 68, 3))
    mean, modes, _ = model.points
    for row, landmarks in enumerate(faces):
        fit = fit_face(model, landmarks, still)
        person = mean + np.tensordot(fit.identity, modes[: len(fit.identity)], 1)
        left[row] = (landmarks - fit.pose.project(person)) @ np.linalg.pinv(fit.pose.matrix).T
    left[..., 2] = 0
    average = left.mean(0)
    _, sizes, ways = np.linalg.svd((left - average).reshape(len(left), -1), full_matrices=False)
    scaled = ways[:WAYS] * (sizes[:WAYS, None] / np.sqrt(len(left)))
    return np.concatenate([average[None], scaled.reshape(-1, 68, 3)])
