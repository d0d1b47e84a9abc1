"""Read folders of training photos: KDEF, RaFD and JAFFE names, class folders, CSV lists, the shared sets."""

from __future__ import annotations

import csv
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sargan_core.data.samples import Sample, Skipped
from sargan_core.data.sets import NAMED_SETS, SET_NAMES, SharedSet, Unwanted, parse_file_name, read_shared_set
from sargan_core.errors import DataError, UsageError
from sargan_core.expressions import NAMES, Expression, parse_expression
from sargan_core.photo.content import TooLargeError, open_file, read_file, reason_of

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".avif", ".gif"})
LAYOUTS = (
    "KDEF names (AF01ANS.JPG), RaFD names (Rafd090_28_Caucasian_male_angry_frontal.jpg), "
    "JAFFE names (KA.AN1.39.tiff), one folder an expression (happy/anna.jpg, neutral/anna.jpg), "
    "or a CSV file with the columns path,person,expression"
)
_VARIANT = re.compile(r"(.+)_k(\d+)", re.IGNORECASE)
_LAST_WORD = re.compile(r"(.+)[-_. ]+([A-Za-z]+)")


@dataclass(frozen=True)
class Sources:
    """What was found in the given folders.

    Attributes:
        samples: the usable photos, in the order of the folders, then by path.
        skipped: every file that was left out, with the reason.
    """

    samples: tuple[Sample, ...]
    skipped: tuple[Skipped, ...]

    def reasons(self) -> Counter[str]:
        """Return how many files were left out for each reason."""
        return Counter(item.reason for item in self.skipped)


def read_sources(folders: Sequence[Path | str]) -> Sources:
    """Read the photos of all ``folders``; each file is recognised by itself, so layouts may be mixed.

    A file's name is looked at first (KDEF, RaFD, JAFFE), then the nearest folder above it that has an
    expression's name, alias or code (``happy``, ``smile``, ``AFS``). In class folders the person is the
    file's name up to ``_k1`` (a variant, kept as the take) or the expression's own name at its end:
    ``happy/anna_k2.jpg``, ``happy/anna_happy.jpg`` and ``neutral/anna.jpg`` are the same ``anna``, and other
    than the ``anna`` of another given folder. A folder with a CSV list (``is_csv_list``) gives what the list
    names and nothing else. The shared sets are recognised in the folder itself and in the folders right
    below, so that their parent can be given.

    Args:
        folders: folders, or CSV files.

    Returns:
        The samples, each path once, and what was skipped.

    Raises:
        DataError: a folder does not exist or holds no usable photo; the message names it and the accepted
            layouts.
    """
    if not folders:
        raise DataError(f"no data folder given; accepted: {LAYOUTS}")
    samples: list[Sample] = []
    skipped: list[Skipped] = []
    seen: set[Path] = set()
    roots = [Path(folder) for folder in folders]
    for root, name in zip(roots, _names(roots), strict=True):
        if not root.exists():
            raise DataError(f"{root}: no such folder; check --data")
        found: list[Sample | Skipped] = list(_read(root, name))
        usable = [item for item in found if isinstance(item, Sample)]
        if not usable:
            raise DataError(f"{root}: {_why_nothing(found)}; accepted: {LAYOUTS}")
        for item in found:
            if isinstance(item, Skipped):
                skipped.append(item)
                continue
            resolved = Path(os.path.realpath(item.path))
            if resolved in seen:
                skipped.append(Skipped(item.path, "the same file was given before"))
            else:
                seen.add(resolved)
                samples.append(item)
    return Sources(tuple(samples), tuple(skipped))


def _read(root: Path, name: str) -> Iterator[Sample | Skipped]:
    if root.is_file():
        if root.suffix.lower() != ".csv":
            raise _no_source(root)
        yield from read_csv_list(root, name)
        return
    if not root.is_dir():
        raise _no_source(root)
    lists = [file for file in sorted(root.glob("*.csv")) if is_csv_list(file)]
    if lists:
        for table in lists:
            yield from read_csv_list(table, name if len(lists) == 1 else _plain(table.stem))
        return
    shared = {folder: read_shared_set(folder) for folder in [root, *_subfolders(root)]}
    companions = {folder for folder, known in shared.items() if known is not None}
    for file in _files(root):
        if isinstance(file, Skipped):
            yield file
            continue
        home = next((folder for folder in companions if folder in file.parents), None)
        known = shared[home] if home is not None else None
        if home is not None and known is not None:
            # Tables, notes and records that belong to a shared set are not candidates.
            if file.suffix.lower() in IMAGE_SUFFIXES:
                yield _read_shared(file, home, known)
        elif file.suffix.lower() not in IMAGE_SUFFIXES:
            yield Skipped(file, "not an image file")
        else:
            yield _read_image(file, root, name)


def _no_source(root: Path) -> DataError:
    return DataError(f"{root}: neither a folder nor a CSV file; accepted: {LAYOUTS}")


def _read_shared(file: Path, home: Path, known: SharedSet) -> Sample | Skipped:
    expression = _expression_of_folder(file, home)
    if expression is None:
        return Skipped(file, "no expression in the file's name or the folder's")
    identity, take = _identity(file.stem, expression)
    person, train_only = known.person(identity)
    landmarks = known.known.get(file.relative_to(home).as_posix())
    return Sample(file, person, expression, known.name, take, landmarks, train_only)


def _read_image(file: Path, root: Path, name: str) -> Sample | Skipped:
    folders = file.relative_to(root).parts[:-1]
    if any(folder.upper() == "AKDEF" for folder in folders):
        return Skipped(file, "AKDEF average, not a person")
    expression = _expression_of_folder(file, root)
    named = parse_file_name(file.stem)
    if isinstance(named, Unwanted):
        return Skipped(file, named.reason)
    if named is not None:
        if expression not in (None, named.expression):
            return Skipped(file, f"the name says {named.expression}, the folder {expression}")
        return Sample(file, f"{named.source}-{named.person}", named.expression, named.source, named.take)
    if expression is None:
        return Skipped(file, "no expression in the file's name or the folder's")
    identity, take = _identity(file.stem, expression)
    return Sample(file, f"{name}-{identity}", expression, name, take)


def _expression_of_folder(file: Path, root: Path) -> Expression | None:
    for folder in reversed(file.relative_to(root).parts[:-1]):
        try:
            return parse_expression(folder)
        except UsageError:
            continue
    return None


def _identity(stem: str, expression: Expression) -> tuple[str, str]:
    """Return person and take of a class-folder file: ``anna_k2`` and ``anna_happy_k2`` are (anna, k2)."""
    take = ""
    for _ in range(2):
        if not take and (match := _VARIANT.fullmatch(stem)):
            stem, take = match[1], f"k{match[2]}"
        elif (match := _LAST_WORD.fullmatch(stem)) and NAMES.get(match[2].lower()) is expression:
            stem = match[1]
    return stem, take


def _subfolders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir())


def _files(root: Path) -> Iterator[Path | Skipped]:
    """Yield every file below ``root``, sorted, and as skipped what cannot be opened or is empty."""
    closed: list[Skipped] = []
    visited: set[Path] = set()

    def on_error(error: OSError) -> None:
        closed.append(Skipped(Path(error.filename), "folder cannot be opened"))

    for folder, subfolders, files in os.walk(root, onerror=on_error, followlinks=True):
        here = Path(folder)
        # A link back to a folder above would never end.
        place = Path(os.path.realpath(here))
        if place in visited:
            subfolders.clear()
            continue
        visited.add(place)
        subfolders.sort()
        for file in (here / name for name in sorted(files)):
            if not file.is_file():
                yield Skipped(file, "not a regular file, or a link to nothing")
            elif file.stat().st_size == 0:
                yield Skipped(file, "empty file")
            else:
                yield file
    yield from closed


def _plain(text: str) -> str:
    # '-' parts the source from the person in Sample.person.
    return re.sub(r"[^\w.]+", "_", text).strip("_") or "data"


def _names(roots: Sequence[Path]) -> list[str]:
    """Return a short name a root: its last path part, or as many as it takes to tell two roots apart."""
    resolved = [Path(os.path.realpath(root)) for root in roots]
    parts = [(*root.parts[:-1], root.stem if root.is_file() else root.name) for root in resolved]
    names = []
    for path in parts:
        length = 1
        while any(path != other and path[-length:] == other[-length:] for other in parts):
            length += 1
        name = _plain("_".join(path[-length:]))
        names.append(f"{name}_folder" if name in (*NAMED_SETS, *SET_NAMES) else name)
    return names


def _why_nothing(found: Iterable[Sample | Skipped]) -> str:
    reasons = Counter(item.reason for item in found if isinstance(item, Skipped))
    if not reasons:
        return "nothing in it"
    reason, count = reasons.most_common(1)[0]
    return f"no usable photo among {sum(reasons.values())} files (mostly: {reason}, {count})"


COLUMNS = ("path", "person", "expression")
# Limits of a CSV file in bytes, far above those of a real list of photos.
LONGEST_LINE = 2**16
LARGEST_FILE = 2**26


def is_csv_list(file: Path) -> bool:
    """Return whether the first line of ``file`` names the columns path, person and expression."""
    try:
        with open_file(file) as stream:
            line = stream.readline(LONGEST_LINE).decode("utf-8-sig")
        return set(COLUMNS) <= set(_header(line))
    except (OSError, ValueError):
        return False


def read_csv_list(file: Path, source: str) -> Iterator[Sample | Skipped]:
    """Yield the photos that a CSV file lists.

    The first line names the columns; ``path`` (relative to the CSV file, or absolute; in its folder or below, so that
    a list from elsewhere cannot name the files of this computer), ``person`` and
    ``expression`` (name, alias or code) must be there, ``take`` may be, others are ignored. Commas,
    semicolons or tabs part the columns; the file is UTF-8. A row that names no file or none of the seven
    expressions is yielded as skipped.

    Args:
        file: the CSV file.
        source: name of the set, the first part of ``Sample.person``.

    Raises:
        DataError: not a text file, too large for a list, a line that is no CSV, or a column is missing.
    """
    try:
        text = read_file(file, LARGEST_FILE).decode("utf-8-sig")
    except TooLargeError as error:
        raise DataError(
            f"{file}: is larger than {LARGEST_FILE >> 20} MB, too large for a list; split it"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(
            f"{file}: cannot be read as UTF-8 text ({reason_of(error)}); save it as UTF-8"
        ) from error
    lines = text.splitlines()
    first = lines[0] if lines else ""
    missing = [column for column in COLUMNS if column not in _header(first)]
    if missing:
        raise DataError(
            f"{file}: the first line lacks {', '.join(missing)}; it must name path,person,expression"
        )
    rows = csv.DictReader(lines[1:], fieldnames=_header(first), delimiter=_delimiter(first))
    try:
        for row in rows:
            values = {key: (row.get(key) or "").strip() for key in (*COLUMNS, "take")}
            yield _item(file, source, values)
    except csv.Error as error:
        raise DataError(f"{file}: line {rows.line_num + 1} is not CSV ({error}); mend the line") from error


def _item(file: Path, source: str, values: dict[str, str]) -> Sample | Skipped:
    path = file.parent / values["path"]
    if not values["path"] or not values["person"]:
        return Skipped(path, "CSV row without a path or a person")
    # Compared without resolving links: a link in the folder may lead anywhere its owner wants.
    if not Path(os.path.normpath(path.absolute())).is_relative_to(os.path.normpath(file.parent.absolute())):
        return Skipped(path, "lies outside the folder of the CSV file; put the file above its photos")
    try:
        expression = parse_expression(values["expression"])
    except UsageError:
        return Skipped(path, f"CSV expression '{values['expression']}' is none of the seven")
    try:
        status = path.stat()
    except (OSError, ValueError):
        return Skipped(path, "listed in the CSV file but not there")
    if not stat.S_ISREG(status.st_mode):
        return Skipped(path, "listed in the CSV file but not a file")
    if status.st_size == 0:
        return Skipped(path, "empty file")
    return Sample(path, f"{source}-{values['person']}", expression, source, values["take"])


def _delimiter(line: str) -> str:
    return max(",;\t", key=line.count)


def _header(line: str) -> list[str]:
    return [cell.strip().strip('"').lower() for cell in line.strip().split(_delimiter(line))]
