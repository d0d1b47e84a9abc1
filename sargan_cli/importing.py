"""Importing large libraries without delay."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Leave the garbage collector out while libraries are imported in the block.

    Importing torch makes half a million objects. All of them stay, and the collector would look through them again and
    again, 0.2 s in all; so it does not see them afterwards either.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
