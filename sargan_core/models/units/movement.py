"""Turn a change of code into a change of the picture: moved skin, shading and folds, closing eyelids."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from sargan_core.faces.blur import gaussian_blur
from sargan_core.faces.eyes import EYES, between_lids, eye_openings
from sargan_core.faces.face import EditedCrops
from sargan_core.faces.folds import with_folds
from sargan_core.faces.irises import with_round_irises
from sargan_core.faces.masks import face_mask
from sargan_core.faces.motion import Seen, carry, motion_field, settled, sound, with_seen_lids
from sargan_core.faces.mouth import inside_mouth, lips_region
from sargan_core.faces.warp import positions, sample
from sargan_core.models.aipgan.parts import Shading
from sargan_core.models.units.displacement import moved_surface, placed_vertices
from sargan_core.models.units.face_model import Array, FaceModel
from sargan_core.models.units.fit import Fit
from sargan_core.units import CODE_NAMES

# Bounds of the factor between the lid movement that closes a face's eye and the one that closes the model's.
LID_REACH = (0.5, 2.5)
# Least fraction of the way to closed that an eye is assumed to have left, even if its code says it is almost closed.
LEAST_LEFT = 0.4
# Code from which an eye counts as closed; and by how much, as a fraction of its opening, an eye that is not closed may
# open when its own code is removed.
SHUT = 0.7
WIDER = 0.12
# Opening after the edit, as a fraction of that before: below the first an eye closes, above the second it stays open.
CLOSES = (0.45, 0.8)
# Where the skin of the lids begins: 0 = at their landmarks, 1 = at the visible edge of the opening.
OUTSIDE = 1.0
# Direction of the assumed light (seen from the face: in front and above), the fraction of ambient light, and bounds of
# the change of the log luminance.
LIGHT = np.array([0.0, 0.447, 0.894])
AMBIENT = 0.45
RELIEF = (-0.3, 0.08)
# Fraction of that change that is applied: skin is soft, and the learned shading holds a part of it.
RELIEF_SHARE = 0.65
# Standard deviation of its blur, as a fraction of the crop's side.
SOFT = 0.012
# By how much it is reduced on the lips, which are wet and round.
LIPS_SHINE = 0.7
# Colour of a closed lid: standard deviation of the blur of the skin around the eye, as a fraction of the crop's side,
# and a factor on its luminance.
LID_COLOUR = 0.02
LID_SHADE = 0.95
# Weight of the lid's colour over the lashes.
LASHES = 0.65
# The subject's sides, in the order of ``EYES``.
SIDES = ("R", "L")


@dataclass(frozen=True, eq=False)
class Appearance:
    """How skin changes its look when it moves, in the frame of the frontal mean face.

    Attributes:
        shading: log luminance change by movement.
        places: (V, 2) position of each vertex in the frame, as fractions of its side.
        scale: (2,) fractions of the side per decimetre, y down.
    """

    shading: Shading
    places: Array
    scale: Array


@dataclass(frozen=True, eq=False)
class Head:
    """The parts of the model that are the same for all faces.

    Attributes:
        model: the face model.
        skin: (T,) bool, see ``skin_triangles``.
        appearance: how skin changes its look.
    """

    model: FaceModel
    skin: np.ndarray
    appearance: Appearance


def move(head: Head, image: Tensor, landmarks: Array, fit: Fit, change: Array) -> EditedCrops:
    """Return a crop with the code of its face changed.

    Args:
        head: face model and appearance.
        image: (1, 3, S, S).
        landmarks: (68, 2) crop pixels.
        fit: of the face model to them.
        change: (U,) change of the code.
    """
    model, size = head.model, image.shape[-1]
    own = settled(landmarks, size)
    # Lids are moved from their visible edges, so that skin moves and not the eyeball.
    shape = model.shape(fit.identity, fit.code)
    before = placed_vertices(model, fit, shape, edges_of_lids(own), size)
    gains = _lid_gains(model, fit, shape[model.landmarks], own, change)
    moved = np.tensordot(change * gains, model.offsets, 1)
    shift = moved @ fit.pose.matrix.T
    after = before + shift
    goal = sound(own + shift[model.landmarks])
    depth = fit.pose.depth(shape + moved)
    frame = moved[:, :2] * head.appearance.scale
    relief = relief_change(model, shape, moved, fit.pose.rotation)
    carried_along = np.concatenate([head.appearance.places + frame, relief[:, None]], 1)
    surface = moved_surface(model, head.skin, carried_along, before, after, depth, size)
    holes = inside_mouth(goal, size)
    for eye in EYES:
        holes = torch.maximum(holes, between_lids(with_seen_lids(goal), eye, size))
    share = torch.from_numpy(surface.share).to(image)[None, None] * (1 - holes.to(image)[None])
    flow = torch.lerp(
        motion_field(sound(own), goal, size).to(image), torch.from_numpy(surface.flow).to(image)[None], share
    )
    flow = torch.lerp(flow, with_round_irises(image, own, flow), _staying_open(own, goal, image))
    carried = carry(Seen(image, own), goal, None, flow)
    picture, hidden = _lids_drawn(image, own, flow, share)
    factor = shaded(head.appearance, frame[model.landmarks], surface.carried[:2], image)
    skin = 1 - LIPS_SHINE * lips_region(goal, size).to(image)[None]
    relief_seen = cv2.GaussianBlur(surface.carried[2] * surface.share, (0, 0), SOFT * size)
    factor = factor * (skin * torch.from_numpy(relief_seen).to(image)[None, None]).exp()
    edited = torch.lerp(carried.image, picture, hidden) * torch.lerp(torch.ones_like(factor), factor, share)
    edited = with_folds(edited, carried.image, flow, goal, share * face_mask(goal, size).to(image)[None])
    lips = torch.from_numpy(goal[48:68]).to(image)[None]
    if carried.borrowed == 0:
        lips = torch.full_like(lips, torch.nan)
    return EditedCrops(
        edited, carried.flow, carried.keep * (1 - hidden), lips, image.new_tensor([carried.borrowed])
    )


def _staying_open(own: Array, goal: Array, image: Tensor) -> Tensor:
    """Return 1 on the side of an eye that stays open, 0 on that of one that closes, (1, 1, S, S)."""
    size = image.shape[-1]
    sides = torch.zeros(1, 1, size, size, device=image.device, dtype=image.dtype)
    middle = int(np.clip(own[27:31, 0].mean(), 0, size))
    for side, before, after in zip(
        (slice(None, middle), slice(middle, None)), eye_openings(own), eye_openings(goal), strict=True
    ):
        ratio = after / max(before, 1e-6)
        sides[..., side] = float(np.clip((ratio - CLOSES[0]) / (CLOSES[1] - CLOSES[0]), 0, 1))
    return sides


def _lids_drawn(image: Tensor, own: Array, flow: Tensor, skin: Tensor) -> tuple[Tensor, Tensor]:
    """Return a picture for lid skin that the photo does not show, and where it is needed, (1, 1, S, S).

    A closing lid needs skin where the eyeball was; it gets the colour around the eye.
    """
    size = image.shape[-1]
    eyes = torch.zeros(1, size, size, dtype=torch.float64)
    for eye in EYES:
        eyes = torch.maximum(eyes, between_lids(sound(own), eye, size))
        # Lashes would be stretched into streaks: a part of them is left as a shadow.
        eyes = torch.maximum(eyes, LASHES * between_lids(with_seen_lids(sound(own)), eye, size))
    seen = eyes.to(image)[None]
    sigma = LID_COLOUR * size
    window = 2 * int(3 * sigma) + 1
    around = gaussian_blur(image * (1 - seen), window, sigma)
    weight = gaussian_blur(1 - seen, window, sigma).clamp_min(1e-3)
    where = positions(flow)
    hidden = sample(seen, where) * skin
    return sample(torch.lerp(image, LID_SHADE * around / weight, seen), where), hidden


def relief_change(model: FaceModel, shape: Array, moved: Array, rotation: Array) -> Array:
    """Return the change of the log luminance of each vertex (V,) because its normal turns to or from the light.

    Args:
        model: the face model.
        shape: (V, 3) before.
        moved: (V, 3) displacement of each vertex.
        rotation: of the head.
    """

    def light(vertices: Array) -> Array:
        faced = (model.normals(vertices) @ rotation.T @ LIGHT).clip(0)
        return np.asarray(np.log(AMBIENT + (1 - AMBIENT) * faced))

    return np.asarray((RELIEF_SHARE * (light(shape + moved) - light(shape))).clip(*RELIEF))


def shaded(appearance: Appearance, motion: Array, place: np.ndarray, image: Tensor) -> Tensor:
    """Return the factor on the luminance of each pixel, (1, 1, S, S)."""
    side = int(appearance.shading.get_buffer("pictures").shape[-1]) * 2
    factor = appearance.shading(motion * side, side).to(image)
    where = torch.from_numpy(place).to(image)[None] * side - 0.5
    return sample(factor, where)


def _lid_gains(model: FaceModel, fit: Fit, shape: Array, landmarks: Array, change: Array) -> Array:
    """Return the factor (U,) on each unit: lids of large eyes move further, and lids that meet move no further.

    ``shape`` (68, 3) is where the fit has the ``landmarks`` (68, 2).
    """
    gains = np.ones(len(CODE_NAMES))
    seen = fit.pose.project(shape)
    found_openings = eye_openings(edges_of_lids(landmarks))
    for eye, (side, found, modelled) in enumerate(
        zip(SIDES, found_openings, eye_openings(seen), strict=True)
    ):
        shut = CODE_NAMES.index(f"lid_close_{side}")
        closed = seen + (model.offsets[shut, model.landmarks] @ fit.pose.matrix.T)
        closing = max(modelled - eye_openings(closed)[eye], 1e-6)
        left = max(1 - fit.code[shut], LEAST_LEFT)
        # A code of 1 closes the eye, however far its own code says it is closed already.
        whole = min(1.0, left / change[shut]) if change[shut] > 0 else 1.0
        gains[shut] = whole * np.clip(found / (closing * left), *LID_REACH)
        if change[shut] < 0 and fit.code[shut] < SHUT:
            # Drooping lids and narrow eyes look alike, so eyes that look open may open only a little further.
            gains[shut] = min(gains[shut], WIDER * found / (closing * -change[shut]))
        for unit in ("lid_wide", "squint"):
            gains[CODE_NAMES.index(f"{unit}_{side}")] = np.clip(found / max(modelled, 1e-6), *LID_REACH)
    return gains


def edges_of_lids(landmarks: Array) -> Array:
    """Return the landmarks with those of the lids moved onto their skin, just outside the visible opening."""
    points = sound(landmarks)
    return points + OUTSIDE * (with_seen_lids(points) - points)
