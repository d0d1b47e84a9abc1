"""A generator as the refiner of the pixel model's picture.

The pixel model moves the face and paints the mean change of the training people; the generator sees the mouth and what
lies around it and adds what depends on this face: ``image = base + mask * (G(base, label) - base)``. A ridge
regression in front of an adversarially trained network is RegGAN's idea (docs/papers.md 2.6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sargan_core.expressions import LABELS
from sargan_core.faces.align import RestShape, Template
from sargan_core.faces.blend import crop_mask
from sargan_core.faces.outline import face_mask
from sargan_core.models.base import EditedCrops, ExpressionModel, FaceCrops, Target
from sargan_core.models.generator import Generator, one_hot
from sargan_core.models.pixel import PixelModel
from sargan_core.models.sargan import SarganModel

# How far below the mouth of the template the middle of the window lies, as a fraction of the crop's side.
DROP = 0.02


class RefinedModel(ExpressionModel):
    """The pixel model's edit with the change that a generator adds to it.

    Args:
        base: the displaced pixel model that the generator was trained on, fitted for all seven expressions.
        generator: the network; it sees a part of ``settings.size`` pixels of the base's crop, see ``mouth_window``.
        precision: see ``SarganModel``.
    """

    name = "sargan"

    def __init__(self, base: PixelModel, generator: Generator, precision: str = "auto") -> None:
        super().__init__()
        self.base = base
        self.template = base.template
        self.window = mouth_window(base.template, generator.settings.size)
        self.network = SarganModel(generator, self.window.template(base.template), precision)
        self.register_buffer("mask", face_masks(base, self.window), persistent=False)

    def rest_shape(self) -> RestShape | None:
        """Return the base's estimate of neutral landmarks."""
        return self.base.rest_shape()

    def edit(self, crops: FaceCrops, targets: Sequence[Target]) -> EditedCrops:
        """Return each crop with its target expression; see ``ExpressionModel.edit``.

        The added change goes with the strength up to 1, as wrinkles end where they are fully there; of a mix each
        part adds its share.
        """
        edited = self.base.edit(crops, targets)
        rows = [
            (index, expression.label, weight / max(1.0, sum(share for _, share in target.parts)))
            for index, target in enumerate(self.mixes(targets))
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
        change = self.network.change(part.clamp(0, 1), labels, owner)
        part.index_add_(0, owner, weights * self.get_buffer("mask")[kinds] * change)
        return EditedCrops(image, edited.flow, edited.keep)


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
    """Return the part of the crop that a refiner sees: round the mouth, with room for a dropped jaw."""
    x, y = template.mouth[0] * template.size, (template.mouth[1] + DROP) * template.size
    most = template.size - size
    left, top = (min(max(round(centre - size / 2), 0), most) for centre in (x, y))
    return Window(left, top, size)


def face_masks(base: PixelModel, window: Window) -> Tensor:
    """Return where the refiner may change each expression of ``base``: on the face, fading to the window's border.

    (7, 1, size, size) float32 in [0, 1], in label order.
    """
    masks = [face_mask(base.goal(expression), base.template.size) for expression in LABELS]
    return window.cut(torch.stack(masks).float()) * crop_mask(window.size)
