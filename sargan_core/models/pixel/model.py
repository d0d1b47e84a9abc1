"""The pixel model: each output pixel is a linear function of one input pixel (Pixel-RR, Akram & Khan 2020).

Forms:
    plain: ``y(p) = w(p) x(p) + b(p)``, the paper's.
    kernel: ``y(p) = curve_p(x(p))``, a 256-entry curve per pixel, from kernel ridge regression; the paper's own
        kernel variant is not known, so this one is ours.
    displaced: ``y(p) = w(p) x(p + d(p)) + b(p)``, ours: still one input pixel per output pixel, but a displaced one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sargan_core.errors import UsageError
from sargan_core.expressions import LABELS, Expression, ExpressionMix
from sargan_core.faces.eyes import eye_regions, eye_white, with_narrow_eyes, with_shut_eyes
from sargan_core.faces.face import EditedCrops, FaceCrops, NeutralEstimate, Template
from sargan_core.faces.folds import with_folds
from sargan_core.faces.irises import with_round_irises
from sargan_core.faces.masks import face_mask
from sargan_core.faces.mouth import (
    ALL_POINTS,
    OPEN_FROM,
    WITHOUT_LOWER_LIP,
    WITHOUT_UPPER_LIP,
    below_lip_line,
    between_lips,
    closed,
    draw_lip_line,
    inside_mouth,
    lip_gap,
    lips_region,
    painted_over,
    parted_lips,
    together,
)
from sargan_core.faces.shade import light_factor
from sargan_core.faces.warp import LATTICE_STEP, displaced, partial_pull, positions, sample, spline_field
from sargan_core.models.base import ExpressionModel, Target
from sargan_core.models.pixel.shown import still_wanted

FORMS = ("plain", "kernel", "displaced")
CHANNELS = ("shared", "separate")
SCALINGS = ("product", "fidelity")
CURVE = 256
# Strength up to which the inside of the mouth fades in; above it is fully visible between the lips.
FADE_IN = 0.25
# Bounds of the factor on the light in the mouth, relative to the training faces.
LIGHT_RANGE = (0.35, 1.25)
# Distance between own and neutral landmarks, as a fraction of the crop's side, from which a face is not neutral.
MOVED = 0.004
# Expressions and strengths that are kept worked out, of 2.4 MB each.
KEPT_PARTS = 8


@dataclass(frozen=True)
class PixelSettings:
    """What kind of pixel model a weights file holds.

    Attributes:
        form: ``plain``, ``kernel`` or ``displaced``.
        channels: ``shared`` = one weight and one bias for R, G and B; ``separate`` = three of each.
        scaling: ``product`` = the crop's own range, clipped; ``fidelity`` = every crop stretched to [0, 1] before and
            after, as the published code of the follow-up papers does.
        expressions: the targets that were fitted, by name.
    """

    form: str = "displaced"
    channels: str = "shared"
    scaling: str = "product"
    expressions: tuple[str, ...] = tuple(expression.value for expression in LABELS)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain values for a weights record."""
        return {**asdict(self), "expressions": list(self.expressions)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> PixelSettings:
        """Build settings from what ``to_json`` returned."""
        return cls(**{**values, "expressions": tuple(values["expressions"])})


@dataclass(frozen=True)
class _Part:
    """What one expression of some strength does to any face, before the face's own light; S = crop side.

    Attributes:
        flow: (1, 2, S, S) backward displacement, crop pixels.
        gain: (1, C, S, S) what is added to a factor of 1 on the moved crop.
        offset: (1, 3, S, S) what is added to it in neutral light.
        inside: (1, 1, S, S) share of the inside of the mouth.
    """

    flow: Tensor
    gain: Tensor
    offset: Tensor
    inside: Tensor


class PixelModel(ExpressionModel):
    """Applies fitted coefficients to aligned crops.

    Args:
        settings: form, channels, scaling, fitted expressions.
        template: the crop's alignment; ``spline`` for the displaced form.
        tensors: by name, E = fitted expressions, C = 1 (shared) or 3 (separate), S = crop side:
            ``weight``, ``bias`` (E, C, S, S) for plain and displaced, where bias always has three channels, because
            the inside of the mouth has a colour; ``curves`` (E, C, 256, S, S) for kernel;
            ``flow`` (E, 2, L, L) backward displacement in crop pixels on a coarse lattice, ``inside`` (E, 1, S, S)
            mask of the visible inside of the mouth, ``goals`` (E, 68, 2) landmarks after the edit, as fractions of S,
            ``eye_white`` (3,) mean colour of the whites of the eyes in training, ``rest`` (137, 136) and
            ``rest_noise`` () regression from landmarks to those of the neutral face, and its error on neutral faces,
            all for displaced.
    """

    name = "pixel"

    def __init__(self, settings: PixelSettings, template: Template, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.settings = settings
        self.template = template
        self._parts: dict[tuple[int, float, torch.device], _Part] = {}
        self._rows = {Expression(name): row for row, name in enumerate(settings.expressions)}
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor.float(), persistent=False)
        if settings.form == "displaced":
            lattice = self._tensor("flow")
            size = (template.size, template.size)
            dense = torch.nn.functional.interpolate(lattice, size, mode="bicubic", align_corners=True)
            self.register_buffer("dense_flow", dense, persistent=False)

    def neutral_estimate(self) -> NeutralEstimate | None:
        """Return the regression from landmarks to those of the neutral face, None for forms that do not move."""
        if self.settings.form != "displaced":
            return None
        regression = self._tensor("rest").cpu().double().numpy()
        noise = float(self._tensor("rest_noise"))
        size = self.template.size

        def estimate(landmarks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            known = np.concatenate([(landmarks / size).ravel(), [1.0]])
            move = (known @ regression).reshape(-1, 2) * size
            # A neutral face must not be changed by the regression's own error.
            excess = float(np.sqrt((move**2).mean())) / max(noise * size, 1e-6)
            # A face with parted lips is not neutral, even if nothing else moved.
            share = np.clip(max((excess - 2.0) / 3.0, parted_lips(landmarks, size)), 0.0, 1.0)
            return with_narrow_eyes(landmarks + share * move, landmarks)

        return estimate

    def goal(self, expression: Expression) -> npt.NDArray[np.float64]:
        """Return the landmarks of any face after an edit of full strength, (68, 2) crop pixels.

        Raises:
            UsageError: the form moves nothing, or a target that the weights were not fitted for.
        """
        if self.settings.form != "displaced":
            raise UsageError(f"the {self.settings.form} form moves no landmarks; use a displaced pixel model")
        fractions = self._tensor("goals")[self._row(expression)].cpu().double().numpy()
        return np.asarray(fractions * self.template.size - 0.5)

    def edit(self, crops: FaceCrops, targets: Sequence[Target]) -> EditedCrops:
        """Return each crop with its target expression; see ``ExpressionModel.edit``.

        A mix adds the parts' displacements and changes, to first order. Of an expression that a face shows already,
        less is done, see ``still_wanted``.

        Raises:
            UsageError: a target that the weights were not fitted for, or a reference.
        """
        return self.edit_all(crops, self.still_wanted(crops, self.mixes(targets)))

    def still_wanted(self, crops: FaceCrops, mixes: Sequence[ExpressionMix]) -> list[ExpressionMix]:
        """Return each mix with less of what its face shows already, see ``still_wanted`` in ``shown.py``."""
        if self.settings.form != "displaced" or crops.neutral is None:
            return list(mixes)
        assert self.template.shape is not None
        shape = np.asarray(self.template.shape, dtype=np.float64) * self.template.size - 0.5
        found, neutral = (points.cpu().double().numpy() for points in (crops.landmarks, crops.neutral))
        motions = {expression: self.goal(expression) - shape for expression in self._rows}
        return [
            still_wanted(
                found[index] - neutral[index],
                motions,
                mix,
                parted_lips(found[index], self.template.size),
            )
            if self._is_moved(crops.landmarks[index], crops.neutral[index])
            else mix
            for index, mix in enumerate(mixes)
        ]

    def edit_all(self, crops: FaceCrops, mixes: Sequence[ExpressionMix]) -> EditedCrops:
        """Return each crop with the whole of its mix, whatever the face shows already; see ``edit``."""
        edited = [self._edit_one(crops, index, mix) for index, mix in enumerate(mixes)]
        moved = self.settings.form == "displaced"
        return EditedCrops(
            image=torch.cat([one.image for one in edited]),
            flow=torch.cat([one.flow for one in edited if one.flow is not None]) if moved else None,
            keep=torch.cat([one.keep for one in edited if one.keep is not None]) if moved else None,
            lips=torch.cat([one.lips for one in edited if one.lips is not None]) if moved else None,
            parted=torch.cat([one.parted for one in edited if one.parted is not None]) if moved else None,
        )

    def _edit_one(self, crops: FaceCrops, index: int, target: ExpressionMix) -> EditedCrops:
        image = crops.image[index : index + 1]
        parts = [(self._row(expression), weight) for expression, weight in target.parts if weight > 0]
        if self.settings.form == "displaced":
            neutral = None if crops.neutral is None else crops.neutral[index]
            return self._displace(image, crops.landmarks[index], neutral, parts)
        low, high = image.amin(), image.amax()
        stretched = self.settings.scaling == "fidelity"
        x = (image - low) / (high - low).clamp_min(1e-6) if stretched else image
        change = torch.zeros_like(x)
        for row, weight in parts:
            change = change + weight * (self._predict(x, row) - x)
        if not parts:
            return EditedCrops(image)
        y = x + change
        if stretched:
            y = (y - y.amin()) / (y.amax() - y.amin()).clamp_min(1e-6)
        return EditedCrops(y)

    def _predict(self, x: Tensor, row: int) -> Tensor:
        """Return the full-strength prediction for an (1, 3, S, S) crop in [0, 1]."""
        if self.settings.form == "plain":
            return self._tensor("weight")[row] * x + self._tensor("bias")[row]
        curves = self._tensor("curves")[row].expand(3, -1, -1, -1)
        entry = x[0].clamp(0, 1) * (CURVE - 1)
        below = entry.floor().clamp(max=CURVE - 2)
        first = curves.gather(1, below.long()[:, None])[:, 0]
        second = curves.gather(1, below.long()[:, None] + 1)[:, 0]
        return torch.lerp(first, second, entry - below)[None]

    def _displace(
        self, image: Tensor, landmarks: Tensor, neutral: Tensor | None, parts: Sequence[tuple[int, float]]
    ) -> EditedCrops:
        still = torch.zeros_like(image[:, :2])
        everything = torch.ones_like(image[:, :1])
        lips, parted = self._lips(landmarks, neutral, parts)
        if not parts:
            return EditedCrops(image, still, everything, lips, parted)
        flow, gain, offset = still, torch.ones_like(image), torch.zeros_like(image)
        light = self._light(image[0], landmarks)
        goal, shut, painted = self._goal_of(parts), 0.0, torch.zeros_like(everything)
        for row, strength in parts:
            part = self._part(row, strength)
            flow = flow + part.flow
            gain = gain + part.gain
            offset = offset + part.offset * torch.lerp(torch.ones_like(light), light, part.inside)
        if neutral is not None and self._is_moved(landmarks, neutral):
            # The face's own expression fades out as the new one fades in.
            strength = min(1.0, sum(weight for _, weight in parts))
            flow = flow + displaced(self._own_expression(landmarks, neutral, strength), flow)
            shut = _closing(strength) * (1 - parted_lips(goal, self.template.size))
            image, painted = self._close_mouth(image, landmarks, strength)
            painted = displaced(painted, flow)
        found = landmarks.detach().cpu().double().numpy()
        if np.isfinite(found).all():
            flow = with_shut_eyes(found, flow)
        flow = with_round_irises(image, found, flow)
        moved = displaced(image, flow)
        if shut > 0:
            moved = draw_lip_line(moved, painted, goal, shut)
        face = face_mask(goal, self.template.size).to(image)[None]
        skin = face * (1 - lips_region(goal, self.template.size)).to(image)[None]
        light_on_skin = light_factor(moved, gain, offset)
        edited = torch.lerp(gain * moved + offset, moved * light_on_skin, skin)
        kept = torch.lerp(gain.mean(1, keepdim=True), light_on_skin, skin).clamp(0, 1) * (1 - painted)
        edited = with_folds(edited, moved, flow, goal, face * kept)
        return EditedCrops(edited, flow, kept, lips, parted)

    def _part(self, row: int, strength: float) -> _Part:
        """Return what an expression of some strength does to any face; kept, as every face asks for the same."""
        key = (row, strength, self._tensor("dense_flow").device)
        if (known := self._parts.get(key)) is not None:
            return known
        full = self._tensor("dense_flow")[row : row + 1]
        pull = partial_pull(full, strength)
        where = positions(pull)
        inside = sample(self._tensor("inside")[row : row + 1], where)
        amount = torch.lerp(
            torch.full_like(inside, strength),
            torch.full_like(inside, min(1.0, strength / FADE_IN)),
            inside,
        )
        gain = amount * (sample(self._tensor("weight")[row : row + 1], where) - 1)
        bias = sample(self._tensor("bias")[row : row + 1], where)
        part = _Part(pull + sample(full, where), gain, amount * bias, inside)
        if len(self._parts) < KEPT_PARTS:
            self._parts[key] = part
        return part

    def _lips(
        self, landmarks: Tensor, neutral: Tensor | None, parts: Sequence[tuple[int, float]]
    ) -> tuple[Tensor, Tensor]:
        """Return the lips of the edited face and the visibility of the inside of the mouth, as of ``EditedCrops``.

        Displacements of the parts add up, and the face's own expression fades out as they fade in.
        """
        size = self.template.size
        opened = [(row, weight) for row, weight in parts if bool(self._tensor("inside")[row].any())]
        share = min(1.0, sum(weight for _, weight in opened) / FADE_IN)
        parted = landmarks.new_tensor([share])
        if not opened:
            return landmarks.new_full((1, 20, 2), torch.nan), parted
        assert self.template.shape is not None
        shape = (landmarks.new_tensor(self.template.shape) * size - 0.5)[48:68]
        goals = self._tensor("goals")[:, 48:68] * size - 0.5
        lips = shape + sum(weight * (goals[row] - shape) for row, weight in parts)
        if neutral is not None and self._is_moved(landmarks, neutral):
            left = max(0.0, 1 - sum(weight for _, weight in parts))
            own = landmarks.detach().cpu().double().numpy()
            own = closed(own) if lip_gap(own) > OPEN_FROM * size else together(own)
            lips = lips + left * (torch.from_numpy(own[48:68]).to(landmarks) - shape)
        return lips[None], parted

    def _is_moved(self, landmarks: Tensor, neutral: Tensor) -> bool:
        """Return whether a face has an expression of its own; False where its landmarks are unknown."""
        return bool(((landmarks - neutral).abs() > MOVED * self.template.size).any())

    def _light(self, image: Tensor, landmarks: Tensor) -> Tensor:
        """Return the light on this face relative to the training faces, (1, 3, 1, 1), from the whites of the eyes."""
        size = self.template.size
        shape = np.asarray(self.template.shape, dtype=np.float64) * size - 0.5
        own = landmarks.detach().cpu().double().numpy()
        points = own if np.isfinite(own).all() else shape
        white = eye_white(image, eye_regions(points, size))
        ratio = white / self._tensor("eye_white").clamp_min(0.05)
        return ratio.clamp(*LIGHT_RANGE).view(1, 3, 1, 1)

    def _own_expression(self, landmarks: Tensor, neutral: Tensor, strength: float) -> Tensor:
        """Return the backward field (1, 2, S, S) that removes the face's own expression, in crop pixels.

        With strength 1 the face's landmarks move to the neutral ones, with less to points in between.
        Each lip has a field of its own, because where an open mouth closes the two move towards each other.
        """
        size = self.template.size
        own = closed(landmarks.detach().cpu().double().numpy())
        still = together(neutral.detach().cpu().double().numpy())
        goal = closed(still + (1 - strength) * (own - still))
        layers = [
            spline_field(goal[list(points)], (own - goal)[list(points)], size, smoothing=0.3)
            for points in (ALL_POINTS, WITHOUT_LOWER_LIP, WITHOUT_UPPER_LIP)
        ]
        between, above, below = torch.from_numpy(np.stack(layers)).to(landmarks).split(1)
        inside = inside_mouth(goal, size).to(landmarks)[None]
        field = torch.lerp(above, below, below_lip_line(goal, size).to(landmarks)[None])
        return torch.lerp(field, between, inside)

    def _close_mouth(self, image: Tensor, landmarks: Tensor, strength: float) -> tuple[Tensor, Tensor]:
        """Return the crop with the inside of an open mouth painted over, and how much of each pixel is painted.

        Otherwise lips that come together would squeeze the teeth into a bright line.
        """
        own = closed(landmarks.detach().cpu().double().numpy())
        inside = between_lips(image, own)
        painted = inside * parted_lips(own, self.template.size) * _closing(strength)
        return torch.lerp(image, painted_over(image, inside, own, _closing(strength)), painted), painted

    def _goal_of(self, parts: Sequence[tuple[int, float]]) -> npt.NDArray[np.float64]:
        """Return the approximate landmarks after an edit, (68, 2) crop pixels."""
        shape = np.asarray(self.template.shape, dtype=np.float64)
        goals = self._tensor("goals").cpu().double().numpy()
        moves = sum(weight * (goals[row] - shape) for row, weight in parts)
        return np.asarray((shape + moves) * self.template.size - 0.5)

    def _row(self, expression: Expression) -> int:
        if expression not in self._rows:
            known = ", ".join(self.settings.expressions)
            raise UsageError(f"these weights were not trained for '{expression}'; they know: {known}")
        return self._rows[expression]

    def _tensor(self, name: str) -> Tensor:
        return self.get_buffer(name)


def _closing(strength: float) -> float:
    """Return how far an edit of some strength paints over the inside of an open mouth, 0 to 1."""
    return float(np.clip((strength - 0.6) / 0.4, 0, 1))


def coarse(field: Tensor) -> Tensor:
    """Return an (E, 2, S, S) displacement field on the lattice that ``flow`` is stored on."""
    count = field.shape[-1] // LATTICE_STEP + 1
    return torch.nn.functional.interpolate(field, (count, count), mode="bilinear", align_corners=True)
