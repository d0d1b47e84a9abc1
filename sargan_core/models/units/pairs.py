"""The code of a photo of an expression, by comparison with the neutral photo of the same person."""

from __future__ import annotations

import numpy as np

from sargan_core.models.units.face_model import Array, FaceModel, Pose
from sargan_core.models.units.fit import TRUST, Expected, bounded_ridge, eye_distance, fit_face, fit_pose
from sargan_core.units import LARGEST, LOWEST

# Finding error of a motion, as a share of the distance between the eyes.
NOISE = 0.015
# How far a code may lie from the nearest one that was posed: units that the expression has, and all others.
SPREAD, SPREAD_OTHERS = 0.3, 0.06
TURNS = 4
# Amplitudes at which posed codes are compared.
AMPLITUDES = (0.4, 0.7, 1.0, 1.3)
# Points that may have moved with the camera only: the jaw's ends, the bridge of the nose, the corners of the eyes.
STEADY = np.array([0, 1, 2, 14, 15, 16, 27, 28, 29, 30, 33, 36, 39, 42, 45])


def fitted_code(model: FaceModel, before: Array, after: Array, posed: Array) -> Array:
    """Return the code (U,) of a face.

    Args:
        model: the face model.
        before: (68, 2) landmarks of the person's neutral photo.
        after: (68, 2) landmarks of the photo with an expression, found the same way.
        posed: (N, U) codes that people posed for the same expression.
    """
    units = len(model.offsets)
    nothing = Expected(np.zeros(units), np.zeros(units), np.zeros(units), np.zeros(units))
    rest = fit_face(model, before, nothing)
    mean, modes, offsets = model.points
    person = mean + np.tensordot(rest.identity, modes[: len(rest.identity)], 1)
    # What the model misses of this person moves with the head.
    missing = (before - rest.pose.project(person)) @ np.linalg.pinv(rest.pose.matrix).T
    person = person + missing
    weights = TRUST / (NOISE * eye_distance(before)) ** 2
    steady = np.zeros(68)
    steady[STEADY] = 1.0
    pose = fit_pose(person, after, steady)
    motion = after - pose.project(person)
    candidates = np.concatenate([amplitude * posed for amplitude in AMPLITUDES])
    shown = np.einsum("nu,ulk->nlk", candidates, offsets @ pose.matrix.T)
    error = (((shown - motion) ** 2).sum(2) * weights).sum(1)
    spread = np.where(posed.any(0), SPREAD, SPREAD_OTHERS)
    expected = Expected(candidates[int(error.argmin())], spread, np.array(LOWEST), np.array(LARGEST) * 1.2)
    code = np.clip(expected.code, expected.low, expected.high)
    for _ in range(TURNS):
        pose = fit_pose(person + np.tensordot(code, offsets, 1), after, weights)
        code = _solve(pose, after - pose.project(person), offsets, weights, expected, code)
    return code


def _solve(
    pose: Pose, motion: Array, offsets: Array, weights: Array, expected: Expected, start: Array
) -> Array:
    columns = (offsets @ pose.matrix.T).reshape(len(offsets), -1).T
    return bounded_ridge(columns, motion.ravel(), np.repeat(weights, 2), expected, start)
