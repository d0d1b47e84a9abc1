"""The one place that turns errors into exit codes; reports of single files."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sargan_cli.console import Console, debugging
from sargan_core.errors import UsageError, WeightsError
from sargan_core.outcome import Outcome, message, outcome_of

OK = 0
SOME_FAILED = 1
USAGE = 2
WEIGHTS = 3
INTERRUPTED = 130


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
    outcome = outcome_of(error, reading=reading)
    return FileReport(source, None, outcome, message(error, source), details, exit_code(error))


def say_error(error: BaseException, text: str, console: Console) -> None:
    """Print an error's line and, when debugging, its traceback, on stderr."""
    if debugging():
        traceback.print_exception(error)
    console.error(text)
