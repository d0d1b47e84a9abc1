"""The three standard streams, which a process may be started without."""

from __future__ import annotations

import os
import sys

# A missing stdout is opened for reading: what is written to it fails, and the run with it, instead of being lost.
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
