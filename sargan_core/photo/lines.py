"""Files that grow line by line and are taken up again: a file of that name that is somebody else's is left alone."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Collection
from pathlib import Path

from sargan_core.errors import UsageError
from sargan_core.photo.files import shown

# A first line that is longer is not ours; it would be read into memory whole.
LONGEST = 16 << 20


def check_ours(path: Path, members: Collection[str], what: str) -> None:
    """Refuse a file that is not one of ours, before a line is added to it or a torn one cut off.

    Ours is what is missing or empty, or has a JSON object with ``members`` as its first line, which may be torn. A link
    is followed to a file of ours, but nowhere else.

    Args:
        path: where the lines go.
        members: of the object in every line; the one that is written first comes first.
        what: the kind of file, for messages, e.g. ``manifest of sargan batch``.

    Raises:
        UsageError: it is another file, or none; nothing was touched.
    """
    linked = os.path.islink(path)  # noqa: PTH114 (says no where a name is too long)
    try:
        status = path.stat()
    except OSError:  # missing; or else who opens it will say what is wrong
        if linked:
            raise _not_ours(path, what, "is a link to nothing") from None
        return
    if not stat.S_ISREG(status.st_mode):
        raise _not_ours(path, what, "is no regular file")
    if status.st_size == 0 and not linked:
        return
    try:
        with path.open("rb") as stream:
            line = stream.readline(LONGEST + 1)
    except OSError as error:
        raise _not_ours(path, what, f"cannot be read ({error.strerror or error})") from error
    if not (_is_line(line, members) or _may_be_torn(line, members)):
        raise _not_ours(path, what, f"{'leads to' if linked else 'is'} a file of other content")


def _is_line(line: bytes, members: Collection[str]) -> bool:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and set(members) <= value.keys()


def _may_be_torn(line: bytes, members: Collection[str]) -> bool:
    """Whether a line may be the beginning of an object of ours."""
    start = b'{"' + next(iter(members)).encode() + b'": '
    return 0 < len(line) <= LONGEST and (line.startswith(start) or start.startswith(line))


def _not_ours(path: Path, what: str, problem: str) -> UsageError:
    return UsageError(
        f"{shown(path)}: {problem}, so no {what}; move it away, or choose another output folder"
    )
