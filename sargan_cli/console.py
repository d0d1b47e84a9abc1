"""Messages on stderr, results on stdout, reports on single files, and exit codes."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sargan_cli.streams import debugging
from sargan_core.errors import UsageError, WeightsError
from sargan_core.outcome import Outcome, message, outcome_of, plain

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.text import Text

Item = TypeVar("Item")

# Exit codes.
OK = 0
SOME_FAILED = 1
USAGE = 2
WEIGHTS = 3
INTERRUPTED = 130

# Width of tables that go to another program, so that cells stay on one line.
PIPE_WIDTH = 240


@dataclass(frozen=True)
class Console:
    """Writes messages to stderr.

    Attributes:
        quiet: write only errors: no notes, no warnings, no progress bars.
    """

    quiet: bool = False

    def note(self, text: str) -> None:
        """Write a note."""
        if not self.quiet:
            _print(plain(text))

    def warning(self, text: str) -> None:
        """Write a warning about a result."""
        if not self.quiet:
            _say("warning:", "yellow", text)

    def error(self, text: str) -> None:
        """Write an error, even if quiet."""
        _say("error:", "bold red", text)

    def track(self, items: Sequence[Item], label: str) -> Iterator[Item]:
        """Yield the items, with a progress bar if there are several."""
        with Console(self.quiet or len(items) < 2).counting(label) as show:
            for done, item in enumerate(items):
                show(done, len(items))
                yield item

    @contextlib.contextmanager
    def counting(self, label: str) -> Iterator[Callable[[int, int], None]]:
        """Yield a progress callback for (done, total), which shows a bar if stderr is a terminal."""
        if self.quiet or not sys.stderr.isatty():
            yield lambda done, total: None
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
            *(TextColumn("{task.fields[rate]}"), TimeRemainingColumn()),
        )
        started = time.perf_counter()
        with Progress(*columns, console=_errors(), transient=True, speed_estimate_period=60) as bar:
            task = bar.add_task(label, total=None, rate="")

            def show(done: int, total: int) -> None:
                rate = f"{done / (time.perf_counter() - started):.1f}/s"
                bar.update(task, completed=done, total=total, rate=rate)

            yield show


def print_path(path: Path) -> None:
    """Write a path as one line to stdout, with its bytes as on the file system."""
    print_bytes(os.fsencode(path) + b"\n")


def print_json(value: dict[str, Any]) -> None:
    """Write an object as one line of JSON to stdout, in ASCII for any locale."""
    print_bytes(json.dumps(value).encode("ascii") + b"\n")


def print_bytes(data: bytes) -> None:
    """Write bytes to stdout and flush, so that another program gets each result at once."""
    if sys.stdout.isatty():
        # On a terminal, a progress bar makes room only for the text stream.
        sys.stdout.write(data.decode("utf-8", "replace"))
    else:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    sys.stdout.flush()


def print_table(
    title: str | None, columns: Sequence[str], rows: Iterable[Sequence[str]], *, to_stderr: bool = False
) -> None:
    """Write a table to stdout, or to stderr if stdout carries something else."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=escape(plain(title)) if title else None,
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(plain(cell)) for cell in row))
    (_errors() if to_stderr else _results()).print(table)


def _say(kind: str, style: str, text: str) -> None:
    from rich.text import Text

    _print(Text.assemble((kind, style), " ", plain(text)))


def _print(text: str | Text) -> None:
    """Write to stderr; if that fails (a log on a full disk), no result is lost."""
    try:
        _errors().print(text, markup=False)
    except BrokenPipeError:
        raise
    except OSError:
        return


@functools.cache
def _errors() -> RichConsole:
    """Return the only console on stderr, so that messages appear above a progress bar."""
    from rich.console import Console as RichConsole

    return RichConsole(stderr=True, soft_wrap=True, highlight=False)


def _results() -> RichConsole:
    from rich.console import Console as RichConsole

    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return RichConsole(width=width, highlight=False)


@dataclass(frozen=True)
class FileReport:
    """How the work on one input ended; one line of JSON.

    Attributes:
        input: the input as it was given; ``stdin`` for ``-``.
        output: where the result went, ``-`` for stdout; None if there is none.
        outcome: how it ended.
        message: one line for the user; empty if all went well.
        details: further members of the JSON object.
        code: the exit code for this file alone.
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
    """Return the exit code for an error that ends the command."""
    if isinstance(error, UsageError):
        return USAGE
    if isinstance(error, WeightsError):
        return WEIGHTS
    return SOME_FAILED


def overall_code(reports: Iterable[FileReport]) -> int:
    """Return the exit code for several files: 0, or the code of the failures if all files failed alike, or 1."""
    reports = list(reports)
    codes = {report.code for report in reports if report.code != OK}
    if not codes:
        return OK
    done = any(report.code == OK for report in reports)
    return codes.pop() if len(codes) == 1 and not done else SOME_FAILED


def failure(source: str, error: Exception, *, reading: bool, details: dict[str, Any]) -> FileReport:
    """Return the report on a file that failed.

    Args:
        source: the input as it was given.
        error: what happened.
        reading: whether the input was still being read.
        details: further members of the JSON object.
    """
    outcome = outcome_of(error, reading=reading)
    return FileReport(source, None, outcome, message(error, source), details, exit_code(error))


def say_error(error: BaseException, text: str, console: Console) -> None:
    """Write an error's line to stderr, and its traceback when debugging."""
    if debugging():
        traceback.print_exception(error)
    console.error(text)
