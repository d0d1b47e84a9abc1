"""``--like``: the photo whose expression is wanted, of ``sargan edit`` and ``sargan batch``.

A reference that cannot be read is wrong usage in both: none of the photos could be edited.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sargan_core.errors import PhotoError, UsageError

if TYPE_CHECKING:
    from sargan_core.batch.plan import Like as BatchLike
    from sargan_core.photo import Photo


@dataclass(frozen=True)
class Like:
    """The photo whose expression is wanted.

    Attributes:
        path: the photo.
        face: which of its faces, counted from left to right; None = the largest.
    """

    path: Path
    face: int | None = None

    def __str__(self) -> str:
        return f"like {self.path.name}"

    def slug(self, strength: float) -> str:
        """Return the reference as part of a file name, e.g. ``like-friend`` or ``like-friend-50``."""
        name = f"like-{self.path.stem}"
        return name if strength == 1.0 else f"{name}-{round(strength * 100)}"


def parse_like(like: Path | None, face: int | None, expr: list[str] | None) -> Like | None:
    """Return the reference that was asked for, None if there is none.

    Raises:
        UsageError: ``--expr`` asks for something else, or ``--like-face`` has no photo to choose in.
    """
    if like is None:
        if face is not None:
            raise UsageError("--like-face chooses a face of the photo after --like; name that photo")
        return None
    if expr:
        raise UsageError(
            "--expr names an expression and --like takes one from a photo; a face can show only one, so give one"
        )
    return Like(like, face)


def read_like(like: Like, max_pixels: int | None) -> Photo:
    """Return the reference photo; None = the library's own limit of pixels.

    Raises:
        UsageError: it cannot be read.
    """
    from sargan_cli.inputs import read_input

    with _wrong_usage():
        return read_input(like.path, max_pixels)


def batch_like(like: Like, max_pixels: int | None) -> BatchLike:
    """Return the reference as an engine takes it: with its checksum, for the photo is read again there.

    Raises:
        UsageError: it cannot be read, or only once.
    """
    from sargan_core.batch.plan import Like as BatchLike
    from sargan_core.batch.plan import Source
    from sargan_core.batch.work import decode, read_source
    from sargan_core.files import shown

    source = Source(str(like.path), like.path.name)
    with _wrong_usage():
        content = read_source(source, max_pixels)
        decode(content, source, max_pixels)
    if not like.path.is_file():  # a pipe that was handed over is empty now
        raise UsageError(f"--like {shown(like.path)}: is a pipe, which can be read only once; name a file")
    return BatchLike(like.path, content.sha256, like.face)


@contextlib.contextmanager
def _wrong_usage() -> Iterator[None]:
    try:
        yield
    except PhotoError as error:
        raise UsageError(f"--like {error}") from error
