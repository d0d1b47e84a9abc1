"""A pixel model whose expressions are brought from what people posed to what strangers name.

Photos of actors and rendered heads teach how skin moves and shades, but not every unit that an expression is known by
(``models/units/prototypes.py``). The missing change of the code moves the mean face of the units model; the fitted
displacement, gains and offsets go with it.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from sargan_core.expressions import LABELS, Expression
from sargan_core.faces.mouth import inside_mouth, lips_region
from sargan_core.faces.warp import positions, sample, spline_field
from sargan_core.models.pixel.file import TENSORS
from sargan_core.models.pixel.model import PixelModel, coarse
from sargan_core.models.units.displacement import moved_surface, placed_vertices
from sargan_core.models.units.face_model import Array
from sargan_core.models.units.fit import Expected, Fit, explained_code, fit_face
from sargan_core.models.units.model import UnitsModel
from sargan_core.models.units.movement import LIPS_SHINE, SOFT, relief_change, shaded
from sargan_core.models.units.network import code_bounds
from sargan_core.models.units.prototypes import PROTOTYPES, prototype_code
from sargan_core.units import CODE_NAMES

# How far from what was posed the code may be that the model's landmarks show (standard deviation).
LEEWAY = 0.5
# How much of the change of light is shown. The stretched lips of fear would cast the shade of a moustache.
SHADE: dict[Expression, float] = {Expression.FEARFUL: 0.6}


def with_prototypes(model: PixelModel, units: UnitsModel) -> PixelModel:
    """Return a displaced pixel model whose expressions are those of ``PROTOTYPES``.

    Args:
        model: fitted to photos of people who posed them.
        units: whose face model moves the mean face, and whose shading goes with the movement.
    """
    tensors = {name: model.get_buffer(name).clone() for name in TENSORS["displaced"]}
    for row, name in enumerate(model.settings.expressions):
        expression = Expression(name)
        if expression in PROTOTYPES:
            shown = shown_code(model, units, expression)
            change = prototype_code(expression, shown) - shown
            for key, value in _changed(model, units, row, shown, change, SHADE.get(expression, 1.0)).items():
                tensors[key][row] = value
    return PixelModel(model.settings, model.template, tensors)


def shown_code(model: PixelModel, units: UnitsModel, expression: Expression) -> Array:
    """Return the code (U,) that explains where a model puts the landmarks for an expression."""
    shape = _shape(model)
    goal = model.goal(expression)
    low, high = (bound.double().numpy() for bound in code_bounds())
    posed = units.knowledge.posed[LABELS.index(expression)]
    expected = Expected(posed.clip(low, high), np.full(len(CODE_NAMES), LEEWAY), low, high)
    return explained_code(units.head.model, _neutral(units, shape), shape, goal, expected)


def _shape(model: PixelModel) -> Array:
    """Return the landmarks of the mean face, (68, 2) crop pixels."""
    return np.asarray(model.template.shape, dtype=np.float64) * model.template.size - 0.5


def _neutral(units: UnitsModel, shape: Array) -> Fit:
    """Return the fit of the face model to the mean face at rest."""
    none = np.zeros(len(CODE_NAMES))
    return fit_face(units.head.model, shape, Expected(none, none, none, none))


def _changed(
    pixel: PixelModel, units: UnitsModel, row: int, shown: Array, change: Array, shade: float
) -> dict[str, Tensor]:
    """Return the tensors of one expression after a change (U,) of the code ``shown`` (U,)."""
    head, size = units.head, pixel.template.size
    model = head.model
    before_goal = pixel.goal(Expression(pixel.settings.expressions[row]))
    fit = replace(_neutral(units, _shape(pixel)), code=shown)
    still = model.shape(fit.identity, shown)
    before = placed_vertices(model, fit, still, before_goal, size)
    moved = np.tensordot(change, model.offsets, 1)
    shift = moved @ fit.pose.matrix.T
    goal = before_goal + shift[model.landmarks]
    frame = moved[:, :2] * head.appearance.scale
    relief = relief_change(model, still, moved, fit.pose.rotation)
    carried = np.concatenate([head.appearance.places + frame, relief[:, None]], 1)
    surface = moved_surface(
        model, head.skin, carried, before, before + shift, fit.pose.depth(still + moved), size
    )
    skin = torch.from_numpy(surface.share)[None, None] * (1 - inside_mouth(goal, size).float()[None])
    # Between the lips and beside the head no skin is seen: there the landmarks lead.
    led = torch.from_numpy(spline_field(goal, before_goal - goal, size, smoothing=0.3)).float()[None]
    flow = torch.lerp(led, torch.from_numpy(surface.flow)[None], skin)
    where = positions(flow)

    def carried_along(name: str) -> Tensor:
        return sample(pixel.get_buffer(name)[row : row + 1], where)

    factor = shaded(
        head.appearance, frame[model.landmarks], surface.carried[:2], torch.zeros(1, 3, size, size)
    )
    relief_seen = torch.from_numpy(cv2.GaussianBlur(surface.carried[2] * surface.share, (0, 0), SOFT * size))
    dull = 1 - LIPS_SHINE * lips_region(goal, size).float()[None]
    factor = factor * (dull * relief_seen[None, None]).exp()
    factor = torch.lerp(torch.ones_like(factor), factor, shade * skin)
    return {
        "flow": coarse(flow + carried_along("dense_flow"))[0],
        "weight": (carried_along("weight") * factor)[0],
        "bias": carried_along("bias")[0],
        "inside": carried_along("inside")[0],
        "goals": torch.from_numpy((goal + 0.5) / size).float(),
    }
