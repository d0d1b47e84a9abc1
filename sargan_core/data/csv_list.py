"""Photos listed in a CSV file, for sets whose file names do not say who shows what (CFEE and one's own)."""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from sargan_core.data.samples import Sample, Skipped
from sargan_core.errors import DataError, UsageError
from sargan_core.expressions import parse_expression

COLUMNS = ("path", "person", "expression")
# Far more than a list of photos has; whatever is longer is something else.
LONGEST_LINE = 2**16
LARGEST_FILE = 2**26


def is_csv_list(file: Path) -> bool:
    """Return whether the first line of ``file`` names the columns path, person and expression."""
    try:
        # Opening a named pipe would wait for a writer.
        if not file.is_file():
            return False
        with file.open(encoding="utf-8-sig", newline="") as stream:
            return set(COLUMNS) <= set(_header(stream.readline(LONGEST_LINE)))
    except (OSError, UnicodeDecodeError):
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
        if file.stat().st_size > LARGEST_FILE:
            raise DataError(f"{file}: is larger than {LARGEST_FILE >> 20} MB, too large for a list; split it")
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as UTF-8 text ({error}); save it as UTF-8") from error
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
    # As it is written: a link in the folder may lead wherever its owner wants.
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
