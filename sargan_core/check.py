"""The self-check of an edit: is the expression there, and is it still the same face?

A small network of our own (``models/judge``) looks at every edited face before and after. Its figures are for
comparing edits with each other and for noticing those that failed; they are no measurement of emotion or identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from sargan_core.device import one_thread
from sargan_core.errors import WeightsError
from sargan_core.expressions import LABELS, ExpressionMix
from sargan_core.faces.align import Alignment, align, extract
from sargan_core.faces.face import Face, Pixels
from sargan_core.models.base import Reference
from sargan_core.models.judge.network import load_judge

Probabilities = npt.NDArray[np.float64]
# Targets that a judge of the seven expressions can say something about.
Checked: TypeAlias = ExpressionMix | Reference

# Below this sum of weights an edit is not meant to show the whole expression.
FULL_STRENGTH = 0.8
# An edit failed if the wanted expression ends below the first and rose by less than the second.
REACHED_TOO_LOW = 0.25
ROSE_TOO_LITTLE = 0.10
# Below this cosine another face is to be seen: fewer than 3 in 100 good edits of held-out people lie below it (see
# docs/check.md and benchmarks/check_edits.py).
OTHER_FACE = 0.55


@dataclass(frozen=True)
class FaceCheck:
    """What the judge says of one edited face.

    Attributes:
        expression: what the face shows after the edit, a name of ``expressions.Expression``.
        reached: 0..1, how much it shows what was asked for: the probability of the wanted expression (summed over
            those of a mix), or for a reference the overlap of both faces' probabilities.
        before: as ``reached``, of the face before the edit.
        identity: cosine of the embeddings before and after; 1 = the same face, near 0 = anybody's.
        warnings: what the user should know.
    """

    expression: str
    reached: float
    before: float
    identity: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class SeenFaces:
    """Faces of one photo as the judge sees them; arrays share their first index.

    Attributes:
        alignments: photo to judge's crop, one a face.
        probabilities: (B, 7) float64 in the order of ``expressions.LABELS``, rows sum to 1.
        embeddings: (B, D) float64 of length 1 each.
    """

    alignments: tuple[Alignment, ...]
    probabilities: Probabilities
    embeddings: npt.NDArray[np.float64]


class EditChecker:
    """Checks edits; build it once. May be used from several threads.

    Args:
        device: where the judge runs.

    Raises:
        WeightsError: the judge's weights are missing or damaged.
    """

    def __init__(self, device: str = "cpu") -> None:
        try:
            self._judge = load_judge(device)
        except WeightsError as error:
            raise WeightsError(f"{error}; or leave the check of edits out with --no-check") from error
        self._device = device

    def look(self, pixels: Pixels, faces: Sequence[Face]) -> SeenFaces:
        """Return what the judge sees in the faces of a photo, (H, W, 3) RGB; all faces are one batch."""
        return self._see(pixels, tuple(align(face, self._judge.template) for face in faces))

    def compare(self, before: SeenFaces, edited: Pixels, target: Checked) -> tuple[FaceCheck, ...]:
        """Return one check a face.

        Args:
            before: the photo's faces before the edit.
            edited: (H, W, 3) RGB, the photo after it, with all its faces edited.
            target: what was asked for.
        """
        after = self._see(edited, before.alignments)
        identities = (before.embeddings * after.embeddings).sum(1)
        rows = zip(before.probabilities, after.probabilities, identities.tolist(), strict=True)
        return tuple(face_check(target, *row) for row in rows)

    def _see(self, pixels: Pixels, alignments: tuple[Alignment, ...]) -> SeenFaces:
        with torch.inference_mode(), one_thread():
            crops = torch.cat([extract(pixels, alignment, self._device) for alignment in alignments])
            logits, embeddings = self._judge.judge(crops)
            probabilities = logits.softmax(1)
        return SeenFaces(alignments, probabilities.cpu().double().numpy(), embeddings.cpu().double().numpy())


def face_check(target: Checked, before: Probabilities, after: Probabilities, identity: float) -> FaceCheck:
    """Return the check of one face.

    Args:
        target: what was asked for.
        before: (7,) probabilities of the face before the edit.
        after: (7,) of the face after it.
        identity: cosine of its embeddings.
    """
    was, reached = reaches(target, before), reaches(target, after)
    shown = str(LABELS[int(after.argmax())])
    warnings = []
    full = weight(target) >= FULL_STRENGTH
    if full and reached < REACHED_TOO_LOW and reached - was < ROSE_TOO_LITTLE:
        warnings.append(
            f"the face does not look {target} after the edit ({reached:.2f} of 1, {was:.2f} before); "
            "try a higher --strength or another --model"
        )
    if identity < OTHER_FACE:
        warnings.append(
            f"the face may no longer look like the same person (identity {identity:.2f} of 1); "
            "try a lower --strength"
        )
    return FaceCheck(shown, reached, was, identity, tuple(warnings))


def reaches(target: Checked, probabilities: Probabilities) -> float:
    """Return how much (7,) probabilities are what ``target`` asks for, 0..1."""
    if isinstance(target, Reference):
        return float(np.minimum(probabilities, np.asarray(target.shown)).sum())
    return float(sum(probabilities[expression.label] for expression, share in target.parts if share > 0))


def weight(target: Checked) -> float:
    """Return how strong an edit is meant to be: the sum of a mix's weights, or a reference's strength."""
    if isinstance(target, Reference):
        return target.strength
    return sum(share for _, share in target.parts)
