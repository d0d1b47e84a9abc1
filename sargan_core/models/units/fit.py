"""Fit of the face model to 68 landmarks: pose, person and code in turns, each in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sargan_core.models.units.face_model import Array, FaceModel, Pose

# How far a landmark is from where the model can have it, as a share of the distance between the eyes: finding error,
# and what 24 modes do not hold.
NOISE = 0.05
# How much each landmark counts: the jaw slides along the outline of a turned head, and brows are found where their
# hairs are, not where the skin's points are; those of lids miss eyes that shut.
TRUST = np.concatenate(
    [np.full(17, 0.1), np.full(10, 0.5), np.full(9, 1.0), np.full(12, 0.8), np.full(20, 1.5)]
)
# Turns of pose and shape, and sweeps over the units in each; further ones move nothing that can be seen.
TURNS = 5
SWEEPS = 12


@dataclass(frozen=True)
class Expected:
    """What is known of a code before landmarks are looked at; (U,) each.

    Attributes:
        code: the expected values.
        spread: how far from them the code may be (standard deviation); 0 = not at all.
        low: smallest values.
        high: largest values.
    """

    code: Array
    spread: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class Fit:
    """A face explained by the model.

    Attributes:
        pose: of the head.
        identity: (K,) of the person.
        code: (U,) of the expression.
        error: root mean square distance of the landmarks from the model's, as a share of the distance of the eyes.
    """

    pose: Pose
    identity: Array
    code: Array
    error: float


def eye_distance(landmarks: Array) -> float:
    """Return the distance between the centres of the eyes in pixels of (68, 2) landmarks."""
    return max(float(np.linalg.norm(landmarks[36:42].mean(0) - landmarks[42:48].mean(0))), 1e-6)


def fit_face(model: FaceModel, landmarks: Array, expected: Expected) -> Fit:
    """Return pose, person and code of a face with (68, 2) landmarks in picture pixels."""
    mean, modes, offsets = model.points
    weights = TRUST / (NOISE * eye_distance(landmarks)) ** 2
    identity = np.zeros(len(modes))
    code = np.clip(expected.code, expected.low, expected.high)
    for _ in range(TURNS):
        shape = mean + np.tensordot(identity, modes, 1) + np.tensordot(code, offsets, 1)
        pose = fit_pose(shape, landmarks, weights)
        missing = landmarks - pose.project(mean + np.tensordot(code, offsets, 1))
        identity = _ridge(_columns(modes, pose), missing.ravel(), np.repeat(weights, 2))
        if expected.spread.any():
            missing = landmarks - pose.project(mean + np.tensordot(identity, modes, 1))
            code = bounded_ridge(
                _columns(offsets, pose), missing.ravel(), np.repeat(weights, 2), expected, code
            )
    shape = mean + np.tensordot(identity, modes, 1) + np.tensordot(code, offsets, 1)
    pose = fit_pose(shape, landmarks, weights)
    missed = ((pose.project(shape) - landmarks) ** 2).sum(1)
    error = float(np.sqrt(np.average(missed, weights=TRUST))) / eye_distance(landmarks)
    return Fit(pose, identity[: len(model.modes)], code, error)


def explained_code(model: FaceModel, fit: Fit, before: Array, after: Array, expected: Expected) -> Array:
    """Return the code (U,) that moves the (68, 2) landmarks of a fitted face at rest, ``before``, to ``after``."""
    weights = np.repeat(TRUST / (NOISE * eye_distance(before)) ** 2, 2)
    columns = _columns(model.points[2], fit.pose)
    return bounded_ridge(columns, (after - before).ravel(), weights, expected, expected.code)


def fit_pose(points: Array, landmarks: Array, weights: Array) -> Pose:
    """Return the pose under which (N, 3) model points come closest to (N, 2) pixels, least squares with weights (N,).

    The best affine map, then the scaled rotation that is nearest to it.
    """
    weights = weights / weights.sum()
    centre, middle = weights @ points, weights @ landmarks
    across = (points - centre) * weights[:, None]
    affine = np.linalg.solve(
        across.T @ (points - centre) + 1e-9 * np.eye(3), across.T @ (landmarks - middle)
    ).T
    affine[1] *= -1
    left, scales, right = np.linalg.svd(affine, full_matrices=False)
    rows = left @ right
    rotation = np.stack([rows[0], rows[1], np.cross(rows[0], rows[1])])
    pose = Pose(rotation, float(scales.mean()), np.zeros(2))
    return Pose(rotation, pose.scale, middle - pose.project(centre))


def bounded_ridge(columns: Array, wanted: Array, weights: Array, expected: Expected, start: Array) -> Array:
    """Return the code within bounds that explains displacements best, not far from what is expected.

    Args:
        columns: (N, U) what each unit does.
        wanted: (N,) what is to be explained.
        weights: (N,).
        expected: expected values, spread, bounds.
        start: (U,) a first guess, within bounds.
    """
    free = np.flatnonzero(expected.spread > 0)
    code = start.copy()
    weighted = (columns * weights[:, None]).T
    precision = 1 / np.maximum(expected.spread, 1e-6) ** 2
    system = weighted @ columns + np.diag(precision)
    # What is still to be explained, kept up to date: most units lie at a bound and do not move in most sweeps.
    gap = (weighted @ wanted + precision * expected.code - system @ code)[free]
    pulls = system[np.ix_(free, free)]
    values, low, high = (each[free].tolist() for each in (code, expected.low, expected.high))
    largest = pulls.diagonal().tolist()
    for _ in range(SWEEPS):
        for unit, value in enumerate(values):
            new = min(max(value + gap.item(unit) / largest[unit], low[unit]), high[unit])
            if new != value:
                gap -= (new - value) * pulls[unit]
                values[unit] = new
    code[free] = values
    return code


def _columns(ways: Array, pose: Pose) -> Array:
    """Return what each of (W, N, 3) ways of moving points does in the picture, (2 N, W)."""
    return np.asarray((ways @ pose.matrix.T).reshape(len(ways), -1).T)


def _ridge(columns: Array, wanted: Array, weights: Array) -> Array:
    """Return the coefficients that explain (N,) displacements, with a standard normal prior."""
    scaled = columns * weights[:, None]
    return np.asarray(np.linalg.solve(scaled.T @ columns + np.eye(columns.shape[1]), scaled.T @ wanted))
