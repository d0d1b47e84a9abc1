"""From a trained encoder to the whole model: appearance, resting noise, posed codes."""

from __future__ import annotations

import numpy as np

from sargan_core.expressions import LABELS, Expression
from sargan_core.faces.face import Template
from sargan_core.faces.warp import thin_plate_operator
from sargan_core.models.aipgan.parts import Shading
from sargan_core.models.units.displacement import skin_triangles
from sargan_core.models.units.face_model import Array, FaceModel
from sargan_core.models.units.model import Knowledge, UnitsModel
from sargan_core.models.units.movement import Appearance, Head
from sargan_core.models.units.network import UnitEncoder

# How closely the mean head is laid onto the frame of the appearance; its points lie where a mean face's do.
SMOOTHING = 1e-4


def assembled(
    encoder: UnitEncoder,
    face: FaceModel,
    knowledge: Knowledge,
    shading: Shading,
    template: Template,
) -> UnitsModel:
    """Return the model.

    Args:
        encoder: trained.
        face: the face model.
        knowledge: numbers that were measured with the encoder.
        shading: light change by movement, in the frame of ``template``.
        template: a ``spline`` template.
    """
    appearance = fitted_appearance(face, shading, template)
    head = Head(face, skin_triangles(face), appearance)
    return UnitsModel(encoder.eval(), head, knowledge)


def fitted_appearance(face: FaceModel, shading: Shading, template: Template) -> Appearance:
    """Return the appearance with the place of every vertex of the mean head in its frame."""
    shape = np.asarray(template.shape, dtype=np.float64)
    flat = face.mean[:, :2] * [1, -1]
    points = flat[face.landmarks]
    known = np.concatenate([points, np.ones((68, 1))], 1)
    affine = np.linalg.lstsq(known, shape, rcond=None)[0]
    every = np.concatenate([flat, np.ones((len(flat), 1))], 1) @ affine
    operator = thin_plate_operator(every[face.landmarks], every, SMOOTHING)
    places = every + operator @ (shape - every[face.landmarks])
    return Appearance(shading, places, np.array([affine[0, 0], -affine[1, 1]]))


def posed_codes(codes: dict[Expression, Array]) -> Array:
    """Return the mean code (7, U) of each expression out of codes (N, U) by expression."""
    units = next(iter(codes.values())).shape[1]
    return np.stack([codes[label].mean(0) if label in codes else np.zeros(units) for label in LABELS])
