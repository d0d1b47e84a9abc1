"""What the commands say: messages for people on stderr, results on stdout."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sargan_core.outcome import plain

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.progress import Progress
    from rich.text import Text


Item = TypeVar("Item")


# One switch for the whole process, so that the entry point sees it too when a command failed while starting.
DEBUG_VARIABLE = "SARGAN_DEBUG"


# A listing that is read by another program is not squeezed into a terminal's width.
PIPE_WIDTH = 240


def debugging() -> bool:
    """Return whether tracebacks are wanted (``--debug`` or ``SARGAN_DEBUG``)."""
    return os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")


def enable_debugging(wanted: bool) -> None:
    """Turn tracebacks on for this process; the callback of ``--debug``."""
    if wanted:
        os.environ[DEBUG_VARIABLE] = "1"
        let_libraries_speak()


@dataclass(frozen=True)
class Console:
    """The streams of one command.

    Attributes:
        quiet: keep notes, warnings and progress to itself; errors are still said.
    """

    quiet: bool = False

    def note(self, text: str) -> None:
        """Say something on stderr."""
        if not self.quiet:
            _print(plain(text))

    def warning(self, text: str) -> None:
        """Say on stderr what may spoil a result."""
        if not self.quiet:
            _say("warning:", "yellow", text)

    def error(self, text: str) -> None:
        """Say on stderr what went wrong; never silenced."""
        _say("error:", "bold red", text)

    def track(self, items: Sequence[Item], label: str) -> Iterable[Item]:
        """Yield the items with a progress bar, if there are several and a terminal to show it on."""
        if self.quiet or len(items) < 2 or not sys.stderr.isatty():
            return items
        return self._bar(items, label)

    @contextlib.contextmanager
    def counting(self, label: str) -> Iterator[Callable[[int, int], None]]:
        """Give a function that is called with (done, total) and shows a bar, if there is a terminal."""
        if self.quiet or not sys.stderr.isatty():
            yield lambda done, total: None
            return
        from rich.progress import Progress

        with Progress(console=_errors(), transient=True) as progress:
            bar = progress.add_task(label, total=None)
            yield lambda done, total: progress.update(bar, completed=done, total=total)

    def work_bar(self) -> Progress | None:
        """Return a bar with counts, rate and remaining time that is not started yet; None without a terminal."""
        if self.quiet or not sys.stderr.isatty():
            return None
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        return Progress(*columns, console=_errors(), transient=True, speed_estimate_period=60)

    def _bar(self, items: Sequence[Item], label: str) -> Iterator[Item]:
        from rich.progress import Progress

        with Progress(console=_errors(), transient=True) as progress:
            yield from progress.track(items, description=label)


def print_path(path: Path) -> None:
    """Write a path and a newline to stdout, byte for byte as the file system has it."""
    print_bytes(os.fsencode(path) + b"\n")


def print_json(value: dict[str, Any]) -> None:
    """Write one object as one line of JSON to stdout (ASCII, so that any locale can take it)."""
    print_bytes(json.dumps(value).encode("ascii") + b"\n")


def print_bytes(data: bytes) -> None:
    """Write bytes to stdout and flush, so that a reader gets each result as soon as it is there."""
    if sys.stdout.isatty():
        # On a terminal the text stream is the one that a progress bar makes room for.
        sys.stdout.write(data.decode("utf-8", "replace"))
    else:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    sys.stdout.flush()


def print_table(
    title: str | None, columns: Sequence[str], rows: Iterable[Sequence[str]], *, to_stderr: bool = False
) -> None:
    """Show a listing that was asked for, on stdout unless that carries image bytes."""
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
    """Print on stderr; that a message has no place (the disk of a log is full) spoils no result."""
    try:
        _errors().print(text, markup=False)
    except BrokenPipeError:
        raise
    except OSError:
        return


@functools.cache
def _errors() -> RichConsole:
    """Return the console on stderr; one for all, so that messages find room above a progress bar."""
    from rich.console import Console as RichConsole

    return RichConsole(stderr=True, soft_wrap=True, highlight=False)


def _results() -> RichConsole:
    from rich.console import Console as RichConsole

    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return RichConsole(width=width, highlight=False)


@contextlib.contextmanager
def closed_pipe_is_quiet() -> Iterator[None]:
    """End the process quietly when the reader of stdout has gone (as in ``sargan … | head -1``), or its disk is full.

    Raises:
        SystemExit: with code 1, because not everything was delivered.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError:
        # The interpreter flushes stdout once more at exit; that must not hit the closed pipe again.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        raise SystemExit(1) from None


# A missing stdout is opened for reading: what is written to it fails, and the run with it, instead of being lost.
# Where messages for people go once ``keep_libraries_quiet`` was called.
_own: list[int] = []


_STREAMS = (("stdin", "r", os.O_RDONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY))


def open_missing_streams() -> None:
    """Open the null device in the place of every standard stream that is closed (``sargan … 2>&-``).

    The next file to be opened would get the number of the stream, and with it what is meant for the stream: the
    messages of a library would end in a photo.
    """
    for number, (name, mode, flags) in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            descriptor = os.open(os.devnull, flags)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, encoding="utf-8", errors="replace", closefd=False))  # noqa: SIM115


def keep_libraries_quiet() -> None:
    """Keep the standard error stream to what sargan itself says; for the whole process, and to be called at its start.

    Libraries in C write to file descriptor 2 whenever they find something odd, from any thread. So the stream moves to
    a descriptor of its own, which ``sys.stderr`` writes to, and number 2 leads to the null device from now on, also in
    the processes that this one starts. What libraries in Python warn or complain of is left out likewise.
    """
    sys.stderr.flush()
    own = os.dup(2)
    _own.append(own)
    stream = open(  # noqa: SIM115
        own, "w", buffering=1, encoding=sys.stderr.encoding, errors=sys.stderr.errors, closefd=False
    )
    for name in ("stderr", "__stderr__"):
        setattr(sys, name, stream)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    logging.lastResort = logging.NullHandler()
    sys.unraisablehook = lambda _: None


def let_libraries_speak() -> None:
    """Take ``keep_libraries_quiet`` back, if it was called, for who looks for a fault."""
    if _own:
        os.dup2(_own.pop(), 2)
        warnings.resetwarnings()
        logging.lastResort = logging.StreamHandler()
        sys.unraisablehook = sys.__unraisablehook__
