"""One run at a time in an output folder, or several shards of one division; and a clean place to work in."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from sargan_core.batch.manifest import manifest_path
from sargan_core.batch.plan import Shard
from sargan_core.errors import PhotoError, UsageError
from sargan_core.files import shown

# Hidden, so that a later batch does not take it for inputs.
WORK_FOLDER = ".sargan-batch"
WHOLE = "whole"
# Another shard may hold a lock for a moment, only to see whether it is free.
PATIENCE_SECONDS = 1.0
_SHARD = re.compile(r"(\d+)-of-(\d+)")


@dataclass(frozen=True)
class Claim:
    """What a run may write to.

    Attributes:
        manifest: the manifest of this run, or of its shard.
        staging: an empty folder for results that are not in their place yet.
    """

    manifest: Path
    staging: Path


@contextmanager
def claimed(folder: Path, shard: Shard | None) -> Iterator[Claim]:
    """Keep other runs out of an output folder inside the block; the folder is made if it is missing.

    Shards of one division may work side by side. The system drops the locks of a process that ends, however it ends.

    Raises:
        UsageError: another run works in the folder, or a link lies where it would work.
        PhotoError: the folder cannot be made or written to.
    """
    name = WHOLE if shard is None else shard.name
    work = folder / WORK_FOLDER
    _refuse_links(work)
    try:
        work.mkdir(parents=True, exist_ok=True)
        lock = FileLock(work / f"{name}.lock", timeout=PATIENCE_SECONDS, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            raise _busy(folder, name) from None
    except (OSError, NotImplementedError) as error:
        raise PhotoError(
            f"{shown(folder)}: cannot be worked in ({getattr(error, 'strerror', None) or error}); "
            "choose another output folder"
        ) from error
    try:
        for other in sorted(work.glob("*.lock")):
            if _excludes(name, other.stem) and _is_held(other):
                raise _busy(folder, other.stem)
        staging = work / name
        _clear(staging)
        staging.mkdir()
        try:
            yield Claim(manifest_path(folder, "" if shard is None else shard.name), staging)
        finally:
            _clear(staging)
    finally:
        lock.release()


def _refuse_links(work: Path) -> None:
    """Refuse links where a run empties folders and files: what lies elsewhere is not ours."""
    for path in (work, *work.glob("*.lock")):
        if os.path.islink(path):  # noqa: PTH114 (says no where a name is too long)
            raise UsageError(f"{shown(path)}: is a link; remove it, or choose another output folder")


def _excludes(one: str, other: str) -> bool:
    """Whether runs of these names may not work side by side; a run does not exclude itself."""
    if one == other:
        return False
    parts = [_SHARD.fullmatch(name) for name in (one, other)]
    counts = {part.group(2) if part is not None else None for part in parts}
    return None in counts or len(counts) > 1


def _is_held(path: Path) -> bool:
    probe = FileLock(path, timeout=PATIENCE_SECONDS)
    try:
        probe.acquire()
    except Timeout:
        return True
    probe.release()
    return False


def _busy(folder: Path, name: str) -> UsageError:
    part = "" if name == WHOLE else f" (shard {name.replace('-of-', '/')})"
    return UsageError(
        f"{shown(folder)}: another sargan batch{part} is working in this folder; wait for it, or choose another --out"
    )


def _clear(staging: Path) -> None:
    if staging.is_symlink():
        staging.unlink()
    shutil.rmtree(staging, ignore_errors=True)
