"""Files of JSON lines to which a run appends, and which a later run continues.

A last line without its newline was cut off when a run was killed: reading skips it, and appending removes it.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sargan_core.errors import UsageError
from sargan_core.photo.content import open_file
from sargan_core.photo.files import shown

# Longest line in bytes. A longer one was not written here, and would be read into memory as a whole.
LONGEST = 16 << 20
# Lines survive the end of the process at once, a power failure after this many seconds.
SYNC_SECONDS = 1.0


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield every whole line without its newline.

    Raises:
        OSError: as ``open_file``; or a line is longer than ``LONGEST``.
        ValueError: as ``open_file``.
    """
    with open_file(path) as stream:
        while part := stream.readline(LONGEST + 1):
            if part.endswith(b"\n"):
                yield part[:-1]
            elif len(part) > LONGEST:
                raise OSError(errno.EFBIG, f"a line is longer than {LONGEST >> 20} MB")


class LineFile:
    """A file that JSON lines are appended to, by one writer at a time. A torn last line is removed first.

    Args:
        path: the file; made if it is missing, its folder must exist. See ``check_ours``.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            self._end = _whole_lines(self._descriptor)
            os.ftruncate(self._descriptor, self._end)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._synced = time.monotonic()

    def append(self, value: Mapping[str, Any], *, allow_nan: bool = True) -> None:
        """Write a value as one line of ASCII, which survives if the process is killed afterwards.

        Raises:
            OSError: the line cannot be written, for instance on a full disk; the file is as before.
            ValueError: a number is not finite, and ``allow_nan`` is off.
        """
        line = json.dumps(value, allow_nan=allow_nan).encode("ascii") + b"\n"
        try:
            os.lseek(self._descriptor, self._end, os.SEEK_SET)
            written = 0
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
        except OSError:
            os.ftruncate(self._descriptor, self._end)
            raise
        self._end += len(line)
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Flush the lines to the disk."""
        os.fsync(self._descriptor)
        self._synced = time.monotonic()

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _whole_lines(descriptor: int) -> int:
    """Return the length of a file up to its last newline, included."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    while end > 0:
        start = max(0, end - 65536)
        os.lseek(descriptor, start, os.SEEK_SET)
        newline = os.read(descriptor, end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def check_ours(path: Path, members: Collection[str], what: str) -> None:
    """Refuse to append to a file that sargan did not write.

    A file is accepted if it is missing or empty, or if its first line, which may be cut off, is a JSON object with
    ``members``. A link must lead to such a file that is not empty.

    Args:
        path: the file that lines will be appended to.
        members: keys of the object in every line, in the order of writing.
        what: the kind of file, for messages, e.g. ``manifest of sargan batch``.

    Raises:
        UsageError: it is another file, or no file; nothing was touched.
    """
    linked = os.path.islink(path)  # noqa: PTH114 (says no where a name is too long)
    try:
        status = path.stat()
    except OSError:  # missing, or opening it will say what is wrong
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
    """Return whether a line may be the start of an object with ``members``."""
    start = b'{"' + next(iter(members)).encode() + b'": '
    return 0 < len(line) <= LONGEST and (line.startswith(start) or start.startswith(line))


def _not_ours(path: Path, what: str, problem: str) -> UsageError:
    return UsageError(
        f"{shown(path)}: {problem}, not a {what}; move it away, or choose another output folder"
    )
