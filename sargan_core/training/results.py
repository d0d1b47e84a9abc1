"""The place of a run's results: an earlier run is replaced only when asked, and only once the new one is complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sargan_core.errors import TrainingError, UsageError
from sargan_core.photo.files import explaining, shown

# Folder inside the run folder where a run waits until it may take the place of an earlier one.
UNFINISHED = "unfinished"
# What the trainings leave in a folder; anything else there is the user's own and stays.
RESULTS = (
    "*.safetensors",
    "checkpoint.pt",
    "options.json",
    "metrics.jsonl",
    "split.json",
    "figures.json",
    "sheet.png",
    "sheet-*.png",
    "events.out.tfevents.*",
    *("pixel.md", "judge.md", "landmarks.md"),
)


def earlier_results(out: Path) -> list[Path]:
    """Return what an earlier run left in a folder, an unfinished one's folder too; sorted."""
    if not out.is_dir():
        return []
    found = {path for pattern in RESULTS for path in out.glob(pattern)}
    if (out / UNFINISHED).exists():
        found.add(out / UNFINISHED)
    return sorted(found)


def run_folder(out: Path) -> Path:
    """Return where the run lies that ``--resume`` takes up: an unfinished one goes before a finished one."""
    return out / UNFINISHED if (out / UNFINISHED).is_dir() else out


def check_place(out: Path, *, resume: bool = False, overwrite: bool = False) -> None:
    """Check that a run may write to a folder.

    Raises:
        UsageError: no folder, or an earlier run lies there that is neither to be resumed nor replaced.
    """
    if resume and overwrite:
        raise UsageError("--resume goes on with a run and --overwrite replaces it; give one of them")
    if os.path.lexists(out) and not out.is_dir():
        raise UsageError(f"{shown(out)}: is no folder; name another one with --out")
    found = [] if resume or overwrite else earlier_results(out)
    if found:
        raise UsageError(
            f"{shown(out)}: already holds a run ({shown(found[0].name)}); go on with --resume, replace it with "
            "--overwrite, or name another folder with --out"
        )


@contextmanager
def results(
    out: Path, *, resume: bool = False, overwrite: bool = False, at_once: bool = False
) -> Iterator[Path]:
    """Give the folder that a run writes to; what it replaces in ``out`` is replaced when the block ends well.

    A new run writes to ``out`` itself. One that is to replace another writes to a folder inside, from which its files
    take their places at the end; interrupted, it stays there and can be resumed. Of several processes only the first
    touches anything.

    Args:
        out: the run folder; made if it is not there, and removed again if nothing was put there.
        resume: go on with the run that lies there.
        overwrite: replace the run that lies there.
        at_once: the run cannot be resumed: its files appear in ``out`` together at the end, or not at all.

    Raises:
        UsageError: as ``check_place``.
        TrainingError: the folder cannot be made or written.
        PhotoError: the results cannot be put in their places.
    """
    staged = out / UNFINISHED
    waits = at_once or overwrite or (resume and staged.is_dir())
    work = staged if waits else out
    if os.environ.get("RANK", "0") != "0":
        yield work
        return
    check_place(out, resume=resume, overwrite=overwrite)
    with _made(work, anew=waits and not resume):
        try:
            yield work
        except BaseException:
            if at_once:
                shutil.rmtree(work, ignore_errors=True)
            raise
        if waits:
            _put_in_place(work, out)


@contextmanager
def _made(folder: Path, *, anew: bool) -> Iterator[None]:
    """Make a folder, check that it can be written, and in the end remove what of it was made and stayed empty."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        if anew and os.path.lexists(folder):
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".sargan-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise TrainingError(
            f"{shown(folder)}: cannot be written ({error.strerror or error}); choose another folder with --out"
        ) from error
    try:
        yield
    finally:
        for path in missing:
            with suppress(OSError):
                path.rmdir()


def _put_in_place(work: Path, out: Path) -> None:
    """Move the files of ``work`` to ``out``, and remove what only the earlier run had."""
    earlier = [path for path in earlier_results(out) if path != work]
    new = sorted(work.iterdir())
    for file in new:
        with explaining(out / file.name):
            file.replace(out / file.name)
    for path in earlier:
        if path.name not in {file.name for file in new}:
            with explaining(path):
                path.unlink()
    with suppress(OSError):
        work.rmdir()
