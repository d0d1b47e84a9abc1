"""The standard streams of the process: opened if missing, and kept free of messages from libraries."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator

# An environment variable, so that the entry point sees it even if a command fails while starting.
DEBUG_VARIABLE = "SARGAN_DEBUG"
# A missing stdout is opened for reading, so that writing to it fails and no result is lost unnoticed.
_STREAMS = (("stdin", "r", os.O_RDONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY))
# The file descriptor of our own messages, once ``keep_libraries_quiet`` was called.
_own: list[int] = []


def debugging() -> bool:
    """Return whether tracebacks are wanted (``--debug`` or ``SARGAN_DEBUG``)."""
    return os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")


def enable_debugging(wanted: bool) -> None:
    """Turn tracebacks on for this process; the callback of ``--debug``."""
    if wanted:
        os.environ[DEBUG_VARIABLE] = "1"
        let_libraries_speak()


@contextlib.contextmanager
def closed_pipe_is_quiet() -> Iterator[None]:
    """End the process quietly when stdout is not read any more (``sargan … | head -1``) or its disk is full.

    Raises:
        SystemExit: with code 1, because not everything was delivered.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError:
        # The interpreter flushes stdout again at exit, which must not fail again.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        raise SystemExit(1) from None


def open_missing_streams() -> None:
    """Open the null device for every standard stream that is closed (``sargan … 2>&-``).

    Otherwise the next opened file would get the stream's number, and messages of a library would end up in a photo.
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
    """Let only sargan itself write to stderr; called when the process starts.

    Libraries in C write to file descriptor 2 from any thread. So ``sys.stderr`` gets another descriptor, and number 2
    leads to the null device, in child processes too. Warnings and log messages of Python libraries are dropped.
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
    """Undo ``keep_libraries_quiet``, for debugging."""
    if _own:
        os.dup2(_own.pop(), 2)
        warnings.resetwarnings()
        logging.lastResort = logging.StreamHandler()
        sys.unraisablehook = sys.__unraisablehook__
