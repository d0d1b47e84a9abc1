"""Memory that is freed and taken again: each photo of a batch needs what the one before it gave back."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

# Numbers of the settings in glibc's malloc.h, and their values: bytes that stay with the process when they are free,
# the size in bytes from which a block is mapped by itself, and areas that threads take memory from.
_TRIM_THRESHOLD, _KEPT = -1, 64 * 2**20
_MMAP_THRESHOLD, _MAPPED = -3, 32 * 2**20
_ARENAS, _ONE = -8, 1


def keep_freed_memory() -> None:
    """Let the process keep the memory that a photo frees, where the C library can be told so (glibc).

    Otherwise it goes back to the system and is cleared again page by page, several milliseconds a photo.
    """
    mallopt = _mallopt()
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _MAPPED)
        mallopt(_TRIM_THRESHOLD, _KEPT)


def share_freed_memory() -> None:
    """Let all threads of the process use what any of them freed, for a process with one thread that works.

    Otherwise each keeps an area of its own, and two processes took 40 MB more.
    """
    mallopt = _mallopt()
    if mallopt is not None:
        mallopt(_ARENAS, _ONE)


def _mallopt() -> Callable[[int, int], int] | None:
    """Return glibc's ``mallopt``; None where there is none."""
    if not sys.platform.startswith("linux"):
        return None
    found: Callable[[int, int], int] | None = getattr(ctypes.CDLL(None), "mallopt", None)
    return found
