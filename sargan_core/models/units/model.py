"""Expressions as codes of face units, from a reference photo or by name, applied by moving a 3-D face model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sargan_core.errors import NoFaceError
from sargan_core.expressions import LABELS, ExpressionMix
from sargan_core.faces.face import EditedCrops, FaceCrops, Template
from sargan_core.faces.landmarks import MIRRORED
from sargan_core.faces.motion import settled
from sargan_core.models.base import ExpressionModel, Reference, Target
from sargan_core.models.units.face_model import Array
from sargan_core.models.units.fit import Expected, Fit, fit_face
from sargan_core.models.units.movement import Head, move
from sargan_core.models.units.network import CROP_POINTS, SIZE, UnitEncoder, code_bounds
from sargan_core.models.units.prototypes import alike, completed, prototype_code
from sargan_core.units import CODE_NAMES, MIRRORED_CODE, MIRRORED_SIGN, UnitMix

# Alignment of the crop: it contains the encoder's view, and room for a dropped jaw.
TEMPLATE = Template(288, "similarity", (0.37, 0.344), (0.63, 0.344), (0.5, 0.6133))
# Values of a code below the first are ignored as part of the neutral face, from the second on they count in full; both
# as multiples of the encoder's error.
RESTING = (0.4, 1.2)
# How far landmarks may move a code away from the encoder's answer, as a multiple of the encoder's error; and how well
# landmarks show each unit: brows and mouth well, lids (whose points miss closed and narrow eyes) less, cheeks and nose
# not at all.
LEEWAY = 1.6
SEEN = np.array(
    [
        1.0 if name.startswith(("brow_", "corner_", "smile_", "lip", "lower_", "upper_", "chin_", "pucker", "jaw_open"))
        else 0.25 if name.startswith(("lid_", "squint", "jaw_", "mouth_"))
        else 0.0
        for name in CODE_NAMES
    ]
)  # fmt: skip


@dataclass(frozen=True)
class Knowledge:
    """Statistics that were measured with the encoder.

    Attributes:
        spread: (U,) standard deviation of the error of the encoder's answer.
        gain: (U,) standard deviation of the true values over that of the answers: a network in doubt answers with a
            mean, which is too weak.
        posed: (7, U) mean code of each expression by name, in the order of ``expressions.LABELS``.
    """

    spread: Array
    gain: Array
    posed: Array


class UnitsModel(ExpressionModel):
    """Gives aligned crops the code of a reference, of names of units, or of an expression by name.

    Args:
        encoder: predicts codes.
        head: face model and appearance.
        knowledge: statistics of the encoder.
    """

    name = "units"
    takes_reference = True

    def __init__(self, encoder: UnitEncoder, head: Head, knowledge: Knowledge) -> None:
        super().__init__()
        self.template = TEMPLATE
        self.encoder = encoder
        self.head = head
        self.knowledge = knowledge

    def read(self, image: Tensor, landmarks: Array) -> Fit:
        """Return pose, person and code of a (1, 3, S, S) crop with (68, 2) landmarks in its pixels."""
        crop, points = encoder_view(image, landmarks)
        mirrored = points[list(MIRRORED)] * [-1, 1] + [SIZE - 1, 0]
        both = torch.from_numpy(np.stack([points, mirrored])).to(crop)
        with torch.inference_mode():
            straight, other = self.encoder(torch.cat([crop, crop.flip(3)]), both)[0].cpu().double().numpy()
        code = (straight + other[list(MIRRORED_CODE)] * MIRRORED_SIGN) / 2
        low, high = (bound.double().numpy() for bound in code_bounds())
        return fit_face(
            self.head.model, landmarks, Expected(code, LEEWAY * SEEN * self.knowledge.spread, low, high)
        )

    def read_code(self, crops: FaceCrops, name: str) -> tuple[float, ...]:
        """Return the expression of the one face of ``crops`` as a code, without what belongs to the neutral face.

        Raises:
            NoFaceError: it has no landmarks; ``name`` is the photo's.
        """
        points = _points(crops.landmarks[0])
        if points is None:
            raise NoFaceError(f"{name}: no landmarks found on the face; --like needs a clear face")
        fit = self.read(crops.image[:1], settled(points, crops.image.shape[-1]))
        return tuple(self.shown(fit.code).tolist())

    def shown(self, code: Array) -> Array:
        """Return a code without what belongs to the neutral face: small values fade to 0."""
        ratio = np.abs(code) / np.maximum(self.knowledge.spread, 1e-3)
        share = np.clip((ratio - RESTING[0]) / (RESTING[1] - RESTING[0]), 0, 1)
        low, high = (bound.double().numpy() for bound in code_bounds())
        return np.asarray((code * share * share * (3 - 2 * share) * self.knowledge.gain).clip(low, high))

    def edit(self, crops: FaceCrops, targets: Sequence[Target]) -> EditedCrops:
        """Return each crop with the expression of its target; see ``ExpressionModel.edit``.

        A face without landmarks (only the detector's five points) comes back as it is.

        Raises:
            NoFaceError: a reference without landmarks.
        """
        edited = [self._edit_one(crops, index, target) for index, target in enumerate(targets)]
        return EditedCrops(
            torch.cat([one.image for one in edited]),
            torch.cat([one.flow for one in edited if one.flow is not None]),
            torch.cat([one.keep for one in edited if one.keep is not None]),
            torch.cat([one.lips for one in edited if one.lips is not None]),
            torch.cat([one.parted for one in edited if one.parted is not None]),
        )

    def _edit_one(self, crops: FaceCrops, index: int, target: Target) -> EditedCrops:
        image = crops.image[index : index + 1]
        own = _points(crops.landmarks[index])
        if own is None or target.is_identity:
            lips = image.new_full((1, 20, 2), torch.nan)
            still, everything = torch.zeros_like(image[:, :2]), torch.ones_like(image[:, :1])
            return EditedCrops(image, still, everything, lips, image.new_zeros(1))
        own = settled(own, image.shape[-1])
        fit = self.read(image, own)
        change = self._change(fit.code, target)
        low, high = (bound.double().numpy() for bound in code_bounds())
        # A face's own code may be out of bounds already; it is never moved further out.
        wanted = np.clip(fit.code + change, np.minimum(low, fit.code), np.maximum(high, fit.code))
        return move(self.head, image, own, fit, wanted - fit.code)

    def _change(self, code: Array, target: Target) -> Array:
        """Return the change of the code (U,) that a target asks of a face."""
        shown = self.shown(code)
        if isinstance(target, Reference):
            wanted = np.array(target.code or self.read_code(target.crops, target.name))
            return target.strength * (completed(wanted, shown, self.knowledge.posed) - shown)
        if isinstance(target, UnitMix):
            return np.array(target.code) + self._named(shown, target.mix.scaled(target.strength))
        return self._named(shown, target)

    def _named(self, shown: Array, mix: ExpressionMix) -> Array:
        """Return the change (U,) for expressions by name; the face's own expression fades out as they fade in.

        Of a face that shows them already, no unit is taken back that has moved further: a smile is not made smaller.
        """
        wanted = np.zeros_like(shown)
        for expression, weight in mix.parts:
            posed = self.knowledge.posed[LABELS.index(expression)]
            wanted = wanted + weight * prototype_code(expression, posed)
        result = (1 - min(1.0, sum(weight for _, weight in mix.parts))) * shown + wanted
        further = (shown * wanted > 0) & (np.abs(shown) > np.abs(result))
        return np.asarray(np.where(further, result + alike(shown, wanted) * (shown - result), result) - shown)


def encoder_view(image: Tensor, landmarks: Array) -> tuple[Tensor, Array]:
    """Return the encoder's crop (1, 1, 128, 128) out of the model's, and the landmarks in its pixels."""
    side = image.shape[-1]
    target, source = CROP_POINTS * SIZE - 0.5, TEMPLATE.pixels() * (side / TEMPLATE.size)
    scale = (source[1, 0] - source[0, 0]) / (target[1, 0] - target[0, 0])
    corner = source[0] - scale * target[0]
    light = (image * image.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    # As in training: an area average to reduce the picture, then bilinear interpolation.
    small = functional.interpolate(light, scale_factor=0.5, mode="area")
    ticks = torch.arange(SIZE, dtype=image.dtype, device=image.device) * scale
    x, y = ((ticks + start + 0.5) / side * 2 - 1 for start in corner)
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], 2)[None]
    crop = functional.grid_sample(small, grid, padding_mode="border", align_corners=False)
    return crop, (landmarks - corner) / scale


def _points(landmarks: Tensor) -> Array | None:
    points = landmarks.detach().cpu().double().numpy()
    return points if np.isfinite(points).all() else None
