"""Where photos come from: files, or stdin for ``-``."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sargan_core.errors import OutputExistsError, PhotoError, UsageError
from sargan_core.expressions import Like

if TYPE_CHECKING:
    from sargan_core.photo.photo import Photo


def check_stdin(inputs: Sequence[Path]) -> None:
    """Raise UsageError if ``-`` is not the only input, or if nothing is piped in."""
    if STREAM not in inputs:
        return
    if len(inputs) > 1:
        raise UsageError("- (stdin) stands alone; give it without other inputs")
    if sys.stdin.isatty():
        raise UsageError("- reads a photo from stdin, but stdin is a terminal; pipe one in or name a file")


def display_name(source: Path) -> str:
    """Return the input's name in messages and reports."""
    return "stdin" if source == STREAM else str(source)


def read_input(source: Path, max_pixels: int | None = None) -> Photo:
    """Read a photo from a file or stdin; None = the library's own limit of pixels.

    Raises:
        PhotoError: as ``read_photo``.
    """
    from sargan_core.photo.photo import MAX_PIXELS, read_photo

    stream = sys.stdin.buffer if source == STREAM else source
    return read_photo(stream, name=display_name(source), max_pixels=max_pixels or MAX_PIXELS)


# Stands for stdin as an input and for stdout as an output.
STREAM = Path("-")


@dataclass(frozen=True)
class Task:
    """One input and where its result goes; ``STREAM`` is stdin or stdout."""

    source: Path
    target: Path

    @property
    def in_place(self) -> bool:
        """Whether the result is written over the input."""
        return self.source == self.target

    @property
    def to_stdout(self) -> bool:
        """Whether the result's bytes go to stdout."""
        return self.target == STREAM


def plan_outputs(
    inputs: Sequence[Path],
    output: str | None,
    *,
    label: str,
    endings: Collection[str],
    suffix: str | None = None,
    in_place: bool = False,
    option: str = "-o",
) -> list[Task]:
    """Map each input to its own output.

    Args:
        inputs: photos, or ``-`` alone.
        output: what was typed after ``option``: a file, an existing folder, ``-``, or None for default names.
        label: what the default name adds, ``face.jpg`` -> ``face-LABEL.jpg``.
        endings: those that a named file may have; it may also have none.
        suffix: the ending of default names where the result has another format than the input, e.g. ``.png``.
        in_place: write over the inputs.
        option: the option that names the output, for messages.

    Raises:
        UsageError: an output would be an input, two outputs would be one, the folder is missing, or several
            inputs have no folder to go to, a named file has an ending that says no format, or an input is of a
            format that is only read and would be written over.
    """
    from sargan_core.photo.kinds import is_read_only, written_ending

    if in_place:
        if output is not None:
            raise UsageError("--in-place writes over the input; leave out -o")
        if STREAM in inputs:
            raise UsageError("--in-place needs a file, not stdin; give -o FILE")
        for source in inputs:
            if is_read_only(source):
                raise UsageError(
                    f"{source}: HEIC photos are only read; leave out --in-place, or convert it first"
                )
        tasks = [Task(source, source) for source in inputs]
    else:
        several = len(inputs) > 1
        names = [f"{source.stem}-{label}{suffix or written_ending(source)}" for source in inputs]
        tasks = [
            Task(source, _target(source, name, output, several, option, endings))
            for source, name in zip(inputs, names, strict=True)
        ]
        _refuse_inputs(tasks, option)
    _refuse_collisions(tasks)
    return tasks


def check_free(target: Path, overwrite: bool) -> None:
    """Raise OutputExistsError if ``target`` exists and may not be overwritten, before any work is done."""
    if target != STREAM and not overwrite and os.path.lexists(target):
        raise OutputExistsError(f"{target}: exists already; pass --overwrite or another name with -o")


def check_apart(tasks: Sequence[Task], read: Path, option: str) -> None:
    """Raise UsageError if an output would be written over a file that ``option`` reads."""
    for task in tasks:
        if not task.to_stdout and _identity(task.target) == _identity(read):
            raise UsageError(
                f"{task.target}: is the photo of {option}, it must not be written over; give another -o"
            )


def _target(
    source: Path, name: str, output: str | None, several: bool, option: str, endings: Collection[str]
) -> Path:
    if output is None:
        return STREAM if source == STREAM else source.parent / name
    if output == "-":
        if several:
            raise UsageError(f"{option} - takes one image; give one input, or a folder with {option} FOLDER")
        return STREAM
    path = Path(output)
    if not several and not output.endswith(("/", os.sep)) and not path.is_dir():
        if not path.parent.is_dir():
            raise UsageError(f"{path.parent}: no such folder; make it first (mkdir -p {path.parent})")
        if path.suffix and path.suffix.lower() not in endings:
            raise UsageError(f"{path}: the ending says no known format; use {', '.join(endings)}")
        return path
    if not path.is_dir():
        problem = "is no folder, and several inputs need one" if path.exists() else "no such folder"
        raise UsageError(f"{path}: {problem}; make one (mkdir -p FOLDER) and pass it with {option} FOLDER")
    if source == STREAM:
        raise UsageError(f"stdin has no name; give {option} FILE instead of a folder")
    return path / name


def photo_endings() -> tuple[str, ...]:
    """Return the file name endings that photos are written with."""
    from sargan_core.photo.kinds import KINDS

    return tuple(suffix for kind in KINDS.values() for suffix in kind.suffixes)


def animation_endings() -> tuple[str, ...]:
    """Return the file name endings that animations are written with."""
    from sargan_core.animation import SUFFIXES

    return SUFFIXES


def _refuse_inputs(tasks: Sequence[Task], option: str) -> None:
    sources = {_identity(task.source): task.source for task in tasks if task.source != STREAM}
    for task in tasks:
        if not task.to_stdout and _identity(task.target) in sources:
            raise UsageError(
                f"{task.target}: is an input as well; give another {option}, or --in-place to write over it"
            )


def _refuse_collisions(tasks: Sequence[Task]) -> None:
    taken: dict[object, Path] = {}
    for task in tasks:
        key = _identity(task.target)
        if key in taken:
            raise UsageError(
                f"{taken[key]} and {task.source} would both be written to {task.target}; "
                "edit them in separate calls"
            )
        taken[key] = task.source


def _identity(path: Path) -> object:
    """Return what two names of one file have in common: device and inode, or the resolved name."""
    try:
        status = path.stat()
    except OSError:
        # Unlike Path.resolve, this takes a link to itself as it is.
        return os.path.normcase(os.path.realpath(path))
    return status.st_dev, status.st_ino


def parse_like(
    like: Path | None, face: int | None, expr: list[str] | None, units: str | list[str] | None = None
) -> Like | None:
    """Return the reference that was asked for, None if there is none.

    Raises:
        UsageError: ``--expr`` or ``--units`` asks for something else, or ``--like-face`` has no photo to choose in.
    """
    if like is None:
        if face is not None:
            raise UsageError("--like-face chooses a face of the photo after --like; name that photo")
        return None
    if expr:
        raise UsageError(
            "--expr names an expression and --like takes one from a photo; a face can show only one, so give one"
        )
    if units:
        raise UsageError(
            "--units names face units and --like takes all of them from a photo; give one, or name what --json prints"
        )
    return Like(like, face)


def read_like(like: Like, max_pixels: int | None) -> Photo:
    """Return the reference photo; None = the library's own limit of pixels.

    Raises:
        UsageError: it cannot be read.
    """

    with _wrong_usage():
        return read_input(like.path, max_pixels)


def batch_like(like: Like, max_pixels: int | None) -> Like:
    """Return the reference with its checksum, as an engine takes it: the photo is read again there.

    Raises:
        UsageError: it cannot be read, or only once.
    """
    from sargan_core.batch.steps import read_reference
    from sargan_core.photo.files import shown

    with _wrong_usage():
        _, sha256 = read_reference(like, max_pixels)
    if not like.path.is_file():  # a pipe that was handed over is empty now
        raise UsageError(f"--like {shown(like.path)}: is a pipe, which can be read only once; name a file")
    return replace(like, sha256=sha256)


@contextlib.contextmanager
def _wrong_usage() -> Iterator[None]:
    try:
        yield
    except PhotoError as error:
        raise UsageError(f"--like {error}") from error
