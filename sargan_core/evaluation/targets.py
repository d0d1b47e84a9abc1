"""What a model is asked for: an expression by name, or the expression of a test photo of another person."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sargan_core.errors import NoFaceError
from sargan_core.evaluation.protocol import Case
from sargan_core.evaluation.view import View, Viewer
from sargan_core.expressions import Expression, ExpressionMix
from sargan_core.faces.find import select_faces
from sargan_core.photo import read_photo

if TYPE_CHECKING:
    from sargan_core.editor import Editor
    from sargan_core.models.base import Target

# References that are kept; neighbouring photos share theirs.
KEPT = 16


@dataclass(frozen=True)
class Wanted:
    """The target of one edit.

    Attributes:
        target: at full strength.
        reference: the face that lends its expression; None for an expression by name.
    """

    target: Target
    reference: View | None = None


class Targets:
    """Makes the targets for one editor.

    Args:
        editor: its model says whether it wants names or photos.
        viewer: judges the reference faces.
    """

    def __init__(self, editor: Editor, viewer: Viewer) -> None:
        self._editor = editor
        self._viewer = viewer
        self._kept: OrderedDict[Path, Wanted] = OrderedDict()

    def of(self, case: Case, expression: Expression) -> Wanted | None:
        """Return what to ask for; None if the model needs a photo and no other test person has one.

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
        faces = self._viewer.finder.find(photo.pixels)
        view = self._viewer.view(photo.pixels, select_faces(faces, "largest")[0]) if faces else None
        if view is None:
            raise NoFaceError(f"{path}: no face found in the photo that lends its expression; leave it out")
        return Wanted(self._editor.reference(photo), view)
