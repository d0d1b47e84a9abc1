"""The interface that every expression model fulfils."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

from torch import nn

from sargan_core.errors import UsageError
from sargan_core.expressions import ExpressionMix
from sargan_core.faces.align import Alignment, align
from sargan_core.faces.face import EditedCrops, Face, FaceCrops, NeutralEstimate, Pixels, Template
from sargan_core.faces.lip_line import with_sure_lips
from sargan_core.units import UnitMix


@dataclass(frozen=True, eq=False)
class Reference:
    """A face whose expression another face is to take over.

    Attributes:
        crops: the reference's face as a batch of one, in the template of the model that will read it.
        name: the photo's name without its folder, e.g. ``friend.jpg``.
        strength: 0 = no change, 1 = the expression of the reference, up to 2 = exaggerated.
        shown: probabilities of the seven expressions (``expressions.LABELS``) that the judge sees in it; empty = it
            was not asked, and edits with this reference are not checked.
        code: the expression as a code of face units (``sargan_core.units.CODE_NAMES``); empty = the model reads
            none; NaN = that unit cannot be seen, and the model guesses it.
        notes: what a user should know about the reference.
    """

    crops: FaceCrops
    name: str
    strength: float = 1.0
    shown: tuple[float, ...] = ()
    code: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"like {self.name}"

    @property
    def is_identity(self) -> bool:
        """Whether no change at all is asked for."""
        return self.strength == 0

    def scaled(self, strength: float) -> Reference:
        """Return the reference with its strength multiplied by ``strength``."""
        return replace(self, strength=self.strength * strength)


Target: TypeAlias = ExpressionMix | Reference | UnitMix
OneTarget = TypeVar("OneTarget", ExpressionMix, Reference)


class ExpressionModel(nn.Module, ABC):
    """A model that changes the expression of aligned crops.

    Attributes:
        name: the model's name on the command line, e.g. ``sargan``.
        template: the alignment the crops must have, stored with the weights.
        takes_reference: whether a target may be a reference (a photo); most such models take nothing else.
        precision: what it computes in, ``fp32`` or ``bf16``.
    """

    name: str
    template: Template
    takes_reference: bool = False
    precision: str = "fp32"

    def neutral_estimate(self) -> NeutralEstimate | None:
        """Return what estimates a face's neutral landmarks for ``align``, None if the model needs none."""
        return None

    def read_code(self, crops: FaceCrops, name: str) -> tuple[float, ...]:
        """Return the expression of the one face of ``crops`` as a code of face units; empty = the model reads none.

        Args:
            crops: a batch of one, aligned by this model.
            name: of the photo, for messages.

        Raises:
            NoFaceError: too little is known of the face.
        """
        return ()

    def align(self, pixels: Pixels, face: Face) -> Alignment:
        """Fit the model's template to a face.

        Args:
            pixels: (H, W, 3) uint8 or uint16 RGB photo.
            face: a face found in it.

        Raises:
            NoFaceError: the face's points do not span a plane.
        """
        if self.template.kind == "spline" and face.landmarks is not None:
            # Closed lips, of which one is lighter or fuller, are easily found as parted.
            face = replace(face, landmarks=with_sure_lips(pixels, face.landmarks))
        return align(face, self.template, self.neutral_estimate())

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
            "the expression of a photo (--like) and face units (--units) need --model units",
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
            "an expression by name (--expr) needs another model, such as --model pixel, and --units --model units",
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
