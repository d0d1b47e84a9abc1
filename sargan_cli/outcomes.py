"""The one place that turns errors into outcomes, exit codes and one-line messages."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from sargan_cli.console import Console, debugging, plain
from sargan_core.errors import (
    NoFaceError,
    OutputExistsError,
    PhotoError,
    SarganError,
    UsageError,
    WeightsError,
)

OK = 0
SOME_FAILED = 1
USAGE = 2
WEIGHTS = 3
INTERRUPTED = 130


class Outcome(str, Enum):
    """How one file ended."""

    DONE = "done"
    NO_FACE = "no_face"
    UNREADABLE = "unreadable"
    FAILED = "failed"


@dataclass(frozen=True)
class FileReport:
    """What happened to one input; printed as one JSON line.

    Attributes:
        input: the input as it was given, ``-`` for stdin.
        output: where the result went, ``-`` for stdout; None if there is none.
        outcome: how it ended.
        message: one line for people; empty if all went well.
        details: further members of the JSON object.
        code: the exit code this file alone would give.
    """

    input: str
    output: str | None
    outcome: Outcome
    message: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    code: int = OK

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            "input": self.input,
            "output": self.output,
            **self.details,
            "outcome": self.outcome.value,
            "message": self.message,
        }


def exit_code(error: BaseException) -> int:
    """Return the exit code that an error stands for."""
    if isinstance(error, UsageError):
        return USAGE
    if isinstance(error, WeightsError):
        return WEIGHTS
    return SOME_FAILED


def overall_code(reports: Iterable[FileReport]) -> int:
    """Return the exit code of a run over several files: 0, the code that all failures share, or 1."""
    reports = list(reports)
    codes = {report.code for report in reports if report.code != OK}
    if not codes:
        return OK
    done = any(report.code == OK for report in reports)
    return codes.pop() if len(codes) == 1 and not done else SOME_FAILED


def failure(source: str, error: Exception, *, reading: bool, details: dict[str, Any]) -> FileReport:
    """Return the report of a file that an error ended.

    Args:
        source: the input as it was given.
        error: what happened.
        reading: whether the input was still being read.
        details: further members of the JSON object.
    """
    outcome = Outcome.FAILED
    if isinstance(error, NoFaceError):
        outcome = Outcome.NO_FACE
    elif reading and not isinstance(error, OutputExistsError | UsageError):
        outcome = Outcome.UNREADABLE
    return FileReport(source, None, outcome, message(error, source), details, exit_code(error))


def message(error: BaseException, subject: str = "") -> str:
    """Return one line: what it is about, what is wrong, what to do.

    The errors of sargan_core bring all three; those of the system and of the libraries get the missing parts.
    """
    if isinstance(error, SarganError):
        text = str(error)
        named = not subject or isinstance(error, WeightsError | OutputExistsError) or subject in text
        if isinstance(error, PhotoError) or named:
            return plain(text)
        return plain(f"{subject}: {text}")
    prefix = f"{subject}: " if subject else ""
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
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
}


def say_error(error: BaseException, text: str, console: Console) -> None:
    """Print an error's line and, when debugging, its traceback, on stderr."""
    if debugging():
        traceback.print_exception(error)
    console.error(text)
