"""Where results go: output names, and the rule that no file is overwritten by surprise."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from sargan_core.errors import OutputExistsError, UsageError

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
            inputs have no folder to go to, or a named file has an ending that says no format.
    """
    if in_place:
        if output is not None:
            raise UsageError("--in-place writes over the input; leave out -o")
        if STREAM in inputs:
            raise UsageError("--in-place needs a file, not stdin; give -o FILE")
        tasks = [Task(source, source) for source in inputs]
    else:
        several = len(inputs) > 1
        names = [f"{source.stem}-{label}{suffix or source.suffix}" for source in inputs]
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
    from sargan_core.formats.kinds import KINDS

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
