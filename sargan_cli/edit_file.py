"""The work of ``sargan edit`` on one photo: read, edit, write, report."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sargan_cli.console import Console, FileReport, failure, print_bytes, say_error
from sargan_cli.expressions import read_like
from sargan_cli.files import FilePair, check_free, display_name, read_input
from sargan_cli.importing import importing
from sargan_core.errors import WeightsError
from sargan_core.expressions import ExpressionMix, Like
from sargan_core.outcome import Outcome, face_json, worst_face_json
from sargan_core.units import UnitMix, code_json

if TYPE_CHECKING:
    from sargan_core.editor import Editor
    from sargan_core.models.base import Reference, Target
    from sargan_core.photo.metadata import Provenance
    from sargan_core.photo.photo import Photo

Details = dict[str, Any]


@dataclass(frozen=True)
class EditRequest:
    """What to do with every photo of a call.

    Attributes:
        mix: the expressions or face units before ``strength``; empty for a grid or a reference.
        strength: factor on the mix.
        grid: make a contact sheet.
        animate: make a loop of rising strength.
        metadata: ``keep`` or ``strip``.
        provenance: write the mark into the result.
        overwrite: replace an existing output.
        max_pixels: refuse larger photos; None = the library's own limit.
        like: the photo that shows the expression, instead of a mix.
    """

    mix: ExpressionMix | UnitMix
    strength: float
    grid: bool
    animate: bool
    metadata: Literal["keep", "strip"]
    provenance: bool
    overwrite: bool
    max_pixels: int | None = None
    like: Like | None = None

    @property
    def expression(self) -> str:
        """The expression as a report and the provenance mark name it."""
        return "all" if self.grid else str(self.like or self.mix)


class FileEditor:
    """Edits the photos of a call, one after the other.

    The editor is built after the first photo was read, because loading the networks takes a second.

    Args:
        request: what to do with every photo.
        model: name of the model.
        settings: the other fields of ``EditSettings``.
    """

    def __init__(self, request: EditRequest, model: str, **settings: Any) -> None:
        self._request = request
        self._model = model
        self._settings = settings
        self._editor: Editor | None = None
        self._reference: Reference | None = None

    def target(self) -> Target:
        """Return the target of the edits; a reference photo is read once.

        Raises:
            UsageError: the reference cannot be read, or as ``Editor.reference``.
            NoFaceError: there is no face in it.
            WeightsError: the model cannot be loaded.
        """
        request = self._request
        if request.like is None:
            return request.mix.scaled(request.strength)
        if self._reference is None:
            photo, _ = read_like(request.like, request.max_pixels)
            self._reference = self._load().reference(photo, request.like.face)
        return self._reference.scaled(request.strength)

    def edit(self, task: FilePair, console: Console) -> FileReport:
        """Edit one photo and return the report on it; an error ends this photo only.

        Raises:
            WeightsError: the model cannot be loaded, so no photo can be edited.
            BrokenPipeError: stdout is not read any more.
        """
        source = display_name(task.source)
        details: Details = {
            "faces": [],
            **self._model_details(),
            "expression": self._request.expression,
            "strength": self._request.strength,
            "seconds": {},
            "notes": [],
        }
        seconds = details["seconds"]
        started = time.perf_counter()
        reading = True
        try:
            check_free(task.target, self._request.overwrite)
            photo = read_input(task.source, self._request.max_pixels)
            seconds["read"] = time.perf_counter() - started
            details["notes"] += photo.notes
            reading = False
            loading = time.perf_counter()
            self._load()
            details.update(self._model_details())
            seconds["load"] = time.perf_counter() - loading
            self._make(photo, task, details)
        except (WeightsError, BrokenPipeError):
            raise
        except Exception as error:  # one bad photo must not stop the others
            report = failure(source, error, reading=reading, details=details)
            say_error(error, report.message, console)
            return report
        finally:
            seconds["total"] = time.perf_counter() - started
            details["seconds"] = {stage: round(value, 4) for stage, value in seconds.items()}
        return FileReport(source, str(task.target), Outcome.DONE, "", details)

    def _load(self) -> Editor:
        if self._editor is None:
            with importing():
                from sargan_core.editor import Editor, EditSettings

            self._editor = Editor(EditSettings(self._model, **self._settings))
        return self._editor

    def _model_details(self) -> dict[str, str]:
        """Return name and precision of the model; both may change when it is loaded, with ``--weights``."""
        if self._editor is None:
            return {"model": self._model, "precision": ""}
        return {"model": self._editor.model.name, "precision": self._editor.model.precision}

    def _make(self, photo: Photo, task: FilePair, details: Details) -> None:
        """Make and write the result; fill in ``details``."""
        started = time.perf_counter()
        if self._request.animate:
            from sargan_core.animation import strength_ramp, write_animation

            animation = strength_ramp(self._load(), photo, self.target())
            details["seconds"]["edit"] = time.perf_counter() - started
            details["faces"] = [face_json(edit) for edit in animation.faces]
            write_animation(
                animation, task.target, overwrite=self._request.overwrite, provenance=self._mark()
            )
        elif self._request.grid:
            from sargan_core.sheet import expression_sheet

            sheet = expression_sheet(self._load(), photo, self._request.strength)
            details["seconds"]["edit"] = time.perf_counter() - started
            by_face = zip(*(edits for _, edits in sheet.edits), strict=True)
            details["faces"] = [worst_face_json(edits) for edits in by_face]
            self._write(sheet.photo, task, details)
        else:
            target = self.target()
            if not isinstance(target, ExpressionMix) and target.code:
                details["code"] = code_json(target.code)
            edited = self._load().edit(photo, target)
            details["faces"] = [face_json(edit) for edit in edited.faces]
            details["seconds"].update(edited.seconds)
            self._write(edited.photo, task, details)

    def _write(self, photo: Photo, task: FilePair, details: Details) -> None:
        from sargan_core.photo.files import write_atomically
        from sargan_core.photo.photo import render_photo

        started = time.perf_counter()
        name = None if task.in_place or task.to_stdout else task.target
        data, note = render_photo(photo, name, metadata=self._request.metadata, provenance=self._mark())
        if note:
            details["notes"].append(note)
        if task.to_stdout:
            print_bytes(data)
        else:
            write_atomically(task.target, data, overwrite=self._request.overwrite)
        details["seconds"]["write"] = time.perf_counter() - started

    def _mark(self) -> Provenance | None:
        from sargan_core import __version__
        from sargan_core.photo.metadata import Provenance

        if not self._request.provenance:
            return None
        model = self._model_details()["model"]
        return Provenance(model, self._request.expression, self._request.strength, __version__)
