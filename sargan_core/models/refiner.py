"""A generator as the refiner of the pixel model's picture.

The pixel model moves the face and paints the mean change of the training people; the generator adds what depends on
this face: ``image = base + mask * (G(base, label) - base)``. A ridge regression in front of an adversarially trained
network is RegGAN's idea (papers.md 2.6).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sargan_core.expressions import LABELS
from sargan_core.faces.align import RestShape
from sargan_core.faces.outline import face_mask
from sargan_core.models.base import EditedCrops, ExpressionModel, FaceCrops, Target
from sargan_core.models.pixel import PixelModel
from sargan_core.models.sargan import Generator, SarganModel, one_hot


class RefinedModel(ExpressionModel):
    """The pixel model's edit with the change that a generator adds to it.

    Args:
        base: the displaced pixel model that the generator was trained on, fitted for all seven expressions.
        generator: the network; it sees the middle ``settings.size`` pixels of the base's crop.
        precision: see ``SarganModel``.
    """

    name = "sargan"

    def __init__(self, base: PixelModel, generator: Generator, precision: str = "auto") -> None:
        super().__init__()
        self.base = base
        self.template = base.template
        size = generator.settings.size
        self.network = SarganModel(generator, base.template.inset(size), precision)
        self.register_buffer("mask", face_masks(base, size), persistent=False)

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
        window = middle(image, self.network.template.size)
        owner = torch.tensor([row[0] for row in rows], device=image.device)
        kinds = torch.tensor([row[1] for row in rows], device=image.device)
        weights = torch.tensor([row[2] for row in rows], device=image.device).view(-1, 1, 1, 1)
        labels = one_hot(kinds, len(LABELS), image.device)
        change = self.network.change(window.clamp(0, 1), labels, owner)
        window.index_add_(0, owner, weights * self.get_buffer("mask")[kinds] * change)
        return EditedCrops(image, edited.flow, edited.keep)


def middle(crops: Tensor, size: int) -> Tensor:
    """Return the middle ``size`` x ``size`` pixels of (..., S, S), as a view."""
    margin = (crops.shape[-1] - size) // 2
    return crops[..., margin : margin + size, margin : margin + size]


def face_masks(base: PixelModel, size: int) -> Tensor:
    """Return where each expression of ``base`` lies on its crop: (7, 1, size, size) in [0, 1], in label order."""
    masks = [face_mask(base.goal(expression), base.template.size) for expression in LABELS]
    return middle(torch.stack(masks).float(), size)
