"""Find, crop and judge the faces of an evaluation, and make the targets of its edits."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sargan_core.errors import NoFaceError
from sargan_core.evaluation.judges import FaceJudge, Verdicts
from sargan_core.evaluation.protocol import Case
from sargan_core.expressions import Expression, ExpressionMix
from sargan_core.faces.align import Alignment, align, extract
from sargan_core.faces.face import Face, Pixels
from sargan_core.faces.find import FaceFinder, select_faces
from sargan_core.faces.masks import face_mask
from sargan_core.models.judge.network import face_oval
from sargan_core.photo.photo import read_photo
from sargan_core.photo.planes import shrunk

if TYPE_CHECKING:
    from sargan_core.editor import Editor
    from sargan_core.models.base import Target


# A face is searched in a window of this many times its box, reduced to at most this side. That is finer than the input
# of the landmark network, and four times as fast as the whole photo.
WINDOW = 2.0
WINDOW_SIDE = 320
# Smallest intersection over union of two boxes of the same face.
SAME_FACE = 0.3


@dataclass(frozen=True)
class View:
    """A face that was found, and the judges' verdicts.

    Attributes:
        face: in photo pixels.
        verdicts: by judge; a batch of one each.
    """

    face: Face
    verdicts: dict[str, Verdicts]


class Viewer:
    """Finds a face in an edited photo and asks the judges; used for inputs and true pictures as well.

    Args:
        finder: finds faces.
        judges: asked about every face.
        device: where the judges' crops are made.
    """

    def __init__(self, finder: FaceFinder, judges: Sequence[FaceJudge], device: str = "cpu") -> None:
        self.finder = finder
        self.judges = judges
        self.device = device

    def view(self, pixels: Pixels, near: Face) -> View | None:
        """Return the face at the place of ``near`` with the judges' verdicts; None if there is none."""
        face = self.find_again(pixels, near)
        if face is None:
            return None
        verdicts = {}
        for judge in self.judges:
            crop = extract(pixels, align(face, judge.template), self.device).clamp(0, 1)
            verdicts[judge.name] = judge.judge(crop)
        return View(face, verdicts)

    def view_largest(self, pixels: Pixels) -> tuple[Face | None, View | None]:
        """Return the largest face as the finder finds it, and its ``view``; None for what is not found."""
        faces = self.finder.find(pixels)
        if not faces:
            return None, None
        face = select_faces(faces, "largest")[0]
        return face, self.view(pixels, face)

    def find_again(self, pixels: Pixels, near: Face) -> Face | None:
        """Return the face that overlaps ``near`` most, in photo pixels."""
        x, y, width, height = near.box
        reach = WINDOW * max(width, height) / 2
        centre = x + width / 2, y + height / 2
        x0, y0 = (max(0, int(middle - reach)) for middle in centre)
        x1 = min(pixels.shape[1], int(centre[0] + reach) + 1)
        y1 = min(pixels.shape[0], int(centre[1] + reach) + 1)
        window, scale = shrunk(np.ascontiguousarray(pixels[y0:y1, x0:x1]), WINDOW_SIDE)
        found = [face.scaled(1 / scale, (x0, y0)) for face in self.finder.find(window)]
        best = max(found, key=lambda face: _intersection_over_union(face.box, near.box), default=None)
        if best is None or _intersection_over_union(best.box, near.box) < SAME_FACE:
            return None
        return replace(best, number=near.number)


def frame(pixels: Pixels, alignment: Alignment) -> Tensor:
    """Return the (1, 3, S, S) float32 crop in [0, 1] of the common frame, on the CPU."""
    return extract(pixels, alignment).clamp(0, 1)


def face_in_frame(alignment: Alignment) -> Tensor:
    """Return the mask of the face in the common frame, (1, 1, S, S) float32 in [0, 1]; an oval without landmarks."""
    if alignment.landmarks is None:
        return face_oval(alignment.template.size)[None, None]
    mask: Tensor = face_mask(alignment.landmarks.astype(np.float64), alignment.template.size)
    return mask[None].to(torch.float32)


def _intersection_over_union(
    one: tuple[float, float, float, float], two: tuple[float, float, float, float]
) -> float:
    """Return the intersection over union of two boxes."""
    width = min(one[0] + one[2], two[0] + two[2]) - max(one[0], two[0])
    height = min(one[1] + one[3], two[1] + two[3]) - max(one[1], two[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (one[2] * one[3] + two[2] * two[3] - shared)


# Number of references kept in memory; consecutive photos share theirs.
KEPT = 16


@dataclass(frozen=True)
class Wanted:
    """The target of one edit.

    Attributes:
        target: at full strength.
        reference: the face of the reference photo; None for an expression by name.
    """

    target: Target
    reference: View | None = None


class Targets:
    """Makes the targets for one editor.

    Args:
        editor: its model takes names, or photos of expressions.
        viewer: finds and judges the reference faces.
    """

    def __init__(self, editor: Editor, viewer: Viewer) -> None:
        self._editor = editor
        self._viewer = viewer
        self._kept: OrderedDict[Path, Wanted] = OrderedDict()

    def of(self, case: Case, expression: Expression) -> Wanted | None:
        """Return the target; None if the model needs a photo and no other test person has one.

        Raises:
            PhotoError, NoFaceError: the reference photo cannot be used.
        """
        if not self._editor.model.takes_reference:
            return Wanted(ExpressionMix(((expression, 1.0),)))
        path = case.reference(expression)
        if path is None:
            return None
        if path not in self._kept:
            self._kept[path] = self._wanted(path)
        self._kept.move_to_end(path)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[path]

    def _wanted(self, path: Path) -> Wanted:
        photo = read_photo(path)
        _, view = self._viewer.view_largest(photo.pixels)
        if view is None:
            raise NoFaceError(f"{path}: no face found in this reference photo; leave it out")
        return Wanted(self._editor.reference(photo), view)
