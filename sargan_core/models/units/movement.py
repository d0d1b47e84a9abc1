"""One face's change of code as a change of its picture: movement, folds, what is seen between the lips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sargan_core.faces.carry import Seen, carry, settled
from sargan_core.faces.eyes import EYES, between_lids, eye_openings
from sargan_core.faces.face import EditedCrops
from sargan_core.faces.motion import motion_field, sound, with_seen_lids
from sargan_core.faces.mouth import inside_mouth
from sargan_core.faces.warp import sample
from sargan_core.models.aipgan.parts import Shading
from sargan_core.models.units.displacement import moved_surface, placed_vertices
from sargan_core.models.units.face_model import Array, FaceModel
from sargan_core.models.units.fit import Fit
from sargan_core.units import CODE_NAMES

# How much further or less far than the model's the lids of a face may have to go until they meet.
LID_REACH = (0.5, 2.0)
LID_UNITS = ("lid_close", "lid_wide", "squint")
# Sides of the picture in the order of ``EYES``, as the subject's.
SIDES = ("R", "L")


@dataclass(frozen=True, eq=False)
class Appearance:
    """What skin looks like when it moves, in a frame of its own: the frontal mean face.

    Attributes:
        shading: log luminance change by movement.
        places: (V, 2) where each vertex lies in the frame, as fractions of its side.
        scale: (2,) fractions of the side per decimetre, y down.
    """

    shading: Shading
    places: Array
    scale: Array


@dataclass(frozen=True, eq=False)
class Head:
    """What all faces share.

    Attributes:
        model: the face model.
        skin: (T,) bool, see ``skin_triangles``.
        appearance: see there.
    """

    model: FaceModel
    skin: np.ndarray
    appearance: Appearance


def move(head: Head, image: Tensor, landmarks: Array, fit: Fit, change: Array, mouth: Seen) -> EditedCrops:
    """Return a crop with the code of its face changed.

    Args:
        head: what all faces share.
        image: (1, 3, S, S).
        landmarks: (68, 2) crop pixels, as found.
        fit: of the face model to them.
        change: (U,) wanted change of the code.
        mouth: whose mouth is seen inside if this face's own does not show enough.
    """
    model, size = head.model, image.shape[-1]
    own = settled(landmarks, size)
    # Lids are moved from where their edges are seen: skin, not eyeball, has to come along.
    before = placed_vertices(model, fit, with_seen_lids(sound(own)), size)
    moved = np.tensordot(change * _lid_gains(model, fit, own), model.offsets, 1)
    shift = moved @ fit.pose.matrix.T
    after = before + shift
    goal = sound(own + shift[model.landmarks])
    depth = fit.pose.depth(model.shape(fit.identity, fit.code) + moved)
    frame = moved[:, :2] * head.appearance.scale
    surface = moved_surface(model, head.skin, head.appearance.places + frame, before, after, depth, size)
    holes = inside_mouth(goal, size)
    for eye in EYES:
        holes = torch.maximum(holes, between_lids(with_seen_lids(goal), eye, size))
    share = torch.from_numpy(surface.share).to(image)[None, None] * (1 - holes.to(image)[None])
    flow = torch.lerp(
        motion_field(sound(own), goal, size).to(image), torch.from_numpy(surface.flow).to(image)[None], share
    )
    carried = carry(Seen(image, own), goal, mouth, flow)
    factor = _shaded(head.appearance, frame[model.landmarks], surface.place, image)
    edited = carried.image * torch.lerp(torch.ones_like(factor), factor, share)
    return EditedCrops(edited, carried.flow, carried.keep)


def _shaded(appearance: Appearance, motion: Array, place: np.ndarray, image: Tensor) -> Tensor:
    """Return the factor on the light of each pixel, (1, 1, S, S)."""
    side = int(appearance.shading.get_buffer("pictures").shape[-1]) * 2
    factor = appearance.shading(motion * side, side).to(image)
    where = torch.from_numpy(place).to(image)[None] * side - 0.5
    return sample(factor, where)


def _lid_gains(model: FaceModel, fit: Fit, landmarks: Array) -> Array:
    """Return the factor (U,) on each unit: lids of large eyes have further to go."""
    gains = np.ones(len(CODE_NAMES))
    seen = fit.pose.project(model.shape(fit.identity, fit.code)[model.landmarks])
    found_openings = eye_openings(with_seen_lids(sound(landmarks)))
    for side, found, modelled in zip(SIDES, found_openings, eye_openings(seen), strict=True):
        gain = float(np.clip(found / max(modelled, 1e-6), *LID_REACH)) if found > 0 else 1.0
        for unit in LID_UNITS:
            gains[CODE_NAMES.index(f"{unit}_{side}")] = gain
    return gains
