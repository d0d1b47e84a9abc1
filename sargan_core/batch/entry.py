"""One result of a batch, as a line of the manifest."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from sargan_core.errors import DataError
from sargan_core.files import shown
from sargan_core.outcome import Outcome

FORMAT = 1


@dataclass(frozen=True)
class Stamp:
    """A file's size in bytes and its time of change in nanoseconds: what tells cheaply that it is the same.

    Attributes:
        size: bytes.
        mtime_ns: time of change; None where it says nothing, because the file had changed just before.
    """

    size: int
    mtime_ns: int | None


@dataclass(frozen=True)
class Entry:
    """One line: what became of one photo under one expression and strength.

    Attributes:
        input: the photo, relative to the manifest's folder (absolute on another drive).
        input_sha256: of its content; empty if it could not be read.
        output: where the result is or would be, relative to the manifest's folder, with ``/``.
        options_sha256: of everything that decides what the result looks like.
        model: name of the model.
        expression: the expression or mix before ``strength``.
        strength: factor on it.
        outcome: ``done``, ``no_face``, ``unreadable`` or ``failed``.
        message: one line for people; empty if all went well.
        faces: one object a face, see ``edit_record.face_json``.
        seam: the worst face's, in 8-bit levels.
        seconds: time spent by stage.
        finished: time of the line, ISO 8601, UTC.
        input_stamp: of the photo when it was read.
        output_stamp: of the result.
        output_sha256: of the result's content; empty unless ``done``.
        notes: sentences about what the result does not hold of the photo.
    """

    input: str
    input_sha256: str
    output: str
    options_sha256: str
    model: str
    expression: str
    strength: float
    outcome: str
    message: str = ""
    faces: tuple[dict[str, Any], ...] = ()
    seam: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    finished: str = ""
    input_stamp: Stamp | None = None
    output_stamp: Stamp | None = None
    output_sha256: str = ""
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the entry as plain values."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, value: Any) -> Entry:
        """Return the entry that ``to_json`` made.

        Raises:
            DataError: a member is missing or of the wrong type, or the output leaves the manifest's folder.
        """
        if not isinstance(value, dict):
            raise DataError("is no object")
        if value.get("format") != FORMAT:
            raise DataError(
                f"has format {value.get('format')!r:.40}; this version of sargan reads format {FORMAT}"
            )
        texts = {name: _text(value, name) for name in _TEXTS}
        _check_output(texts["output"])
        if texts["outcome"] not in set(Outcome):
            raise DataError(f"has an unknown outcome {texts['outcome']!r:.40}")
        seam = value.get("seam")
        return cls(
            **texts,
            strength=_number(value.get("strength"), "strength"),
            faces=tuple(_objects(value.get("faces", []))),
            seam=None if seam is None else _number(seam, "seam"),
            seconds=_seconds(value.get("seconds", {})),
            input_stamp=_stamp(value.get("input_stamp")),
            output_stamp=_stamp(value.get("output_stamp")),
            notes=tuple(_strings(value.get("notes", []))),
        )


_TEXTS = (
    *("input", "input_sha256", "output", "options_sha256", "model", "expression", "outcome"),
    *("message", "finished", "output_sha256"),
)
_OPTIONAL_TEXTS = {"output_sha256"}


def _text(value: dict[str, Any], name: str) -> str:
    text = value.get(name, "" if name in _OPTIONAL_TEXTS else None)
    if not isinstance(text, str):
        raise DataError(f"has no text as {name}")
    return text


def _check_output(output: str) -> None:
    path = PurePosixPath(output)
    if not output or path.is_absolute() or ".." in path.parts or "\0" in output or Path(output).is_absolute():
        raise DataError(f"names an output outside its folder: {shown(output):.80}")


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"has no number as {name}")
    return float(value)


def _objects(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise DataError("has no list of objects as faces")
    return value


def _strings(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise DataError("has no list of texts as notes")
    return value


def _seconds(value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        raise DataError("has no object as seconds")
    return {str(stage): _number(spent, "seconds") for stage, spent in value.items()}


def _stamp(value: Any) -> Stamp | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("size"), int):
        raise DataError("has a stamp without a size")
    changed = value.get("mtime_ns")
    if changed is not None and not isinstance(changed, int):
        raise DataError("has a stamp without a time")
    return Stamp(value["size"], changed)
