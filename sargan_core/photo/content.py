"""The content of a file: regular files (and pipes that were handed over), never more than what it is for can need."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from sargan_core.errors import PhotoError

# What a photo's file may hold: 16-bit RGBA without compression, and metadata or a video behind the picture.
BYTES_A_PIXEL = 8


BYTES_BESIDE = 256 * 2**20


HEAD = 4096


BLOCK = 2**20


LARGEST_SETTINGS = 2**24


def largest_file(max_pixels: int) -> int:
    """Return how many bytes are read at most for a photo of at most ``max_pixels`` pixels."""
    return max_pixels * BYTES_A_PIXEL + BYTES_BESIDE


def open_photo(path: Path, name: str) -> BinaryIO:
    """Open a photo's file.

    A named pipe would wait for a writer and a device may never end, so neither is opened; a pipe that the shell
    handed over (``/dev/stdin``, ``/dev/fd/63``) is.

    Args:
        path: the file.
        name: its name in messages.

    Raises:
        PhotoError: missing, a folder, no file at all, or not readable.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError as error:
        if path.is_symlink():
            raise PhotoError(f"{name}: is a link to nothing; make the link anew") from error
        raise PhotoError(f"{name}: there is no such file; check the name") from error
    except PermissionError as error:
        if path.is_dir():
            raise PhotoError(f"{name}: is a folder; name a photo in it") from error
        raise PhotoError(f"{name}: no permission to read it; change its permissions") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise PhotoError(f"{name}: cannot be read ({reason}); check the name") from error
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) or (stat.S_ISFIFO(mode) and _handed_over(path)):
        os.set_blocking(descriptor, True)
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise PhotoError(f"{name}: is a folder; name a photo in it")
    raise PhotoError(f"{name}: is no file but a pipe or device; name a file, or pipe a photo in with -")


def _handed_over(path: Path) -> bool:
    folder = str(path.parent)
    return str(path) == "/dev/stdin" or folder == "/dev/fd" or (folder[:6], folder[-3:]) == ("/proc/", "/fd")


def read_rest(stream: BinaryIO, head: bytes, name: str, max_pixels: int) -> bytes:
    """Return ``head`` and what follows it in a stream.

    Raises:
        PhotoError: more bytes than a photo of ``max_pixels`` pixels can need, or the stream broke off.
    """
    most = largest_file(max_pixels)
    data = bytearray(head)
    try:
        if stream.seekable():
            at, end = stream.tell(), stream.seek(0, os.SEEK_END)
            stream.seek(at)
            if len(head) + end - at <= most:
                return head + stream.read()
            raise _too_large(name, max_pixels)
        while block := stream.read(BLOCK):
            data += block
            if len(data) > most:
                raise _too_large(name, max_pixels)
    except OSError as error:
        raise PhotoError(f"{name}: cannot be read ({error.strerror or error}); get it again") from error
    return bytes(data)


def read_settings(path: Path, most: int = LARGEST_SETTINGS) -> str:
    """Return the text of a file of settings, of at most ``most`` bytes.

    A named pipe would wait for a writer and a device may never end, so neither is opened.

    Raises:
        OSError: missing or not readable.
        ValueError: no file, larger, or not UTF-8.
    """
    if path.exists() and not path.is_file():
        raise ValueError("it is no file")
    with path.open("rb") as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise ValueError(f"it is larger than {most} bytes")
    return data.decode("utf-8")


def _too_large(name: str, max_pixels: int) -> PhotoError:
    most = largest_file(max_pixels) // 10**6
    return PhotoError(
        f"{name}: is larger than {most:,} MB, more than a photo of {max_pixels:,} pixels needs; "
        "make it smaller, or raise --max-pixels if you trust the file"
    )
