"""The three standard streams, which a process may be started without."""

from __future__ import annotations

import logging
import os
import sys
import warnings

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
