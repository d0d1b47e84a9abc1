"""Where photos come from: files, or stdin for ``-``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sargan_cli.outputs import STREAM
from sargan_core.errors import UsageError

if TYPE_CHECKING:
    from sargan_core.photo import Photo


def check_stdin(inputs: Sequence[Path]) -> None:
    """Raise UsageError if ``-`` is not the only input, or if nothing is piped in."""
    if STREAM not in inputs:
        return
    if len(inputs) > 1:
        raise UsageError("- (stdin) stands alone; give it without other inputs")
    if sys.stdin.isatty():
        raise UsageError("- reads a photo from stdin, but stdin is a terminal; pipe one in or name a file")


def display_name(source: Path) -> str:
    """Return the input's name in messages and reports."""
    return "stdin" if source == STREAM else str(source)


def read_input(source: Path, max_pixels: int | None = None) -> Photo:
    """Read a photo from a file or stdin; None = the library's own limit of pixels.

    Raises:
        PhotoError: as ``read_photo``.
    """
    from sargan_core.photo import MAX_PIXELS, read_photo

    stream = sys.stdin.buffer if source == STREAM else source
    return read_photo(stream, name=display_name(source), max_pixels=max_pixels or MAX_PIXELS)
