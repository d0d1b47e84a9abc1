"""The libtiff inside Pillow, kept from printing.

libtiff prints what it finds wrong in a file to the standard error stream, for all the process. Pillow raises an error
of its own then, and has no switch for the lines; libtiff has one, which Pillow's extension module leads to.
"""

from __future__ import annotations

import contextlib
import ctypes
from importlib.util import find_spec


def silence() -> None:
    """Take libtiff's printing of errors and warnings away (``TIFFSetErrorHandler(3TIFF)``).

    Where Pillow is linked in another way (Windows), nothing is changed.
    """
    extension = find_spec("PIL._imaging")
    if extension is None or extension.origin is None:
        return
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(extension.origin)
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            switch = getattr(library, name)
            switch.argtypes, switch.restype = [ctypes.c_void_p], ctypes.c_void_p
            switch(None)
