"""A cache of small arrays on disk, under the checksum of everything they were computed from."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import platformdirs

from sargan_core.errors import DataError

Arrays = dict[str, npt.NDArray[Any]]


def default_cache() -> Path:
    """Return the folder of the crop cache: below ``SARGAN_HOME`` if set, else in the user's cache folder."""
    home = os.environ.get("SARGAN_HOME")
    return (Path(home) / "cache" if home else platformdirs.user_cache_path("sargan")) / "crops"


def checksum(*parts: bytes | str) -> str:
    """Return one hexadecimal SHA-256 over all parts and their lengths."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


class ArrayCache:
    """Named arrays by key; any number of processes may share the folder.

    An entry is written under a temporary name and renamed, so that nobody reads an incomplete one; npz files hold
    checksums, so that a damaged one counts as missing and is written again.

    Args:
        folder: of the entries; created if missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, key: str) -> Arrays | None:
        """Return the entry's arrays, or None where there is none that can be read."""
        try:
            with np.load(self._file(key), allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, EOFError, KeyError, BadZipFile, zlib.error):
            return None

    def store(self, key: str, arrays: Arrays) -> None:
        """Write an entry.

        Raises:
            DataError: the folder cannot be written.
        """
        file = self._file(key)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f"{key[:8]}-", suffix=".part", dir=file.parent)
            try:
                with os.fdopen(handle, "wb") as stream:
                    np.savez(stream, **arrays)  # type: ignore[arg-type]
                Path(name).replace(file)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            reason = error.strerror or str(error)
            raise DataError(
                f"{self.folder}: cannot write the crop cache ({reason}); "
                "make room there or choose another folder"
            ) from error

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.npz"
