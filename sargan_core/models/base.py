"""The interface that every expression model fulfils."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from sargan_core.errors import UsageError
from sargan_core.expressions import ExpressionMix
from sargan_core.faces.align import Alignment, RestShape, Template, align
from sargan_core.faces.find import Face, Pixels


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


@dataclass(frozen=True, eq=False)
class Reference:
    """A face whose expression another face is to take over.

    Attributes:
        crops: the reference's face as a batch of one, in the template of the model that will read it.
        name: the photo's name without its folder, e.g. ``friend.jpg``.
        strength: 0 = no change, 1 = the expression of the reference, up to 2 = exaggerated.
        shown: probabilities of the seven expressions (``expressions.LABELS``) that the judge sees in it; empty = it
            was not asked, and edits with this reference are not checked.
    """

    crops: FaceCrops
    name: str
    strength: float = 1.0
    shown: tuple[float, ...] = ()

    def __str__(self) -> str:
        return f"like {self.name}"

    @property
    def is_identity(self) -> bool:
        """Whether no change at all is asked for."""
        return self.strength == 0

    def scaled(self, strength: float) -> Reference:
        """Return the reference with its strength multiplied by ``strength``."""
        return replace(self, strength=self.strength * strength)


Target: TypeAlias = ExpressionMix | Reference
OneTarget = TypeVar("OneTarget", ExpressionMix, Reference)


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
        takes_reference: whether the targets are references (photos) instead of mixes (names).
    """

    name: str
    template: Template
    takes_reference: bool = False

    def rest_shape(self) -> RestShape | None:
        """Return what estimates a face's neutral landmarks for ``align``, None if the model needs none."""
        return None

    def align(self, pixels: Pixels, face: Face) -> Alignment:
        """Fit the model's template to a face.

        Args:
            pixels: (H, W, 3) uint8 or uint16 RGB photo.
            face: a face found in it.

        Raises:
            NoFaceError: the face's points do not span a plane.
        """
        return align(face, self.template, self.rest_shape())

    @abstractmethod
    def edit(self, crops: FaceCrops, targets: Sequence[Target]) -> EditedCrops:
        """Return each crop with its target expression.

        Args:
            crops: B aligned crops on the model's device.
            targets: B mixes or references, one a crop; a weight is the strength of that expression, 0 = unchanged,
                1 = full, up to 2 = exaggerated.

        Returns:
            B edited crops; a target whose weights are all 0 returns the crop itself, bit for bit.

        Raises:
            UsageError: targets of the kind that this model does not take.
        """

    def mixes(self, targets: Sequence[Target]) -> list[ExpressionMix]:
        """Return ``targets`` of a model that takes mixes.

        Raises:
            UsageError: one of them is a reference.
        """
        return _all_of(
            ExpressionMix,
            targets,
            f"'{self.name}' takes an expression by name (--expr happy); "
            "the expression of a photo (--like) needs --model aipgan",
        )

    def references(self, targets: Sequence[Target]) -> list[Reference]:
        """Return ``targets`` of a model that takes references.

        Raises:
            UsageError: one of them is a mix.
        """
        return _all_of(
            Reference,
            targets,
            f"'{self.name}' takes the expression of a photo (--like PHOTO); "
            "an expression by name (--expr) needs another model, such as --model pixel",
        )


def _all_of(kind: type[OneTarget], targets: Sequence[Target], otherwise: str) -> list[OneTarget]:
    """Return ``targets``, all of one kind.

    Raises:
        UsageError: saying ``otherwise``, if one is not.
    """
    found = [target for target in targets if isinstance(target, kind)]
    if len(found) < len(targets):
        raise UsageError(otherwise)
    return found
