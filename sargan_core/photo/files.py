"""Write files whole or not at all: under a temporary name in the same folder, then renamed."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sargan_core.errors import OutputExistsError, PhotoError

# Most names that a message lists, and most characters of each.
MOST_NAMES = 8
LONGEST_NAME = 80

# Errors of file systems without hard links.
_NO_LINKS = {
    *(errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS),
    *(errno.EMLINK, errno.EXDEV, errno.EINVAL),
}


def shown(name: str | os.PathLike[str]) -> str:
    """Return a file name for one line of a message, with control and undecodable characters escaped."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in os.fspath(name)
    )


def some_names(names: Sequence[str]) -> str:
    """Return the first few of some names, shortened, for one line of a message."""
    listed = ", ".join(shown(name[:LONGEST_NAME]) for name in names[:MOST_NAMES])
    return f"{listed} and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else listed


@contextmanager
def replacing(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path to write to; it becomes ``path`` when the block ends well and vanishes otherwise.

    The temporary file exists already, empty, in the same folder and with the same suffix. The result has the
    permissions of any new file, or those of the file it replaces. A link is followed: its target is replaced.

    Raises:
        OutputExistsError: ``path`` exists and ``overwrite`` is false; nothing was changed.
        PhotoError: the folder is missing or not writable, the disk is full, or ``path`` is not a regular
            file.
    """
    try:
        place = Path(os.path.realpath(path)) if path.is_symlink() else path
        mode = _mode_of(path, place, overwrite)
        temporary = _create(place, private=mode is not None)
    except OSError as error:
        raise _explained(error, path) from error
    except ValueError as error:
        raise PhotoError(f"{shown(path)}: is no possible file name; choose another") from error
    try:
        yield temporary
        _sync(temporary)
        _put(temporary, place, mode, overwrite=overwrite)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise _explained(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def stage(data: bytes, folder: Path, path: Path) -> Path:
    """Write bytes to a new temporary file, flushed to the disk, that ``place`` will put at ``path``.

    Args:
        data: the content.
        folder: where the temporary file lies, if on the file system of ``path``; otherwise it lies beside ``path``.
        path: where it will go, and its name in errors; the folder must exist.

    Raises:
        PhotoError: as ``replacing``.
    """
    try:
        near = folder if folder.stat().st_dev == path.parent.stat().st_dev else path.parent
        temporary = _create(near / path.name, private=False)
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _explained(error, path) from error
    return temporary


def place(temporary: Path, path: Path, *, overwrite: bool = False) -> None:
    """Put a staged file at ``path``; it keeps its mtime. The staged file is always removed.

    Raises:
        OutputExistsError, PhotoError: as ``replacing``.
    """
    try:
        goal = Path(os.path.realpath(path)) if path.is_symlink() else path
        _put(temporary, goal, _mode_of(path, goal, overwrite), overwrite=overwrite)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise _explained(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes, *, overwrite: bool = False) -> None:
    """Write bytes to a file that appears whole or not at all; errors as for ``replacing``."""
    with replacing(path, overwrite=overwrite) as temporary, temporary.open("wb") as file:
        file.write(data)


def check_writable(path: Path, *, overwrite: bool = False) -> None:
    """Raise what ``replacing`` would raise for ``path``; nothing is left behind."""
    with suppress(_Checked), replacing(path, overwrite=overwrite):
        raise _Checked


class _Checked(Exception):
    """Ends a block of ``replacing`` without a file."""


def write_text(path: Path, text: str) -> None:
    """Write a file of UTF-8 text, over an earlier one; PhotoError as for ``replacing``."""
    write_atomically(path, text.encode("utf-8", "surrogateescape"), overwrite=True)


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Turn an OSError inside the block into a PhotoError that says why ``path`` cannot be written."""
    try:
        yield
    except OSError as error:
        raise _explained(error, path) from error


def _exists(path: Path) -> OutputExistsError:
    return OutputExistsError(f"{shown(path)}: exists already; choose another name or ask for overwriting")


def _mode_of(path: Path, place: Path, overwrite: bool) -> int | None:
    try:
        status = place.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(status.st_mode):
        raise PhotoError(f"{shown(path)}: is a folder; name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise PhotoError(f"{shown(path)}: is not a regular file; name a file, or '-' for standard output")
    if not overwrite:
        raise _exists(path)
    return stat.S_IMODE(status.st_mode)


def _create(place: Path, *, private: bool) -> Path:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    while True:
        temporary = place.with_name(f".sargan-{secrets.token_hex(8)}{place.suffix}")
        try:
            # The system applies the umask here; asking for it would change it for all threads for a moment.
            os.close(os.open(temporary, flags, 0o600 if private else 0o666))
        except FileExistsError:
            continue
        return temporary


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put(temporary: Path, place: Path, mode: int | None, *, overwrite: bool) -> None:
    if mode is not None:
        temporary.chmod(mode)
    if overwrite:
        temporary.replace(place)
    else:
        _place_without_overwriting(temporary, place)


def _place_without_overwriting(temporary: Path, place: Path) -> None:
    try:
        os.link(temporary, place)
        return
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    # File systems without hard links: claim the name first, then put the file in its place.
    os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        temporary.replace(place)
    except BaseException:
        place.unlink(missing_ok=True)
        raise


def _explained(error: OSError, path: Path) -> PhotoError:
    name, folder = shown(path), shown(path.parent)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return PhotoError(f"{name}: the folder '{folder}' does not exist; create it first")
    if error.errno in (errno.EACCES, errno.EPERM):
        return PhotoError(f"{name}: no permission to write in '{folder}'; choose another folder")
    if error.errno == errno.EROFS:
        return PhotoError(f"{name}: '{folder}' can only be read; choose another folder")
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return PhotoError(f"{name}: the disk is full; free some space or choose another folder")
    if error.errno == errno.ENAMETOOLONG:
        return PhotoError(f"{name}: the file name is too long; choose a shorter one")
    return PhotoError(f"{name}: cannot be written ({error.strerror or error}); choose another place")
