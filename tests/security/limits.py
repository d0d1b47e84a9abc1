"""A bound on the time and the memory of what a test does in its own process."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Iterator
from pathlib import Path

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def _megabytes(name: str) -> int:
    return int(re.search(rf"{name}:\s+(\d+)", STATUS.read_text())[1]) // 1024


@contextlib.contextmanager
def bounded(seconds: int = 20, megabytes: int = 300) -> Iterator[None]:
    """Fail if the block takes longer, or (on Linux) its memory grows by more at any moment."""

    def late(number: int, frame: object) -> None:
        raise AssertionError(f"not done after {seconds} s")

    measured = CLEAR.exists()
    if measured:
        CLEAR.write_text("5")  # the peak starts anew
        before = _megabytes("VmRSS")
    known = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, known)
    if measured:
        assert _megabytes("VmHWM") - before < megabytes
