"""What ``sargan batch`` is asked for: texts of the command line become expressions, strengths and lists."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sargan_core.errors import PhotoError, UsageError
from sargan_core.expressions import Expression, ExpressionMix, parse_mix

if TYPE_CHECKING:
    from sargan_core.batch.plan import Like

ALL = "all"


def names_in(listed: str | None, inputs: Sequence[str] | None, *, null: bool) -> list[str] | None:
    """Return the names in the list after ``--from``, None if there is none.

    Raises:
        UsageError: it cannot be read, or there are no inputs at all.
    """
    from sargan_core.batch.sources import read_list

    if listed is None:
        if not inputs:
            raise UsageError("name a folder or photos, or a list of photos with --from")
        if null:
            raise UsageError("--null is about the list after --from; give one")
        return None
    if listed != "-":
        try:
            return read_list(Path(listed).read_bytes(), null=null)
        except OSError as error:
            raise UsageError(f"--from {listed}: cannot be read ({error.strerror}); check the name") from error
    if sys.stdin.isatty():
        raise UsageError("--from - reads names from stdin, but stdin is a terminal; pipe a list in")
    return read_list(sys.stdin.buffer.read(), null=null)


def wanted_format(name: str | None) -> str | None:
    """Return the format that ``--format`` names.

    Raises:
        UsageError: there is no such format.
    """
    from sargan_core.formats.kinds import LISTED, kind_of_path

    if name is None:
        return None
    kind = kind_of_path(Path(f"photo.{name.lstrip('.')}"))
    if kind is None:
        raise UsageError(f"--format {name}: is no known format; use one of {LISTED}")
    return kind


def wanted_mixes(expr: list[str] | None, like: Path | None, face: int | None) -> list[ExpressionMix | Like]:
    """Return the expressions, mixes or the reference that were asked for.

    Raises:
        UsageError: none, both kinds, an unknown expression, or a reference that cannot be read.
    """
    if like is not None:
        if expr:
            raise UsageError("--expr names expressions and --like takes one from a photo; give one of both")
        return [_reference(like, face)]
    if face is not None:
        raise UsageError("--like-face chooses a face of the photo after --like; name that photo")
    if not expr:
        known = ", ".join(sorted(expression.value for expression in Expression))
        raise UsageError(f"say which expression with --expr NAME ({known}, or all), or --like PHOTO")
    mixes: list[ExpressionMix | Like] = []
    for text in expr:
        names = sorted(expression.value for expression in Expression) if text == ALL else [text]
        mixes += [parse_mix(name) for name in names]
    return mixes


def _reference(path: Path, face: int | None) -> Like:
    from sargan_core.batch.plan import Like, Source
    from sargan_core.batch.work import decode, read_source
    from sargan_core.files import shown

    source = Source(str(path), path.name)
    try:
        content = read_source(source)
        decode(content, source)
    except PhotoError as error:
        raise UsageError(f"--like {error}") from error
    if not path.is_file():  # a pipe that was handed over is empty now, and the engines read the photo again
        raise UsageError(f"--like {shown(path)}: is a pipe, which can be read only once; name a file")
    return Like(path, content.sha256, face)


def wanted_strengths(texts: list[str] | None) -> list[float]:
    """Return the strengths that were asked for, 1 by default.

    Raises:
        UsageError: one of them is no number.
    """
    if not texts:
        return [1.0]
    try:
        return [float(item) for text in texts for item in text.split(",")]
    except ValueError:
        raise UsageError(f"--strength {','.join(texts)}: give numbers such as 0.25,0.5,1") from None
