"""The manifest: one line per result, appended, so that a run that was killed can be continued.

A line is written before its result is put in place. So every result that is there has a line, whenever the run is
killed. A line whose result is missing, or still the old one, counts as work to do.
"""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self, TypeVar

from sargan_core.errors import DataError, PhotoError
from sargan_core.outcome import Outcome
from sargan_core.photo.content import NoFileError
from sargan_core.photo.files import shown
from sargan_core.photo.lines import LineFile, check_ours, read_lines

Item = TypeVar("Item")

STEM = "sargan-batch"
ENDING = ".jsonl"
FORMAT = 1
_MEMBERS = ("format", "input", "output")
_WHAT = "manifest of sargan batch"


def manifest_path(folder: Path, shard: str = "") -> Path:
    """Return the path of an output folder's manifest; each shard (``2-of-8``) has its own."""
    return folder / (f"{STEM}.{shard}{ENDING}" if shard else STEM + ENDING)


def manifest_paths(folder: Path) -> list[Path]:
    """Return the manifests in an output folder: that of a run without shards and those of shards."""
    found = (path for path in folder.glob(f"{STEM}*{ENDING}") if path.is_file())
    return sorted(path for path in found if path.name == STEM + ENDING or path.name.startswith(STEM + "."))


def check_manifests(folder: Path, manifest: Path) -> None:
    """Refuse an output folder in which a file has the name of a manifest but is none.

    Args:
        folder: the output folder; it may be missing.
        manifest: the manifest that will be written to.

    Raises:
        UsageError: there is such a file; nothing was touched.
    """
    for path in dict.fromkeys((manifest, *manifest_paths(folder))):
        check_ours(path, _MEMBERS, _WHAT)


def read_manifest(path: Path) -> dict[str, Entry]:
    """Return the newest entry of every output, by output, in the order of the outputs' first lines.

    Args:
        path: a manifest, or an output folder, whose manifests are then read as one. Within a manifest the later line
            is the newer one, because clocks may be set back; between manifests the time of the lines decides.

    Raises:
        DataError: it is missing, or a line is no entry. A torn last line is left out.
    """
    entries: dict[str, Entry] = {}
    for entry, newest in iterate_manifest(path):
        if newest:
            entries[entry.output] = entry
    return entries


def iterate_manifest(path: Path) -> Iterator[tuple[Entry, bool]]:
    """Yield every entry of a manifest, or of all manifests of an output folder, file by file.

    With each comes whether it is the newest of its output so far.

    Raises:
        DataError: as ``read_manifest``.
    """
    paths = manifest_paths(path) if path.is_dir() else [path]
    if not paths:
        raise DataError(f"{shown(path)}: holds no {STEM}{ENDING}; name the output folder of `sargan batch`")
    newest: dict[str, tuple[Path, str]] = {}
    for file in paths:
        for entry in _entries_of(file):
            known_file, finished = newest.get(entry.output, (file, ""))
            is_newest = known_file == file or finished <= entry.finished
            if is_newest:
                newest[entry.output] = file, entry.finished
            yield entry, is_newest


def _entries_of(path: Path) -> Iterator[Entry]:
    try:
        for number, line in enumerate(read_lines(path), start=1):
            yield _entry_of(line, path, number)
    except NoFileError as error:
        raise DataError(
            f"{shown(path)}: is no file, so no manifest; name the output folder of `sargan batch`"
        ) from error
    except OSError as error:
        raise DataError(
            f"{shown(path)}: cannot be read ({error.strerror or error}); check the name"
        ) from error


def _entry_of(line: bytes, path: Path, number: int) -> Entry:
    try:
        return Entry.from_json(json.loads(line))
    except DataError as error:
        raise DataError(f"{shown(path)}: line {number} {error}; take the line out") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{shown(path)}: line {number} is no JSON; take the line out") from error


class ManifestWriter:
    """Appends entries to a manifest; only one writer per file may live at a time (see ``claimed``).

    Args:
        path: the manifest; made if it is missing, its folder must exist.

    Raises:
        UsageError: the file is no manifest; it was not touched.
        PhotoError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path.parent
        check_ours(path, _MEMBERS, _WHAT)
        with self._explaining():
            self._lines = LineFile(path)

    def append(self, entry: Entry) -> None:
        """Write one line; when this returns, the line survives the end of the process.

        Raises:
            PhotoError: the disk is full or the like; the manifest is as before.
        """
        with self._explaining():
            self._lines.append(entry.to_json(), allow_nan=False)

    def close(self) -> None:
        """Bring the lines to the disk and close the file."""
        self._lines.sync()
        self._lines.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
            reason = "the disk is full" if full else error.strerror or str(error)
            raise PhotoError(
                f"{shown(self.path)}: cannot be written ({reason}); nothing more was edited"
            ) from error


@dataclass(frozen=True)
class Stamp:
    """Size and mtime of a file: a cheap way to see that it is unchanged.

    Attributes:
        size: in bytes.
        mtime_ns: in nanoseconds; None if the file had changed just before, because it may change again unseen.
    """

    size: int
    mtime_ns: int | None


@dataclass(frozen=True)
class Entry:
    """One line: how one photo under one expression and strength ended.

    Attributes:
        input: the photo, relative to the manifest's folder (absolute on another drive).
        input_sha256: checksum of the photo's file; empty if it could not be read.
        output: where the result is or would be, relative to the manifest's folder, with ``/``.
        options_sha256: checksum of everything that decides what the result looks like.
        model: name of the model.
        precision: number format of the model, ``fp32`` or ``bf16``; empty in lines of earlier versions.
        expression: the expression or mix before ``strength``.
        strength: factor on it.
        outcome: ``done``, ``no_face``, ``unreadable`` or ``failed``.
        message: one line for the user; empty if all went well.
        faces: one object per face, see ``outcome.face_json``.
        seam: the worst face's, in 8-bit levels.
        seconds: time spent, by stage.
        finished: time of the line, ISO 8601, UTC.
        input_stamp: of the photo when it was read.
        output_stamp: of the result's file.
        output_sha256: checksum of the result's file; empty unless ``done``.
        notes: sentences about what of the photo the result does not hold.
    """

    input: str
    input_sha256: str
    output: str
    options_sha256: str
    model: str
    expression: str
    strength: float
    outcome: str
    message: str = ""
    faces: tuple[dict[str, Any], ...] = ()
    seam: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    finished: str = ""
    input_stamp: Stamp | None = None
    output_stamp: Stamp | None = None
    output_sha256: str = ""
    notes: tuple[str, ...] = ()
    precision: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the entry as plain values."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, value: Any) -> Entry:
        """Return the entry that ``to_json`` made.

        Raises:
            DataError: a member is missing or of the wrong type, or the output leaves the manifest's folder.
        """
        if not isinstance(value, dict):
            raise DataError("is no object")
        if value.get("format") != FORMAT:
            raise DataError(
                f"has format {value.get('format')!r:.40}; this version of sargan reads format {FORMAT}"
            )
        texts = {name: _text(value, name) for name in _TEXTS}
        _check_output(texts["output"])
        if texts["outcome"] not in set(Outcome):
            raise DataError(f"has an unknown outcome {texts['outcome']!r:.40}")
        seam = value.get("seam")
        return cls(
            **texts,
            strength=_number(value.get("strength"), "strength"),
            faces=_items(value, "faces", dict, "objects"),
            seam=None if seam is None else _number(seam, "seam"),
            seconds=_seconds(value.get("seconds", {})),
            input_stamp=_stamp(value.get("input_stamp")),
            output_stamp=_stamp(value.get("output_stamp")),
            notes=_items(value, "notes", str, "texts"),
        )


# Members that are texts; lines of earlier versions lack some of them.
_OPTIONAL_TEXTS = ("output_sha256", "precision")
_TEXTS = (
    *("input", "input_sha256", "output", "options_sha256", "model", "expression", "outcome"),
    *("message", "finished", *_OPTIONAL_TEXTS),
)


def _text(value: dict[str, Any], name: str) -> str:
    text = value.get(name, "" if name in _OPTIONAL_TEXTS else None)
    if not isinstance(text, str):
        raise DataError(f"has no text as {name}")
    return text


def _check_output(output: str) -> None:
    path = PurePosixPath(output)
    if not output or path.is_absolute() or ".." in path.parts or "\0" in output or Path(output).is_absolute():
        raise DataError(f"names an output outside its folder: {shown(output):.80}")


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"has no number as {name}")
    return float(value)


def _items(value: dict[str, Any], name: str, kind: type[Item], named: str) -> tuple[Item, ...]:
    items = value.get(name, [])
    if not isinstance(items, list) or not all(isinstance(item, kind) for item in items):
        raise DataError(f"has no list of {named} as {name}")
    return tuple(items)


def _seconds(value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        raise DataError("has no object as seconds")
    return {str(stage): _number(spent, "seconds") for stage, spent in value.items()}


def _stamp(value: Any) -> Stamp | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("size"), int):
        raise DataError("has a stamp without a size")
    changed = value.get("mtime_ns")
    if changed is not None and not isinstance(changed, int):
        raise DataError("has a stamp without a time")
    return Stamp(value["size"], changed)
