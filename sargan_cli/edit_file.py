"""The work of ``sargan edit`` on one photo: read, edit, write, report."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sargan_cli.console import Console, FileReport, failure, print_bytes, say_error
from sargan_cli.expressions import read_like
from sargan_cli.files import Task, check_free, display_name, read_input
from sargan_core.errors import WeightsError
from sargan_core.expressions import ExpressionMix, Like
from sargan_core.outcome import Outcome, face_json, worst_face_json
from sargan_core.units import UnitMix, code_json

if TYPE_CHECKING:
    from sargan_core.editor import Editor
    from sargan_core.models.base import Reference, Target
    from sargan_core.photo.photo import Photo
    from sargan_core.photo.provenance import Provenance


@dataclass(frozen=True)
class EditRequest:
    """What is made of every photo of a call.

    Attributes:
        mix: the expressions or face units before ``strength``; empty for a grid and a reference.
        strength: factor on the mix.
        grid: make a contact sheet.
        animate: make a loop of rising strength.
        metadata: ``keep`` or ``strip``.
        provenance: mark the result.
        overwrite: replace an existing output.
        max_pixels: refuse photos of more; None = the library's own limit.
        like: the photo whose expression is wanted, instead of a mix.
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


class Session:
    """The editor and the target of a call, made when first needed, because loading the networks takes a second.

    Args:
        model: name of the model.
        settings: the other fields of ``EditSettings``.
    """

    def __init__(self, model: str, **settings: Any) -> None:
        self._model = model
        self._settings = settings
        self._editor: Editor | None = None
        self._reference: Reference | None = None

    @property
    def model(self) -> str:
        """The loaded model's own name (``--weights`` may change it); before loading, the one asked for."""
        return self._model if self._editor is None else self._editor.model.name

    @property
    def precision(self) -> str:
        """Number format that the loaded model computes in; empty before loading."""
        return "" if self._editor is None else self._editor.model.precision

    def load(self) -> Editor:
        """Return the editor, built at the first call.

        Raises:
            WeightsError, UsageError: as ``Editor``.
        """
        if self._editor is None:
            from sargan_core.editor import Editor, EditSettings

            self._editor = Editor(EditSettings(self._model, **self._settings))
        return self._editor

    def target(self, request: EditRequest) -> Target:
        """Return what the editor is asked for; a reference photo is read once.

        Raises:
            UsageError: the reference cannot be read, or as ``Editor.reference``.
            NoFaceError: nobody is on it.
            WeightsError: as ``load``.
        """
        if request.like is None:
            return request.mix.scaled(request.strength)
        if self._reference is None:
            photo, _ = read_like(request.like, request.max_pixels)
            self._reference = self.load().reference(photo, request.like.face)
        return self._reference.scaled(request.strength)


def edit_file(task: Task, request: EditRequest, session: Session, console: Console) -> FileReport:
    """Edit one photo and return the report on it; an error ends this photo only.

    Raises:
        WeightsError: the model cannot be loaded, so no photo can be edited.
        BrokenPipeError: nobody reads stdout any more.
    """
    source = display_name(task.source)
    details: dict[str, Any] = {
        "faces": [],
        "model": session.model,
        "precision": session.precision,
        "expression": request.expression,
        "strength": request.strength,
        "seconds": {},
        "notes": [],
    }
    started = time.perf_counter()
    reading = True
    try:
        check_free(task.target, request.overwrite)
        photo = read_input(task.source, request.max_pixels)
        details["seconds"]["read"] = time.perf_counter() - started
        details["notes"] += photo.notes
        reading = False
        loading = time.perf_counter()
        details["model"] = session.load().model.name
        details["precision"] = session.precision
        details["seconds"]["load"] = time.perf_counter() - loading
        _make(photo, task, request, session, details)
    except (WeightsError, BrokenPipeError):
        raise
    except Exception as error:  # one bad photo must not end the others
        report = failure(source, error, reading=reading, details=details)
        say_error(error, report.message, console)
        return report
    finally:
        details["seconds"]["total"] = time.perf_counter() - started
        details["seconds"] = {stage: round(value, 4) for stage, value in details["seconds"].items()}
    return FileReport(source, str(task.target), Outcome.DONE, "", details)


def _make(photo: Photo, task: Task, request: EditRequest, session: Session, details: dict[str, Any]) -> None:
    """Make and write what was asked for; fills in ``details``."""
    if request.animate:
        _animate(photo, task, request, session, details)
        return
    if request.grid:
        result = _grid(photo, request, session, details)
    else:
        target = session.target(request)
        if not isinstance(target, ExpressionMix) and target.code:
            details["code"] = code_json(target.code)
        edited = session.load().edit(photo, target)
        details["faces"] = [face_json(edit) for edit in edited.faces]
        details["seconds"].update(edited.seconds)
        result = edited.photo
    _write(result, task, request, session, details)


def _grid(photo: Photo, request: EditRequest, session: Session, details: dict[str, Any]) -> Photo:
    from sargan_core.sheet import expression_sheet

    started = time.perf_counter()
    sheet = expression_sheet(session.load(), photo, request.strength)
    details["seconds"]["edit"] = time.perf_counter() - started
    by_face = zip(*(edits for _, edits in sheet.edits), strict=True)
    details["faces"] = [worst_face_json(edits) for edits in by_face]
    return sheet.photo


def _animate(
    photo: Photo, task: Task, request: EditRequest, session: Session, details: dict[str, Any]
) -> None:
    from sargan_core.animation import strength_ramp, write_animation

    started = time.perf_counter()
    animation = strength_ramp(session.load(), photo, session.target(request))
    details["seconds"]["edit"] = time.perf_counter() - started
    details["faces"] = [face_json(edit) for edit in animation.faces]
    write_animation(animation, task.target, overwrite=request.overwrite, provenance=_mark(request, session))


def _write(photo: Photo, task: Task, request: EditRequest, session: Session, details: dict[str, Any]) -> None:
    from sargan_core.photo.files import write_atomically
    from sargan_core.photo.photo import render_photo

    started = time.perf_counter()
    name = None if task.in_place or task.to_stdout else task.target
    data, note = render_photo(photo, name, metadata=request.metadata, provenance=_mark(request, session))
    if note:
        details["notes"].append(note)
    if task.to_stdout:
        print_bytes(data)
    else:
        write_atomically(task.target, data, overwrite=request.overwrite)
    details["seconds"]["write"] = time.perf_counter() - started


def _mark(request: EditRequest, session: Session) -> Provenance | None:
    from sargan_core import __version__
    from sargan_core.photo.provenance import Provenance

    if not request.provenance:
        return None
    return Provenance(session.model, request.expression, request.strength, __version__)
