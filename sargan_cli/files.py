"""Inputs and outputs of commands: photos from files or stdin, lists of names, and the output of each input."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sargan_core.errors import OutputExistsError, UsageError
from sargan_core.photo.content import read_file, read_stream, reason_of
from sargan_core.photo.files import shown

if TYPE_CHECKING:
    from sargan_core.photo.photo import Photo

# As an input stdin, as an output stdout.
STREAM = Path("-")


def check_stdin(inputs: Sequence[Path]) -> None:
    """Raise UsageError if ``-`` is not the only input, or if nothing is piped in."""
    if STREAM not in inputs:
        return
    if len(inputs) > 1:
        raise UsageError("- (stdin) stands alone; give it without other inputs")
    if sys.stdin.isatty():
        raise UsageError("- reads a photo from stdin, but stdin is a terminal; pipe one in or name a file")


def check_stdout(what: str, option: str, *, as_json: bool) -> None:
    """Raise UsageError if image bytes cannot go to stdout: it gets JSON lines, or is a terminal."""
    if as_json:
        raise UsageError(f"the {what} goes to stdout, so --json cannot; name a file with {option} FILE")
    if sys.stdout.isatty():
        raise UsageError(
            f"the {what} would go to a terminal; redirect stdout or name a file with {option} FILE"
        )


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


def names_in(listed: str | None, inputs: Sequence[str] | None, *, null: bool) -> list[str] | None:
    """Return the names in the list after ``--from``, None without a list.

    Raises:
        UsageError: the list cannot be read, or there are neither inputs nor a list.
    """
    from sargan_core.batch.inputs import LARGEST_LIST, read_list

    if listed is None:
        if not inputs:
            raise UsageError("name a folder or photos, or a list of photos with --from")
        if null:
            raise UsageError("--null is about the list after --from; give one")
        return None
    if listed != "-":
        try:
            return read_list(read_file(Path(listed), LARGEST_LIST, pipes=True), null=null)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"--from {shown(listed)}: cannot be read ({reason_of(error)}); give a list of names"
            ) from error
    if sys.stdin.isatty():
        raise UsageError("--from - reads names from stdin, but stdin is a terminal; pipe a list in")
    try:
        return read_list(read_stream(sys.stdin.buffer, LARGEST_LIST), null=null)
    except (OSError, ValueError) as error:
        raise UsageError(f"--from -: cannot be read ({reason_of(error)}); pipe a list of names in") from error


@dataclass(frozen=True)
class FilePair:
    """An input and the output of its result; ``STREAM`` is stdin or stdout."""

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
) -> list[FilePair]:
    """Map each input to its own output.

    Args:
        inputs: photos, or ``-`` alone.
        output: the text after ``option``: a file, an existing folder, ``-``, or None for default names.
        label: added to default names, ``face.jpg`` -> ``face-LABEL.jpg``.
        endings: allowed endings of a named file; it may also have none.
        suffix: ending of default names if the result has another format than the input, e.g. ``.png``.
        in_place: overwrite the inputs.
        option: the option that names the output, for messages.

    Raises:
        UsageError: an output would be an input, two outputs would be the same file, the folder is missing, several
            inputs go to one file, the ending of a named file is unknown, or ``in_place`` would overwrite a photo in a
            format that is only read.
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
        tasks = [FilePair(source, source) for source in inputs]
    else:
        several = len(inputs) > 1
        names = [f"{source.stem}-{label}{suffix or written_ending(source)}" for source in inputs]
        tasks = [
            FilePair(source, _target(source, name, output, several, option, endings))
            for source, name in zip(inputs, names, strict=True)
        ]
        _refuse_inputs(tasks, option)
    _refuse_collisions(tasks)
    return tasks


def check_free(target: Path, overwrite: bool) -> None:
    """Raise OutputExistsError if ``target`` exists and may not be overwritten, before any work is done."""
    if target != STREAM and not overwrite and os.path.lexists(target):
        raise OutputExistsError(f"{target}: exists already; pass --overwrite or another name with -o")


def check_apart(tasks: Sequence[FilePair], read: Path, option: str) -> None:
    """Raise UsageError if an output would overwrite the file that ``option`` reads."""
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


def _refuse_inputs(tasks: Sequence[FilePair], option: str) -> None:
    sources = {_identity(task.source): task.source for task in tasks if task.source != STREAM}
    for task in tasks:
        if not task.to_stdout and _identity(task.target) in sources:
            raise UsageError(
                f"{task.target}: is an input as well; give another {option}, or --in-place to write over it"
            )


def _refuse_collisions(tasks: Sequence[FilePair]) -> None:
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
    """Return what is the same for all names of a file: device and inode, or the resolved path."""
    try:
        status = path.stat()
    except OSError:
        # Unlike Path.resolve, this accepts a link to itself.
        return os.path.normcase(os.path.realpath(path))
    return status.st_dev, status.st_ino
