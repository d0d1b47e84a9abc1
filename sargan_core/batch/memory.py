"""Memory that is freed and taken again: each photo of a batch needs what the one before it gave back."""

from __future__ import annotations

import ctypes
import sys

# Numbers of the two settings in glibc's malloc.h, and their values in bytes: memory that stays with the process when it
# is free, and the size from which a block is mapped by itself.
_TRIM_THRESHOLD, _KEPT = -1, 64 * 2**20
_MMAP_THRESHOLD, _MAPPED = -3, 32 * 2**20


def keep_freed_memory() -> None:
    """Let the process keep the memory that a photo frees, where the C library can be told so (glibc).

    Otherwise it goes back to the system and is cleared again page by page, several milliseconds a photo.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _MAPPED)
        mallopt(_TRIM_THRESHOLD, _KEPT)
