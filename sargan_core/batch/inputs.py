"""The photos that a batch takes: from folders, patterns, files and lists of files."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from sargan_core.batch.manifest import manifest_paths
from sargan_core.errors import UsageError
from sargan_core.photo.files import shown
from sargan_core.photo.kinds import READ_ENDINGS, is_read_only

# Bytes and names of a list of photos: the plan takes about a kilobyte a name.
LARGEST_LIST = 2**27
MOST_NAMES = 1_000_000
# Counted and named in a note to the user.
OWN_RESULTS = "what lies in the output folder"


@dataclass(frozen=True)
class Found:
    """The photos of a batch.

    Attributes:
        photos: (path as given or found, path relative to the base with ``/``), sorted by the second.
        base: the folder that the relative paths start at.
        notes: sentences for the user about what was left out.
    """

    photos: tuple[tuple[str, str], ...]
    base: Path
    notes: tuple[str, ...]


def find_photos(
    arguments: Sequence[str],
    listed: Sequence[str] | None,
    root: Path | None,
    is_output: Callable[[Path], bool],
) -> Found:
    """Return the photos that a batch takes.

    In folders, photos are recognised by the ending of their names. Hidden files and folders and the results of earlier
    batches are left out; links to folders are followed. Files that are named one by one are taken as they are.

    Args:
        arguments: folders, files and patterns (``*``, ``?``, ``[…]``, ``**``).
        listed: further files, from a list; None = there is no list.
        root: where the relative paths start; None = the deepest folder that holds all arguments, or for a list of
            relative paths the working folder.
        is_output: whether a folder is the output folder.

    Raises:
        UsageError: an argument is not there, or a photo lies outside ``root``.
    """
    walker = _Walker(is_output)
    bases: list[str] = []
    paths: list[str] = []
    for argument in arguments:
        if not argument:
            raise UsageError("an input has an empty name; check the variable that it comes from")
        if os.path.isdir(argument):  # noqa: PTH112 (says no where a name is too long)
            if len(arguments) > 1 and not walker.takes_argument(Path(argument)):
                continue
            bases.append(argument)
            paths += walker.photos_in(argument)
        elif glob.has_magic(argument) and not os.path.lexists(argument):
            bases.append(_plain_folder(argument))
            paths += _matches(argument, walker)
        elif os.path.lexists(argument):
            if walker.takes_file(argument):
                bases.append(str(PurePath(argument).parent))
                paths.append(argument)
        else:
            raise UsageError(f"{shown(argument)}: there is no such file or folder; check the name")
    for path in listed or ():
        if os.path.isdir(path):  # noqa: PTH112
            walker.left_out["folders in the list (name the folder as an argument to take all it holds)"] += 1
            continue
        if walker.takes_file(path):
            bases.append(str(PurePath(path).parent))
            paths.append(path)
    base = _base(bases, root, listed if not arguments else None)
    photos: dict[str, str] = {}
    for path in paths:
        photos.setdefault(_relative(path, base), path)
    notes = tuple(f"left out: {what} ({count})" for what, count in sorted(walker.left_out.items()))
    return Found(tuple((photos[name], name) for name in sorted(photos)), base, notes)


def once_each(found: Found) -> Found:
    """Return the photos that may be written over: each file once, under its own name, and inside the base.

    A symbolic link is left out if its photo is among the photos too, or lies outside the base: nobody named that file.
    Hard links count as files of their own, because writing over one leaves the other as it was.
    """
    left_out: Counter[str] = Counter()
    base = os.path.realpath(found.base)
    chosen: dict[str, tuple[str, str]] = {}
    for path, name in found.photos:
        file = os.path.realpath(path)
        own_name = os.path.join(base, name) == file  # noqa: PTH118
        if is_read_only(Path(path)):
            left_out["HEIC photos, which are only read (leave out --in-place)"] += 1
            continue
        if not file.startswith(base.rstrip(os.sep) + os.sep):
            left_out["links to photos outside the folder (name the photos themselves)"] += 1
            continue
        if file in chosen:
            left_out["links to photos that are there as well"] += 1
        if own_name or file not in chosen:
            chosen[file] = path, name
    notes = tuple(f"left out: {what} ({count})" for what, count in sorted(left_out.items()))
    photos = tuple(sorted(chosen.values(), key=lambda photo: photo[1]))
    return Found(photos, found.base, (*found.notes, *notes))


def read_list(data: bytes, *, null: bool) -> list[str]:
    """Return the names in a list, one per line or each ended by a NUL byte; empty names are left out.

    Raises:
        UsageError: a line holds a NUL byte.
        ValueError: more names than ``MOST_NAMES``.
    """
    ends = (b"\0",) if null else (b"\n", b"\r")
    if sum(data.count(end) for end in ends) > MOST_NAMES:
        raise ValueError(f"it has more than {MOST_NAMES:,} names")
    names = data.split(b"\0") if null else data.splitlines()
    if any(b"\0" in name for name in names):
        raise UsageError("the list holds NUL bytes, which no name can; with --null they end its names")
    return [os.fsdecode(name) for name in names if name]


class _Walker:
    """Finds photos in folders and counts what it leaves out."""

    def __init__(self, is_output: Callable[[Path], bool]) -> None:
        self._is_output = is_output
        self._inside: dict[str, bool] = {}
        self.left_out: Counter[str] = Counter()

    def photos_in(self, folder: str) -> Iterator[str]:
        """Yield the photos below a folder, in the order of their names."""
        yield from self._walk(folder, frozenset())

    def takes_argument(self, folder: Path) -> bool:
        """Return whether a folder that was named is an input; counts the output folder (``sargan batch *``)."""
        if self._is_output(folder):
            self.left_out[OWN_RESULTS] += 1
            return False
        return True

    def takes_file(self, path: str) -> bool:
        """Return whether a file that was named lies outside the output folder; counts it if not (``find .``)."""
        folder = str(PurePath(path).parent)
        if folder not in self._inside:
            absolute = Path(os.path.abspath(folder))  # noqa: PTH100 (links keep their own names)
            self._inside[folder] = any(self._is_output(above) for above in (absolute, *absolute.parents))
        if self._inside[folder]:
            self.left_out[OWN_RESULTS] += 1
        return not self._inside[folder]

    def takes_folder(self, folder: Path) -> bool:
        """Return whether a folder below an argument may hold inputs; counts it if not."""
        if self._is_output(folder) or manifest_paths(folder):
            self.left_out["folders with results of a batch (name one as an argument to take it)"] += 1
            return False
        return True

    def _walk(self, folder: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
        try:
            status = Path(folder).stat()
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            self.left_out[f"folders that cannot be read ({shown(folder)}: {error.strerror})"] += 1
            return
        identity = (status.st_dev, status.st_ino)
        if identity in above:  # a link to a folder that it lies in
            self.left_out["links that lead back to a folder they lie in"] += 1
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = os.path.join(folder, entry.name)  # noqa: PTH118 (millions of Path objects are slow)
            if _is_folder(entry):
                if self.takes_folder(Path(path)):
                    yield from self._walk(path, above | {identity})
            elif os.path.splitext(entry.name)[1].lower() in READ_ENDINGS:  # noqa: PTH122
                yield path
            else:
                self.left_out["files whose ending is no photo format"] += 1


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself; reading it will say so
        return False


def _plain_folder(pattern: str) -> str:
    """Return the folder that all matches of a pattern lie in: its parts before the first with a wildcard."""
    parts = []
    for part in PurePath(pattern).parts:
        if glob.has_magic(part):
            break
        parts.append(part)
    return str(PurePath(*parts)) if parts else "."


def _matches(pattern: str, walker: _Walker) -> Iterator[str]:
    found = False
    for path in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 (patterns may be absolute)
        found = True
        if os.path.isdir(path):  # noqa: PTH112
            # "**" also matches the folders whose photos it matches.
            if "**" not in pattern:
                yield from walker.photos_in(path)
        elif os.path.splitext(path)[1].lower() in READ_ENDINGS:  # noqa: PTH122
            if all(walker.takes_folder(above) for above in _between(path, pattern)):
                yield path
        else:
            walker.left_out["files whose ending is no photo format"] += 1
    if not found:
        raise UsageError(f"{shown(pattern)}: matches nothing; check the pattern")


def _between(path: str, pattern: str) -> list[Path]:
    """Return the folders that a match lies in, below the pattern's plain folder."""
    fixed = Path(_plain_folder(pattern))
    return [folder for folder in Path(path).parents if folder != fixed and fixed in folder.parents]


def _base(folders: list[str], root: Path | None, listed: Sequence[str] | None) -> Path:
    if root is not None:
        if not root.is_dir():
            raise UsageError(f"--root {shown(root)}: is no folder; name the folder that the photos lie in")
        return root
    if listed is not None and not any(
        PurePath(path).is_absolute() or ".." in PurePath(path).parts for path in listed
    ):
        return Path()
    if not folders:
        return Path()
    if len(set(folders)) == 1:
        return Path(folders[0])
    try:
        return Path(os.path.commonpath([os.path.abspath(folder) for folder in set(folders)]))  # noqa: PTH100
    except ValueError as error:  # on different drives
        raise UsageError("the photos lie on different drives; edit them in separate calls") from error


def _relative(path: str, base: Path) -> str:
    # Text only: a link below the base must not lead its photos out of the output tree.
    absolute = os.path.relpath(os.path.abspath(path), os.path.abspath(base))  # noqa: PTH100
    name = PurePath(absolute)
    if ".." in name.parts or name.is_absolute():
        raise UsageError(
            f"{shown(path)}: lies outside --root {shown(base)}; choose a folder that holds all photos"
        )
    return name.as_posix()
