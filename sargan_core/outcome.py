"""Progress callbacks, the outcome of a photo, the message about an error, and edited faces as plain values."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from sargan_core.errors import (
    NoFaceError,
    OutputExistsError,
    PhotoError,
    SarganError,
    UsageError,
    WeightsError,
)
from sargan_core.photo.files import shown

if TYPE_CHECKING:
    from sargan_core.check import FaceCheck
    from sargan_core.editor import FaceEdit


# Progress callback, called with (done, total).
Progress: TypeAlias = Callable[[int, int], None]


class Outcome(StrEnum):
    """How the work on one photo ended."""

    DONE = "done"
    NO_FACE = "no_face"
    UNREADABLE = "unreadable"
    FAILED = "failed"

    def __str__(self) -> str:
        return self.value


# Names of the outcomes in tables, by value.
OUTCOME_LABELS = {outcome.value: outcome.value.replace("_", " ") for outcome in Outcome}


def outcome_of(error: BaseException, *, reading: bool) -> Outcome:
    """Return the outcome of a photo whose work ended with an error.

    Args:
        error: what happened.
        reading: whether the input was still being read.
    """
    if isinstance(error, NoFaceError):
        return Outcome.NO_FACE
    if reading and not isinstance(error, OutputExistsError | UsageError):
        return Outcome.UNREADABLE
    return Outcome.FAILED


# Parts of the messages of CUDA, torch on the CPU, and OpenCV.
_NO_MEMORY = (
    *("out of memory", "allocate memory", "not enough memory"),
    *("insufficient memory", "failed to allocate"),
)


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the memory of the machine or of the GPU was exhausted."""
    memory = isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError)
    said = str(error).lower()
    return memory or any(words in said for words in _NO_MEMORY)


def message(error: BaseException, subject: str = "") -> str:
    """Return one line that names the file, what is wrong and what to do.

    Errors of sargan_core have all three parts; for those of the system and of libraries the missing ones are added.

    Args:
        error: what happened.
        subject: the file that the error is about, if there is one.
    """
    if isinstance(error, SarganError):
        text = str(error)
        named = not subject or isinstance(error, WeightsError | OutputExistsError) or subject in text
        if isinstance(error, PhotoError) or named:
            return plain(text)
        return plain(f"{subject}: {text}")
    prefix = f"{subject}: " if subject else ""
    if out_of_memory(error):
        return plain(f"{prefix}not enough memory; close other programs, use --device cpu, or a smaller photo")
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else prefix
        advice = _ADVICE.get(error.errno or 0, "")
        return plain(f"{where}{error.strerror or error}{advice}")
    return plain(
        f"{prefix}unexpected {type(error).__name__}: {error} (--debug shows where; please report it)"
    )


_ADVICE = {
    errno.ENOSPC: "; free some space or write elsewhere with -o",
    errno.EACCES: "; check the permissions or write elsewhere with -o",
    errno.EROFS: "; write elsewhere with -o",
    errno.ENOENT: "; check the name",
    errno.ENAMETOOLONG: "; shorten the name",
    errno.EBADF: "; standard output is closed, redirect it",
}


def plain(text: object) -> str:
    """Return text as one line for any terminal, with control and undecodable characters escaped."""
    return shown(" ".join(str(text).splitlines()).strip())


def face_json(edit: FaceEdit) -> dict[str, Any]:
    """Return one edited face as plain values."""
    values = {
        "number": edit.face.number,
        "box": [round(value, 1) for value in edit.face.box],
        "points": rounded(edit.face.points),
        "seam": round(edit.seam, 5),
        "change": round(edit.change, 5),
        "warnings": list(edit.warnings),
    }
    if edit.check is not None:
        values["check"] = check_json(edit.check)
    return values


def check_json(check: FaceCheck) -> dict[str, Any]:
    """Return the self-check of a face as plain values."""
    return {
        "expression": check.expression,
        "reached": round(check.reached, 3),
        "before": round(check.before, 3),
        "identity": round(check.identity, 3),
    }


def worst_face_json(edits: Iterable[FaceEdit]) -> dict[str, Any]:
    """Return several edits of one face as plain values: the worst figures, and every warning once.

    Args:
        edits: at least one, all of the same face.
    """
    values = [face_json(edit) for edit in edits]
    checks = [value["check"] for value in values if "check" in value]
    if checks:
        least = min(checks, key=lambda check: check["reached"])
        checked = {"check": {**least, "identity": min(check["identity"] for check in checks)}}
    else:
        checked = {}
    return {
        **values[0],
        **checked,
        "seam": max(value["seam"] for value in values),
        "change": max(value["change"] for value in values),
        "warnings": list(dict.fromkeys(warning for value in values for warning in value["warnings"])),
    }


def rounded(points: Iterable[Iterable[float]]) -> list[list[float]]:
    """Return (N, 2) points as plain numbers, rounded to a tenth of a pixel."""
    return [[round(float(value), 1) for value in point] for point in points]
