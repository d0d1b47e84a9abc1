"""The interface that every expression model fulfils."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sargan_core.expressions import ExpressionMix
from sargan_core.faces.align import RestShape, Template


@dataclass(frozen=True)
class FaceCrops:
    """Aligned crops as a model sees them.

    Attributes:
        image: (B, 3, S, S) float32 RGB in [0, 1], in the model's own template.
        landmarks: (B, 68, 2) float32 crop pixels, (x, y), x to the right, y down, pixel centres at
            integers, iBUG-68 order; NaN for a face of which only the detector's five points are known.
        rest: as ``landmarks``, where they would lie if the face were neutral; None = they lie there.
    """

    image: Tensor
    landmarks: Tensor
    rest: Tensor | None = None

    @classmethod
    def concatenate(cls, parts: Sequence[FaceCrops]) -> FaceCrops:
        """Return the crops of all parts as one batch; all parts have ``rest`` or none has."""
        rests = [part.rest for part in parts if part.rest is not None]
        return cls(
            torch.cat([part.image for part in parts]),
            torch.cat([part.landmarks for part in parts]),
            torch.cat(rests) if rests else None,
        )


@dataclass(frozen=True)
class EditedCrops:
    """What a model answers.

    Attributes:
        image: (B, 3, S, S) float32 RGB; may leave [0, 1] a little, the paste clips.
        flow: (B, 2, S, S) float32 crop pixels, channel 0 = x, 1 = y: the content of pixel ``p`` came from
            ``p + flow(p)``, so that the photo's fine detail can follow. None = nothing moved.
        keep: (B, 1, S, S) in [0, 1]: how much of the photo's own fine detail (what the crop is too small to
            show) each pixel keeps. None = decided by the paste from the size of the change.
    """

    image: Tensor
    flow: Tensor | None = None
    keep: Tensor | None = None

    def part(self, start: int, end: int) -> EditedCrops:
        """Return the answers from ``start`` up to before ``end``."""
        return EditedCrops(
            self.image[start:end],
            None if self.flow is None else self.flow[start:end],
            None if self.keep is None else self.keep[start:end],
        )


class ExpressionModel(nn.Module, ABC):
    """A model that changes the expression of aligned crops.

    Attributes:
        name: the model's name on the command line, e.g. ``sargan``.
        template: the alignment the crops must have, stored with the weights.
    """

    name: str
    template: Template

    def rest_shape(self) -> RestShape | None:
        """Return what estimates a face's neutral landmarks for ``align``, None if the model needs none."""
        return None

    @abstractmethod
    def edit(self, crops: FaceCrops, targets: Sequence[ExpressionMix]) -> EditedCrops:
        """Return each crop with its target expression.

        Args:
            crops: B aligned crops on the model's device.
            targets: B mixes, one a crop; a weight is the strength of that expression, 0 = unchanged, 1 = full,
                up to 2 = exaggerated.

        Returns:
            B edited crops; a target whose weights are all 0 returns the crop itself, bit for bit.
        """
