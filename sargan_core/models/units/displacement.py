"""Displacement field of a picture when the vertices of the face model move, with hidden surfaces removed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sargan_core.faces.warp import thin_plate_operator
from sargan_core.models.units.face_model import Array, FaceModel, Pose, rotation_of
from sargan_core.models.units.fit import Fit
from sargan_core.units import CODE_NAMES

# Smoothing of the spline that moves the vertices onto the landmarks; see ``spline_field``.
SMOOTHING = 1.0
# Width over which the movement fades out at the outline of the head, as a fraction of the crop's side.
FADE = 0.05
# Standard deviation of the blur of the movement, as a fraction of the crop's side.
SMOOTHED = 0.006


@dataclass(frozen=True)
class Surface:
    """A moved face as a crop sees it, S x S pixels.

    Attributes:
        flow: (2, S, S) float32 crop pixels: the content at ``p`` comes from ``p + flow(p)``.
        carried: (K, S, S) float32, further values of the vertices, interpolated.
        share: (S, S) float32 in [0, 1]: 1 on visible skin, fading out at the outline of the head.
    """

    flow: npt.NDArray[np.float32]
    carried: npt.NDArray[np.float32]
    share: npt.NDArray[np.float32]


def placed_vertices(model: FaceModel, fit: Fit, shape: Array, landmarks: Array, size: int) -> Array:
    """Return all vertices in the crop, (V, 2) pixels, moved so that the landmark vertices lie on the landmarks.

    ``shape`` (V, 3) is that of the fit.
    """
    seen = fit.pose.project(shape)
    points = seen[model.landmarks]
    operator = thin_plate_operator(points, seen, SMOOTHING * (size / 256) ** 2)
    return np.asarray(seen + operator @ (landmarks - points))


def moved_surface(
    model: FaceModel,
    skin: npt.NDArray[np.bool_],
    carried: Array,
    before: Array,
    after: Array,
    depth: Array,
    size: int,
) -> Surface:
    """Return the visible surface of a face whose vertices have moved.

    Args:
        model: the face model.
        skin: (T,) which triangles are skin, see ``skin_triangles``.
        carried: (V, K) values to interpolate.
        before: (V, 2) crop pixels.
        after: (V, 2) crop pixels.
        depth: (V,) after the movement, larger = nearer.
        size: side S of the crop.
    """
    triangles = model.triangles
    number = _seen_triangles(triangles, after, depth, size)
    rows, columns = np.nonzero(number >= 0)
    corners = triangles[number[rows, columns]]
    weights = _barycentric(after[corners], np.stack([columns, rows], 1).astype(np.float64))
    values = np.concatenate([before - after, carried], 1)
    mixed = np.einsum("nk,nkc->nc", weights, values[corners])
    field = np.zeros((values.shape[1], size, size), np.float32)
    field[:, rows, columns] = mixed.T
    seen = np.zeros((size, size), np.float32)
    seen[rows, columns] = skin[number[rows, columns]]
    field = _smoothed(field, seen)
    head = (number >= 0).astype(np.uint8)
    distance = cv2.distanceTransform(np.pad(head, 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    # The crop's own border is not an outline of the head.
    ramp = np.clip(distance / (FADE * size), 0, 1)
    share = ramp * ramp * (3 - 2 * ramp)
    share[number < 0] = 0
    return Surface(field[:2], field[2:], (share * seen).astype(np.float32))


def _smoothed(field: npt.NDArray[np.float32], seen: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return fields (C, S, S) with their steps smoothed, such as at the wings of the nose, where skin covers skin."""
    sigma = SMOOTHED * field.shape[-1]
    weight = cv2.GaussianBlur(seen, (0, 0), sigma)
    blurred = [cv2.GaussianBlur(plane * seen, (0, 0), sigma) / np.maximum(weight, 1e-3) for plane in field]
    return np.stack(blurred).astype(np.float32) * (seen > 0) + field * (seen == 0)


def skin_triangles(model: FaceModel) -> npt.NDArray[np.bool_]:
    """Return which triangles (T,) are skin, and not part of the eye sockets or of the inside of the mouth.

    Skin are all triangles that are visible from some direction while eyes and lips are closed.
    """
    code = np.array([1.02 if name.startswith("lid_close") else 0.0 for name in CODE_NAMES])
    vertices = model.shape(np.zeros(len(model.modes)), code)
    found = np.zeros(len(model.triangles), bool)
    side = 700
    for yaw in (-50, -25, 0, 25, 50):
        for pitch in (-25, 0, 25):
            pose = Pose(rotation_of(yaw, pitch, 0), side / 2.6, np.full(2, side / 2))
            number = _seen_triangles(model.triangles, pose.project(vertices), pose.depth(vertices), side)
            found[np.unique(number[number >= 0])] = True
    return found


def _seen_triangles(
    triangles: npt.NDArray[np.int64], points: Array, depth: Array, size: int
) -> npt.NDArray[np.int32]:
    """Return the number of the triangle visible at each pixel, (S, S) int32, -1 = none; drawn from far to near."""
    corners = points[triangles]
    one, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    # y points down, so triangles that face the viewer are clockwise.
    facing = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0] < 0
    near = (corners.max(1) > -1).all(1) & (corners.min(1) < size).all(1)
    drawn = np.flatnonzero(facing & near)
    drawn = drawn[np.argsort(depth[triangles[drawn]].mean(1), kind="stable")]
    canvas = np.full((size, size), -1, np.int32)
    outlines = np.round(corners[drawn] * 16).astype(np.int32)
    for outline, number in zip(outlines, drawn.tolist(), strict=True):
        cv2.fillConvexPoly(canvas, outline, number, shift=4)
    return canvas


def _barycentric(corners: Array, points: Array) -> Array:
    """Return the barycentric weights (N, 3) of points (N, 2) in triangles (N, 3, 2), clipped to [0, 1]."""
    one, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    inner = points - corners[:, 0]
    area = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    area = np.where(np.abs(area) < 1e-9, 1e-9, area)
    second = (inner[:, 0] * other[:, 1] - inner[:, 1] * other[:, 0]) / area
    third = (one[:, 0] * inner[:, 1] - one[:, 1] * inner[:, 0]) / area
    weights = np.stack([1 - second - third, second, third], 1).clip(0, 1)
    return np.asarray(weights / np.maximum(weights.sum(1, keepdims=True), 1e-9))
