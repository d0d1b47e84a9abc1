"""Expression transfer as an expression model: the target is a photo of somebody else's face.

Two forms. ``painted`` is our reading of AIP-GAN as it stands: the network paints the crop anew. ``displaced`` is ours:
the landmarks of the face are moved as the reference's have moved from *their* neutral face, the pixels follow, folds
are shaded as the motion asks, and the network only paints what is missing on top. The photo's own detail stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from sargan_core.errors import NoFaceError, WeightsError
from sargan_core.faces.align import Alignment, align, apply_matrix, to_square
from sargan_core.faces.eyes import EYES, eye_openings
from sargan_core.faces.face import EditedCrops, Face, FaceCrops, Pixels, Template
from sargan_core.faces.lip_line import with_sure_lips
from sargan_core.faces.motion import Seen, carry, settled
from sargan_core.models.aipgan.network import AipganNetwork, AipganSettings
from sargan_core.models.aipgan.parts import (
    LidsNetwork,
    NeutralNetwork,
    Shading,
    neutral_landmarks,
    with_shut_lids,
)
from sargan_core.models.base import ExpressionModel, Reference, Target
from sargan_core.models.state import check_fit, check_size, halved, without
from sargan_core.weights import WeightsRecord, save_weights

FORMS = ("displaced", "painted")
# Root mean square motion of the landmarks, as a fraction of the crop's side, from which the network's change is applied
# in full; below it is reduced, so that nothing changes where both faces have the same expression.
MOVED = 0.012
# Opening of an eye, as a fraction of that of the neutral face, below which it counts as closed.
SHUT_BELOW = 0.3
Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TransferSettings:
    """Settings in a weights file of this kind.

    Attributes:
        form: ``displaced`` or ``painted``.
        network: the network's settings; None = the displaced form without a network.
    """

    form: str = "displaced"
    network: AipganSettings | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain values for a weights record."""
        return {"form": self.form, "network": self.network.to_json() if self.network else None}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TransferSettings:
        """Build settings from what ``to_json`` returned."""
        network = values["network"]
        return cls(str(values["form"]), AipganSettings(**network) if network else None)


class AipganModel(ExpressionModel):
    """Gives aligned crops the expression of a reference.

    Args:
        settings: form and network.
        template: a ``spline`` template; crops are aligned by the face's estimated *neutral* landmarks.
        neutral: estimates these.
        lids: detects closed eyes.
        shading: change of light by motion; displaced form only.
        network: of the settings.
    """

    name = "aipgan"
    takes_reference = True

    def __init__(
        self,
        settings: TransferSettings,
        template: Template,
        neutral: NeutralNetwork,
        lids: LidsNetwork,
        shading: Shading | None,
        network: AipganNetwork | None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.template = template
        self.neutral = neutral
        self.lids = lids
        self.shading = shading
        self.network = network

    def align(self, pixels: Pixels, face: Face) -> Alignment:
        """Fit the template to a face by its neutral landmarks; see ``ExpressionModel.align``."""
        if face.landmarks is not None:
            face = replace(face, landmarks=with_sure_lips(pixels, face.landmarks))
        neutral = neutral_landmarks(self.neutral, pixels, face)
        if face.landmarks is None or neutral is None:
            return align(face, self.template)
        face = replace(face, landmarks=with_shut_lids(self.lids, pixels, face.landmarks))
        straight = align(face, replace(self.template, kind="affine"))
        inverse = np.linalg.inv(to_square(straight.matrix))[:2].astype(np.float64)
        still = apply_matrix(inverse, neutral)
        return align(face, self.template, lambda _: still)

    def edit(self, crops: FaceCrops, targets: Sequence[Target]) -> EditedCrops:
        """Return each crop with the expression of its reference; see ``ExpressionModel.edit``.

        A face without landmarks (only the detector's five points) comes back as it is.

        Raises:
            UsageError: a target that is not a reference.
            NoFaceError: a reference without landmarks.
        """
        edited = [
            self._edit_one(crops, index, reference)
            for index, reference in enumerate(self.references(targets))
        ]
        keep = [one.keep for one in edited if one.keep is not None]
        return EditedCrops(
            torch.cat([one.image for one in edited]),
            torch.cat([one.flow for one in edited if one.flow is not None]),
            # In the painted form the paste makes the mask, for all faces of the batch.
            torch.cat(keep) if self.settings.form == "displaced" else None,
        )

    def _edit_one(self, crops: FaceCrops, index: int, reference: Reference) -> EditedCrops:
        image = crops.image[index : index + 1]
        still = EditedCrops(image, torch.zeros_like(image[:, :2]), torch.ones_like(image[:, :1]))
        own = _points(crops.landmarks[index])
        theirs, their_neutral = _points(reference.crops.landmarks[0]), _neutral(reference.crops, 0)
        neutral = _neutral(crops, index)
        if theirs is None or their_neutral is None:
            raise NoFaceError(
                f"{reference.name}: no landmarks found on the face; --like needs a clear, frontal face"
            )
        if own is None or neutral is None or reference.is_identity:
            return still
        size = image.shape[-1]
        own, neutral, theirs, their_neutral = (
            settled(points, size) for points in (own, neutral, theirs, their_neutral)
        )
        strength = reference.strength
        source = reference.crops.image.to(image)
        if self.settings.form == "painted":
            made = self._paint(source, image)
            return EditedCrops(image + strength * (made - image), still.flow, None)
        full = _keeping_shut(neutral + theirs - their_neutral, own, neutral)
        motion = full - own
        goal = own + strength * motion
        carried = carry(Seen(image, own), goal, Seen(source, theirs))
        edited = carried.image
        if self.shading is not None:
            factor = self.shading(goal - own, size).to(image)
            edited = torch.lerp(edited * factor, edited, carried.inside)
        if self.network is not None:
            share = min(1.0, float(np.sqrt((motion**2).mean())) / (MOVED * size))
            edited = edited + strength * share * (self._paint(source, edited) - edited)
        return EditedCrops(edited, carried.flow, carried.keep)

    def _paint(self, source: Tensor, target: Tensor) -> Tensor:
        """Return the network's picture for two (1, 3, S, S) crops in [0, 1]; its change is enlarged to their size."""
        assert self.network is not None
        size, inner = target.shape[-1], self.network.settings.size
        small = [
            functional.interpolate(one, (inner, inner), mode="bilinear", antialias=True)
            for one in (source, target)
        ]
        made = (self.network(small[0] * 2 - 1, small[1] * 2 - 1) + 1) / 2
        change = made - small[1]
        return target + functional.interpolate(change, (size, size), mode="bilinear", align_corners=False)


def _keeping_shut(goal: Points, own: Points, neutral: Points) -> Points:
    """Return the goal with the lids of closed eyes unchanged, because the photo does not show what is behind them."""
    result = goal.copy()
    openings = zip(EYES, eye_openings(own), eye_openings(neutral), eye_openings(goal), strict=True)
    for eye, before, usual, after in openings:
        if before < SHUT_BELOW * usual and after > before:
            centre = (goal - own)[[eye[0], eye[3]]].mean(0)
            result[list(eye)] = own[list(eye)] + centre
    return result


def _points(landmarks: Tensor) -> Points | None:
    points = landmarks.detach().cpu().double().numpy()
    return points if np.isfinite(points).all() else None


def _neutral(crops: FaceCrops, index: int) -> Points | None:
    return None if crops.neutral is None else _points(crops.neutral[index])


KIND = "aipgan"
# Halvings of its encoders, and doublings of its decoder.
HALVINGS = 4
# Tensors that only training needs: counters of batch normalisation, and two heads.
LEFT_OUT = ("num_batches_tracked", "network.landmarks.", "network.intrinsic.")


def save_aipgan(model: AipganModel, path: Path, *, name: str = "", data: str = "") -> WeightsRecord:
    """Write a model with its settings and template; return the record for the index.

    Args:
        model: the trained model.
        path: a ``.safetensors`` file.
        name: name on the command line; empty = the file's name.
        data: what it was trained on, with licence and attribution.
    """
    return save_weights(
        path,
        halved(without(model.state_dict(), LEFT_OUT)),
        kind=KIND,
        name=name,
        description=f"expression of one photo on another face, {model.settings.form} form",
        template=model.template,
        settings=model.settings.to_json(),
        data=data,
    )


def build_aipgan(record: WeightsRecord, tensors: dict[str, Tensor]) -> AipganModel:
    """Return the model of a record with its weights in float32.

    Raises:
        WeightsError: settings or tensors are not those of such a model.
    """
    try:
        settings = TransferSettings.from_json(record.settings)
        template = Template.from_json(record.template or {})
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{record.file}: settings not understood ({error}); train it again") from error
    if settings.form not in FORMS or (settings.form == "painted" and settings.network is None):
        raise WeightsError(f"{record.file}: no form '{settings.form}' of this model; train it again")
    # Compared on the meta device first: settings may ask for any size, while tensors are no larger than their file.
    with torch.device("meta"):
        empty = _parts(settings, template, tensors)
    check_fit(empty, tensors, record.file, KIND, LEFT_OUT)
    if settings.network and empty.network is not None:
        network = settings.network
        try:
            check_size(empty.network, network.size, channels=network.width, halvings=HALVINGS, least=2)
        except ValueError as error:
            raise WeightsError(f"{record.file}: cannot be used ({error}); train it again") from error
    model = _parts(settings, template, tensors)
    # Not strict, because the file does not hold ``LEFT_OUT``.
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, strict=False)
    return model


def _parts(settings: TransferSettings, template: Template, tensors: dict[str, Tensor]) -> AipganModel:
    shading = None
    if "shading.basis" in tensors and "shading.pictures" in tensors:
        basis, pictures = tensors["shading.basis"], tensors["shading.pictures"]
        if basis.shape[1:] != (136,) or pictures.shape[:2] != (len(basis), 1) or pictures.ndim != 4:
            raise ValueError("shading of another shape")
        shading = Shading(basis, pictures)
    network = AipganNetwork(settings.network) if settings.network else None
    return AipganModel(settings, template, NeutralNetwork(), LidsNetwork(), shading, network)
