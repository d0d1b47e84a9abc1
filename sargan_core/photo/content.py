"""Read files with a size limit: regular files, and pipes that the shell handed over.

No more is read than the purpose of a file can need, so that a wrong or hostile file cannot fill the memory.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from sargan_core.errors import PhotoError

# Limit of a photo's file: 16-bit RGBA without compression, and metadata or a video behind the picture.
BYTES_A_PIXEL = 8
BYTES_BESIDE = 256 * 2**20
# Bytes that are enough to recognise a format.
HEAD = 4096
BLOCK = 2**20
LARGEST_SETTINGS = 2**24


class NoFileError(ValueError):
    """The name belongs to a pipe or device, not to a file."""


class IsFolderError(NoFileError):
    """The name belongs to a folder."""


class TooLargeError(ValueError):
    """The content is larger than allowed."""


def largest_file(max_pixels: int) -> int:
    """Return the largest file in bytes that is read for a photo of at most ``max_pixels`` pixels."""
    return max_pixels * BYTES_A_PIXEL + BYTES_BESIDE


def open_file(path: Path, *, pipes: bool = False) -> BinaryIO:
    """Open a file for reading; every file that a user names is opened here.

    Named pipes and devices are refused: a pipe would wait for a writer, a device may never end.

    Args:
        path: the file.
        pipes: also accept a pipe that the shell handed over (``/dev/stdin``, ``/dev/fd/63``).

    Raises:
        OSError: missing or not readable.
        ValueError: a folder, pipe or device, or an impossible name.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except PermissionError as error:
        if path.is_dir():  # what Windows raises for a folder
            raise IsFolderError("it is a folder") from error
        raise
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) or (pipes and stat.S_ISFIFO(mode) and _handed_over(path)):
        os.set_blocking(descriptor, True)
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsFolderError("it is a folder")
    raise NoFileError("it is a pipe or device, not a file")


def read_file(path: Path, most: int, *, pipes: bool = False) -> bytes:
    """Return the content of a file of at most ``most`` bytes; a larger one is not read.

    Raises:
        OSError, ValueError: as ``open_file``; ValueError also where it is larger.
    """
    with open_file(path, pipes=pipes) as stream:
        return read_stream(stream, most)


def read_stream(stream: BinaryIO, most: int, head: bytes = b"") -> bytes:
    """Return ``head`` and what follows it in a stream, together at most ``most`` bytes.

    Raises:
        TooLargeError: it is longer; a file is not read at all then, a pipe only up to the limit.
        OSError: the stream broke off.
    """
    data = head
    if stream.seekable():
        at, end = stream.tell(), stream.seek(0, os.SEEK_END)
        stream.seek(at)
        if len(head) + end - at > most:
            raise TooLargeError(f"it is larger than {most:,} bytes")
        data += stream.read(end - at)
    # Pipes, and files that are longer than their size says (in /proc, or growing).
    rest = bytearray()
    while block := stream.read(BLOCK):
        rest += block
        if len(data) + len(rest) > most:
            raise TooLargeError(f"it is larger than {most:,} bytes")
    return data + rest if rest else data


def read_settings(path: Path, most: int = LARGEST_SETTINGS) -> str:
    """Return the text of a file of settings, of at most ``most`` bytes.

    Raises:
        OSError, ValueError: as ``read_file``; ValueError also where it is not UTF-8.
    """
    return read_file(path, most).decode("utf-8")


def open_photo(path: Path, name: str) -> BinaryIO:
    """Open a photo's file, or a pipe that the shell handed over.

    Args:
        path: the file.
        name: its name in messages.

    Raises:
        PhotoError: missing, a folder, no file at all, or not readable.
    """
    try:
        return open_file(path, pipes=True)
    except FileNotFoundError as error:
        if path.is_symlink():
            raise PhotoError(f"{name}: is a link to nothing; make the link again") from error
        raise PhotoError(f"{name}: there is no such file; check the name") from error
    except PermissionError as error:
        raise PhotoError(f"{name}: no permission to read it; change its permissions") from error
    except IsFolderError as error:
        raise PhotoError(f"{name}: is a folder; name a photo in it") from error
    except NoFileError as error:
        raise PhotoError(
            f"{name}: is a pipe or device, not a file; name a file, or pipe a photo in with -"
        ) from error
    except (OSError, ValueError) as error:
        raise PhotoError(f"{name}: cannot be read ({reason_of(error)}); check the name") from error


def reason_of(error: OSError | ValueError) -> str:
    """Return why a file could not be read, without its name."""
    if isinstance(error, UnicodeEncodeError) or "null byte" in str(error):
        return "no file can have such a name"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _handed_over(path: Path) -> bool:
    folder = str(path.parent)
    return str(path) == "/dev/stdin" or folder == "/dev/fd" or (folder[:6], folder[-3:]) == ("/proc/", "/fd")


def read_rest(stream: BinaryIO, head: bytes, name: str, max_pixels: int) -> bytes:
    """Return ``head`` and what follows it in a stream.

    Raises:
        PhotoError: more bytes than a photo of ``max_pixels`` pixels can need, or the stream broke off.
    """
    try:
        return read_stream(stream, largest_file(max_pixels), head)
    except TooLargeError as error:
        raise _too_large(name, max_pixels) from error
    except OSError as error:
        raise PhotoError(f"{name}: cannot be read ({reason_of(error)}); get it again") from error


def _too_large(name: str, max_pixels: int) -> PhotoError:
    most = largest_file(max_pixels) // 10**6
    return PhotoError(
        f"{name}: is larger than {most:,} MB, more than a photo of {max_pixels:,} pixels needs; "
        "make it smaller, or raise --max-pixels if you trust the file"
    )
