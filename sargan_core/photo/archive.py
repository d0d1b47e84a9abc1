"""Open untrusted zip archives (checkpoints, npz files) with limits on their parts and their inflated size."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from sargan_core.photo.content import BLOCK, open_file

MOST_PARTS = 100_000
# Signature of one entry in the directory of an archive; zipfile reads the whole directory, however long.
ENTRY = b"PK\x01\x02"
# Largest sum of an npz file's arrays, in bytes.
LARGEST_ARRAYS = 2**29
# What reading a damaged archive raises.
DAMAGED = (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, LookupError)


def open_archive(stream: BinaryIO, most: int) -> zipfile.ZipFile:
    """Open a zip archive.

    Args:
        stream: a seekable file, at any position.
        most: limit of the sum of the inflated parts, in bytes.

    Raises:
        ValueError: no archive, too many parts, or too large once inflated.
    """
    if stream.seek(0, 2) > most:
        raise ValueError(f"an archive of more than {most:,} bytes")
    stream.seek(0)
    entries, end = 0, b""
    while block := stream.read(BLOCK):
        entries += (end + block).count(ENTRY)
        end = block[-len(ENTRY) + 1 :]
        if entries > MOST_PARTS:
            raise ValueError(f"an archive of more than {MOST_PARTS:,} parts")
    stream.seek(0)
    try:
        archive = zipfile.ZipFile(stream)
    except DAMAGED as error:
        raise ValueError(f"a damaged archive: {str(error)[:80]}") from error
    if sum(part.file_size for part in archive.infolist()) > most:
        raise ValueError(f"an archive that inflates to more than {most:,} bytes")
    return archive


class Arrays:
    """The arrays of an npz file, each read when it is asked for.

    Attributes:
        kinds: dtype by name.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._parts = {part.filename.removesuffix(".npy"): part for part in archive.infolist()}
        self.kinds = {name: self._described(part) for name, part in self._parts.items()}

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        with self._archive.open(self._parts[name]) as member:
            array: npt.NDArray[Any] = npy.read_array(member, allow_pickle=False)
            return array

    def _described(self, part: zipfile.ZipInfo) -> np.dtype[Any]:
        """Return the dtype of an array, after a check of its size: NumPy allocates memory before it checks."""
        with self._archive.open(part) as member:
            read = (
                npy.read_array_header_1_0 if npy.read_magic(member) == (1, 0) else npy.read_array_header_2_0
            )
            shape, _, kind = read(member)
        if (
            kind.hasobject
            or min(shape, default=0) < 0
            or math.prod(shape) * max(1, kind.itemsize) > part.file_size
        ):
            raise ValueError(
                f"the array '{part.filename[:80]}' holds objects, or is larger than its part of the file"
            )
        return kind


@contextmanager
def open_arrays(path: Path) -> Iterator[Arrays]:
    """Open an npz file; objects in it are refused.

    Raises:
        OSError: missing or not readable.
        ValueError: not a file, not an npz file, or damaged; also inside the block, for an array that is missing.
    """
    with open_file(path) as stream:
        try:
            yield Arrays(open_archive(stream, LARGEST_ARRAYS))
        except (*DAMAGED, zlib.error) as error:
            raise ValueError(f"damaged: {str(error)[:80]}") from error
