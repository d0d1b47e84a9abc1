"""A generator as an expression model: SARGAN, US-GAN and StarGAN in use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sargan_core.expressions import LABELS
from sargan_core.faces.blur import gaussian_blur
from sargan_core.faces.face import EditedCrops, FaceCrops, NeutralEstimate, Template
from sargan_core.faces.masks import crop_mask, face_mask
from sargan_core.faces.mouth import lips_region, parted_lips
from sargan_core.models.base import ExpressionModel, Target
from sargan_core.models.filtered import prepare
from sargan_core.models.layers import lay_out, memory_format
from sargan_core.models.pixel.model import PixelModel
from sargan_core.models.sargan.generator import Generator, one_hot


class SarganModel(ExpressionModel):
    """A generator as an expression model: crops in [0, 1], mixes and strengths.

    Args:
        generator: the network, with its weights loaded.
        template: the alignment of its training crops.
        precision: ``fp32`` or ``bf16``.
    """

    name = "sargan"

    def __init__(self, generator: Generator, template: Template, precision: str = "fp32") -> None:
        super().__init__()
        self.generator = generator.requires_grad_(False)
        lay_out(self.generator, "cpu")
        prepare(self.generator)
        self.template = template
        self.precision = precision

    def edit(self, crops: FaceCrops, targets: Sequence[Target]) -> EditedCrops:
        """Return each crop with its target expression; see ``ExpressionModel.edit``.

        A mix adds the weighted changes of its parts: ``crop + sum of weight * (G(crop, part) - crop)``. All
        parts of all crops go through the network as one batch, and the stem sees each crop once.
        """
        rows = [
            (index, expression.label, weight)
            for index, target in enumerate(self.mixes(targets))
            for expression, weight in target.parts
            if weight != 0
        ]
        image = crops.image.clone()
        if not rows:
            return EditedCrops(image)
        device = image.device
        indices = [row[0] for row in rows]
        owner = torch.tensor(indices, device=device)
        labels = one_hot([row[1] for row in rows], self.generator.settings.labels, device)
        weights = torch.tensor([row[2] for row in rows], device=device).view(-1, 1, 1, 1)
        # One expression per crop, the usual case, needs no copies of the shared stem.
        shared = None if indices == list(range(len(targets))) else owner
        change = self.change(image, labels, shared)
        image.index_add_(0, owner, weights * change)
        return EditedCrops(image)

    def change(self, image: Tensor, labels: Tensor, owner: Tensor | None = None) -> Tensor:
        """Return ``G(x, c) - x`` on the scale of [0, 1] for each row.

        Args:
            image: (N, 3, S, S) in [0, 1].
            labels: (B, labels) one-hot rows.
            owner: (B,) int64, see ``Generator.forward``.
        """
        x = (image * 2 - 1).contiguous(memory_format=memory_format(image.device))
        reduced = self.precision == "bf16"
        with torch.autocast(image.device.type, torch.bfloat16, enabled=reduced):
            made: Tensor = self.generator(x, labels, owner).float()
        if reduced and not bool(torch.isfinite(made).all()):
            made = self.generator(x, labels, owner)
        return (made - (x if owner is None else x[owner])) / 2


# Blur of what is changed on shut lips, in pixels of a 256 px crop.
ON_LIPS = 3.0
# Largest change of the skin around the lips that is believed, see ``change_size``. On 17 people held out, edited to all
# seven expressions, it is 6.2 levels at most (benchmarks/refiner_changes.py).
USUAL = 7 / 255
# Distance of the window's centre below the template's mouth, as a fraction of the crop's side.
DROP = 0.02


class RefinedModel(ExpressionModel):
    """The pixel model's edit, refined by a generator that adds a change to it.

    Args:
        base: the displaced pixel model that the generator was trained on, fitted for all seven expressions.
        generator: the network; it sees a part of ``settings.size`` pixels of the base's crop, see ``mouth_window``.
        precision: see ``SarganModel``.
    """

    name = "sargan"

    def __init__(self, base: PixelModel, generator: Generator, precision: str = "fp32") -> None:
        super().__init__()
        self.base = base
        self.template = base.template
        self.window = mouth_window(base.template, generator.settings.size)
        self.network = SarganModel(generator, self.window.template(base.template), precision)
        self.precision = precision
        mask = face_masks(base, self.window)
        self.register_buffer("mask", mask, persistent=False)
        self.register_buffer("around", mask * (1 - lip_masks(base, self.window)), persistent=False)
        self.register_buffer("shut", shut_lips(base, self.window), persistent=False)

    def neutral_estimate(self) -> NeutralEstimate | None:
        """Return the base's estimate of neutral landmarks."""
        return self.base.neutral_estimate()

    def edit(self, crops: FaceCrops, targets: Sequence[Target]) -> EditedCrops:
        """Return each crop with its target expression; see ``ExpressionModel.edit``.

        The added change goes with the strength up to 1, as wrinkles end where they are fully there; of a mix each
        part adds its share.
        """
        mixes = self.base.still_wanted(crops, self.mixes(targets))
        edited = self.base.edit_all(crops, mixes)
        rows = [
            (index, expression.label, weight / max(1.0, sum(share for _, share in target.parts)))
            for index, target in enumerate(mixes)
            for expression, weight in target.parts
            if weight != 0
        ]
        if not rows:
            return edited
        image = edited.image.clone()
        part = self.window.cut(image)
        owner = torch.tensor([row[0] for row in rows], device=image.device)
        kinds = torch.tensor([row[1] for row in rows], device=image.device)
        weights = torch.tensor([row[2] for row in rows], device=image.device).view(-1, 1, 1, 1)
        labels = one_hot(kinds, len(LABELS), image.device)
        change = self._believed(self.network.change(part.clamp(0, 1), labels, owner), kinds)
        change = self._calm(change, kinds)
        part.index_add_(0, owner, weights * self.get_buffer("mask")[kinds] * change)
        return replace(edited, image=image)

    def _believed(self, change: Tensor, kinds: Tensor) -> Tensor:
        """Return changes (B, 3, S, S); those larger than on people held out are reduced. Kinds are (B,) labels.

        A large change means a face unlike those that the network was trained on: turned upwards, in film grain, half in
        shadow. There it draws stains.
        """
        around = self.get_buffer("around")[kinds]
        sizes = [change_size(row, weight) for row, weight in zip(change, around, strict=True)]
        share = (USUAL / torch.stack(sizes).clamp_min(USUAL)).square()
        return share.view(-1, 1, 1, 1) * change

    def _calm(self, change: Tensor, kinds: Tensor) -> Tensor:
        """Return changes (B, 3, S, S) without fine structure on shut lips; kinds are (B,) labels.

        The line between the lips of a truth lies a pixel higher or lower than the edit's, so that the network learns to
        blur it.
        """
        lips = self.get_buffer("shut")[kinds]
        if not bool(lips.any()):
            return change
        sigma = ON_LIPS * self.template.size / 256
        return torch.lerp(change, gaussian_blur(change, 2 * int(3 * sigma) + 1, sigma), lips)


@dataclass(frozen=True)
class Window:
    """A square part of a crop.

    Attributes:
        left: column of its first pixel.
        top: row of its first pixel.
        size: its side in pixels.
    """

    left: int
    top: int
    size: int

    def cut(self, crops: Tensor) -> Tensor:
        """Return the part of (..., S, S), as a view."""
        return crops[..., self.top : self.top + self.size, self.left : self.left + self.size]

    def template(self, whole: Template) -> Template:
        """Return the template of the part."""
        return whole.inset(self.left, self.top, self.size)


def mouth_window(template: Template, size: int) -> Window:
    """Return the window of the crop that a refiner sees: around the mouth, with room for a dropped jaw."""
    x, y = template.mouth[0] * template.size, (template.mouth[1] + DROP) * template.size
    most = template.size - size
    left, top = (min(max(round(centre - size / 2), 0), most) for centre in (x, y))
    return Window(left, top, size)


def face_masks(base: PixelModel, window: Window) -> Tensor:
    """Return where the refiner may change the edit of each expression: on the face, fading out at the window's border.

    (7, 1, size, size) float32 in [0, 1], in label order.
    """
    masks = [face_mask(base.goal(expression), base.template.size) for expression in LABELS]
    return window.cut(torch.stack(masks).float()) * crop_mask(window.size)


def change_size(change: Tensor, weight: Tensor) -> Tensor:
    """Return the root mean square of a change (3, S, S), weighted by (1, S, S), as a scalar on the change's scale."""
    return ((weight * change.square()).sum() / (3 * weight.sum().clamp_min(1e-6))).sqrt()


def lip_masks(base: PixelModel, window: Window) -> Tensor:
    """Return the lips of each expression and what is between them, (7, 1, size, size) in [0, 1], in label order."""
    size = base.template.size
    return window.cut(torch.stack([lips_region(base.goal(each), size).float() for each in LABELS]))


def shut_lips(base: PixelModel, window: Window) -> Tensor:
    """Return the lips of the expressions that shut the mouth, 0 for the others.

    (7, 1, size, size) float32 in [0, 1], in label order.
    """
    size = base.template.size
    shut = torch.tensor([1 - parted_lips(base.goal(expression), size) for expression in LABELS])
    return lip_masks(base, window) * shut.view(-1, 1, 1, 1)
