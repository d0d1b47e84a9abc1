"""Photos listed in a CSV file, for sets whose file names do not say who shows what (CFEE and one's own)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from sargan_core.data.samples import Sample, Skipped
from sargan_core.errors import DataError, UsageError
from sargan_core.expressions import parse_expression

COLUMNS = ("path", "person", "expression")


def is_csv_list(file: Path) -> bool:
    """Return whether the first line of ``file`` names the columns path, person and expression."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            return set(COLUMNS) <= set(_header(stream.readline()))
    except (OSError, UnicodeDecodeError):
        return False


def read_csv_list(file: Path, source: str) -> Iterator[Sample | Skipped]:
    """Yield the photos that a CSV file lists.

    The first line names the columns; ``path`` (relative to the CSV file, or absolute), ``person`` and
    ``expression`` (name, alias or code) must be there, ``take`` may be, others are ignored. Commas,
    semicolons or tabs part the columns; the file is UTF-8. A row that names no file or none of the seven
    expressions is yielded as skipped.

    Args:
        file: the CSV file.
        source: name of the set, the first part of ``Sample.person``.

    Raises:
        DataError: not a text file, or a column is missing.
    """
    try:
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
    for row in rows:
        values = {key: (row.get(key) or "").strip() for key in (*COLUMNS, "take")}
        path = file.parent / values["path"]
        if not values["path"] or not values["person"]:
            yield Skipped(path, "CSV row without a path or a person")
            continue
        try:
            expression = parse_expression(values["expression"])
        except UsageError:
            yield Skipped(path, f"CSV expression '{values['expression']}' is none of the seven")
            continue
        if not path.is_file():
            yield Skipped(path, "listed in the CSV file but not there")
        elif path.stat().st_size == 0:
            yield Skipped(path, "empty file")
        else:
            yield Sample(path, f"{source}-{values['person']}", expression, source, values["take"])


def _delimiter(line: str) -> str:
    return max(",;\t", key=line.count)


def _header(line: str) -> list[str]:
    return [cell.strip().strip('"').lower() for cell in line.strip().split(_delimiter(line))]
