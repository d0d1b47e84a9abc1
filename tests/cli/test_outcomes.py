"""Errors become outcomes, exit codes and one line."""

from __future__ import annotations

import errno

import pytest

from sargan_cli.console import FileReport, exit_code, failure, overall_code
from sargan_core.errors import (
    DataError,
    NoFaceError,
    OutputExistsError,
    PhotoError,
    TrainingError,
    UsageError,
    WeightsError,
)
from sargan_core.outcome import Outcome, message


def report(code: int) -> FileReport:
    return FileReport("a.jpg", None, Outcome.FAILED if code else Outcome.DONE, code=code)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (WeightsError("x"), 3),
        (PhotoError("x"), 1),
        (NoFaceError("x"), 1),
        (OutputExistsError("x"), 1),
        (DataError("x"), 1),
        (TrainingError("x"), 1),
        (RuntimeError("x"), 1),
    ],
)
def test_exit_code_of_each_error(error, code):
    assert exit_code(error) == code


@pytest.mark.parametrize(
    ("codes", "overall"),
    [([], 0), ([0, 0], 0), ([0, 1], 1), ([1, 1], 1), ([2], 2), ([2, 2], 2), ([0, 2], 1), ([1, 2], 1)],
)
def test_exit_code_of_a_run(codes, overall):
    assert overall_code(map(report, codes)) == overall


@pytest.mark.parametrize(
    ("error", "reading", "outcome"),
    [
        (PhotoError("a.jpg: truncated"), True, Outcome.UNREADABLE),
        (OSError(errno.EACCES, "Permission denied", "a.jpg"), True, Outcome.UNREADABLE),
        (NoFaceError("no face"), False, Outcome.NO_FACE),
        (PhotoError("b.jpg: disk full"), False, Outcome.FAILED),
        (OutputExistsError("b.jpg: exists"), True, Outcome.FAILED),
        (ValueError("bug"), False, Outcome.FAILED),
    ],
)
def test_outcome_of_each_error(error, reading, outcome):
    result = failure("a.jpg", error, reading=reading, details={})
    assert result.outcome is outcome
    assert result.output is None
    assert result.code == 1


def test_messages_name_the_file_once():
    assert message(NoFaceError("no face found"), "a.jpg") == "a.jpg: no face found"
    assert message(PhotoError("a.jpg: truncated"), "a.jpg") == "a.jpg: truncated"


def test_messages_are_one_line_without_control_characters():
    text = message(PhotoError("a\n.jpg: \x1b[31mbad\x07\ttext"), "a.jpg")
    assert text.isprintable()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "out.jpg"),
            "out.jpg: No space left on device; free",
        ),
        (MemoryError(), "a.jpg: not enough memory"),
        (RuntimeError("CUDA out of memory. Tried …"), "--device cpu"),
        (KeyError("bug"), "--debug"),
    ],
)
def test_foreign_errors_get_a_next_step(error, said):
    assert said in message(error, "a.jpg")


def test_report_as_json_has_the_promised_members():
    value = FileReport("a.jpg", "b.jpg", Outcome.DONE, details={"faces": []}).to_json()
    assert value == {"input": "a.jpg", "output": "b.jpg", "faces": [], "outcome": "done", "message": ""}
