"""The self-check of an edit: does the face show the expression, and is it still the same person?

A small network (``models/judge``) sees every face before and after the edit. Its figures help to compare edits and to
notice failed ones; they do not measure emotion or identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sargan_core.device import one_thread
from sargan_core.errors import WeightsError
from sargan_core.expressions import LABELS, ExpressionMix
from sargan_core.faces.align import Alignment, align, extract
from sargan_core.faces.face import Face, Pixels
from sargan_core.models.base import Reference
from sargan_core.models.judge.network import Judge, load_judge

Probabilities = npt.NDArray[np.float64]
# Targets that can be checked: the judge knows only the seven expressions.
Checked: TypeAlias = ExpressionMix | Reference

# An edit with a smaller sum of weights is not meant to show the whole expression.
FULL_STRENGTH = 0.8
# An edit failed if the wanted expression reaches less than the first value and rose by less than the second.
REACHED_TOO_LOW = 0.25
ROSE_TOO_LITTLE = 0.10
# Below this cosine the face counts as another person's; fewer than 3 % of good edits of held-out people lie below it
# (docs/check.md, benchmarks/check_edits.py).
OTHER_FACE = 0.55


@dataclass(frozen=True)
class FaceCheck:
    """What the judge says about one edited face.

    Attributes:
        expression: the expression that the face shows after the edit, a name of ``expressions.Expression``.
        reached: how much the face shows what was asked for, 0..1: the probability of the wanted expression (for a mix
            the sum), or for a reference the overlap of both faces' probabilities.
        before: the same for the face before the edit.
        identity: cosine of the embeddings before and after; 1 = the same face, near 0 = any other.
        warnings: sentences for the user.
    """

    expression: str
    reached: float
    before: float
    identity: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class SeenFaces:
    """The faces of one photo as the judge sees them, one row per face.

    Attributes:
        alignments: from the photo to the judge's crops.
        crops: (B, 3, S, S) float32, those crops.
        judge: the network.
    """

    alignments: tuple[Alignment, ...]
    crops: Tensor
    judge: Judge

    @property
    def probabilities(self) -> Probabilities:
        """The judge's probabilities, (B, 7) float64 in the order of ``expressions.LABELS``, rows sum to 1."""
        return _judged(self.judge, self.crops)[0]


class EditChecker:
    """Checks edits; build it once and use it from any thread.

    Args:
        device: of the judge's network.

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
        """Return the faces of a photo, (H, W, 3) RGB, as the judge sees them."""
        return self._see(pixels, tuple(align(face, self._judge.template) for face in faces))

    def compare(self, before: SeenFaces, edited: Pixels, target: Checked) -> tuple[FaceCheck, ...]:
        """Return one check per face.

        Args:
            before: the faces before the edit, from ``look``.
            edited: (H, W, 3) RGB, the photo after the edit of all these faces.
            target: what was asked for.
        """
        # Both in one batch, which takes little longer than one of them.
        both = torch.cat([before.crops, self._see(edited, before.alignments).crops])
        probabilities, embeddings = (np.split(rows, 2) for rows in _judged(self._judge, both))
        identities = (embeddings[0] * embeddings[1]).sum(1)
        rows = zip(*probabilities, identities.tolist(), strict=True)
        return tuple(face_check(target, *row) for row in rows)

    def _see(self, pixels: Pixels, alignments: tuple[Alignment, ...]) -> SeenFaces:
        with torch.inference_mode(), one_thread():
            crops = torch.cat([extract(pixels, alignment, self._device) for alignment in alignments])
        return SeenFaces(alignments, crops, self._judge)


def _judged(judge: Judge, crops: Tensor) -> tuple[Probabilities, npt.NDArray[np.float64]]:
    """Return the probabilities (B, 7) and embeddings (B, D), rows of length 1, of (B, 3, S, S) crops."""
    with torch.inference_mode(), one_thread():
        logits, embeddings = judge.judge(crops)
        probabilities = logits.softmax(1)
    return probabilities.cpu().double().numpy(), embeddings.cpu().double().numpy()


def face_check(target: Checked, before: Probabilities, after: Probabilities, identity: float) -> FaceCheck:
    """Return the check of one face.

    Args:
        target: what was asked for.
        before: (7,) probabilities before the edit.
        after: (7,) probabilities after the edit.
        identity: cosine of the embeddings before and after.
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
    """Return how much (7,) probabilities show what ``target`` asks for, 0..1."""
    if isinstance(target, Reference):
        return float(np.minimum(probabilities, np.asarray(target.shown)).sum())
    return float(sum(probabilities[expression.label] for expression, share in target.parts if share > 0))


def weight(target: Checked) -> float:
    """Return the strength asked for: the sum of a mix's weights, or the strength of a reference."""
    if isinstance(target, Reference):
        return target.strength
    return sum(share for _, share in target.parts)
