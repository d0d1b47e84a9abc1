"""One run of a batch: lock the output folder, find what is left to do, let an engine do it, count."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from filelock import FileLock, Timeout

from sargan_core.batch.manifest import Entry, ManifestWriter, check_manifests, manifest_path
from sargan_core.batch.plan import BatchSettings, Plan, Shard, Task
from sargan_core.batch.resume import Remaining, options_sha256, read_history, with_used_precision
from sargan_core.errors import PhotoError, UsageError
from sargan_core.outcome import Outcome
from sargan_core.photo.files import shown

# Called with every entry, in the order of tasks and outputs; what it raises ends the run.
OnResult: TypeAlias = Callable[[Entry], None]
# Does the tasks of a batch. For every output, in order, it writes the result to ``settings.staging``, appends the entry
# to the manifest, puts the result in place and calls the last argument. Tasks are taken only as fast as photos are
# finished, so there may be millions. A photo that cannot be read or edited becomes entries, never an exception.
# Raises WeightsError or UsageError if no photo can be edited, PhotoError if the manifest cannot be written.
Engine: TypeAlias = Callable[[Iterable[Task], BatchSettings, ManifestWriter, OnResult], None]
# Called with every entry and the counts so far.
OnProgress: TypeAlias = Callable[[Entry, "Summary"], None]
# The folder of locks and staged results; hidden, so that a later batch does not take it for inputs.
WORK_FOLDER = ".sargan-batch"
# Name of a run without shards, in place of a shard's.
WHOLE = "whole"
# Another shard may hold a lock for a moment, only to see whether it is free.
PATIENCE_SECONDS = 1.0
_SHARD = re.compile(r"(\d+)-of-(\d+)")


@dataclass(frozen=True)
class Policy:
    """What is done again, and what happens when photos fail.

    Attributes:
        retry: outcomes that are done again although nothing changed.
        checksums: compare files by content, not by size and mtime.
        overwrite: replace files that no earlier run made.
        on_error: ``stop`` ends the run at the first photo that cannot be read or edited; no face is no error.
        max_errors: the run ends after this many errors; None = never.
    """

    retry: frozenset[str] = frozenset()
    checksums: bool = False
    overwrite: bool = False
    on_error: Literal["skip", "stop"] = "skip"
    max_errors: int | None = None


@dataclass
class Summary:
    """What a run did.

    Attributes:
        total: how many results the plan has.
        outcomes: results of this run, by outcome.
        skipped: results that earlier runs left nothing to do for, by outcome.
        warned: results with a warning.
        stages: seconds spent by all threads together, by stage.
        seconds: how long the run took.
        stopped: why it ended early; empty if it did not.
    """

    total: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    warned: int = 0
    stages: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    stopped: str = ""

    @property
    def errors(self) -> int:
        """Results of this run that failed or whose photo could not be read."""
        return self.outcomes[Outcome.FAILED.value] + self.outcomes[Outcome.UNREADABLE.value]

    @property
    def complete(self) -> bool:
        """Whether every result of the plan is there."""
        done = Outcome.DONE.value
        return self.outcomes[done] + self.skipped[done] == self.total

    def count(self, entry: Entry) -> None:
        """Add one result."""
        self.outcomes[entry.outcome] += 1
        self.warned += any(face.get("warnings") for face in entry.faces)
        for stage, spent in entry.seconds.items():
            self.stages[stage] = self.stages.get(stage, 0.0) + spent


class _Enough(Exception):
    """Ends an engine."""


def run_batch(
    plan: Plan,
    settings: BatchSettings,
    engine: Engine,
    policy: Policy,
    shard: Shard | None = None,
    on_result: OnProgress | None = None,
) -> Summary:
    """Do what is left of a plan.

    Args:
        plan: all photos of this run.
        settings: how; ``staging`` is chosen here.
        engine: who does it.
        policy: what is done again and when to stop.
        shard: the part of a larger plan that ``plan`` is.
        on_result: called with every result.

    Raises:
        UsageError: another run works in the folder, a file there has the name of a manifest but is none, or no photo
            can be edited this way.
        WeightsError: the weights are missing or damaged.
        DataError: the folder's manifest is damaged.
        PhotoError: the folder cannot be written to.
    """
    started = time.perf_counter()
    summary = Summary(total=plan.results)
    settings = with_used_precision(settings)
    options = options_sha256(plan.variants, settings)
    check_manifests(plan.folder, manifest_path(plan.folder, "" if shard is None else shard.name))
    with claimed(plan.folder, shard) as claim:
        history = read_history(plan.folder)
        left = Remaining(plan, history, options, policy.retry, policy.checksums, policy.overwrite)
        summary.skipped = left.skipped

        def count(entry: Entry) -> None:
            summary.count(entry)
            if on_result is not None:
                on_result(entry, summary)
            _check_errors(summary, policy)

        with ManifestWriter(claim.manifest) as manifest:
            try:
                engine(left, replace(settings, staging=claim.staging), manifest, count)
            except _Enough as enough:
                summary.stopped = str(enough)
    summary.seconds = time.perf_counter() - started
    return summary


def _check_errors(summary: Summary, policy: Policy) -> None:
    if summary.errors and policy.on_error == "stop":
        raise _Enough("stopped at the first error, as --on-error stop asks; what is done is kept")
    if policy.max_errors is not None and summary.errors >= policy.max_errors:
        raise _Enough(f"stopped after {summary.errors} errors (--max-errors); what is done is kept")


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
    """Lock an output folder inside the block; the folder is made if it is missing.

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
    """Refuse links where a run deletes files: they could lead to files of somebody else."""
    for path in (work, *work.glob("*.lock")):
        if os.path.islink(path):  # noqa: PTH114 (says no where a name is too long)
            raise UsageError(f"{shown(path)}: is a link; remove it, or choose another output folder")


def _excludes(one: str, other: str) -> bool:
    """Return whether two runs of these names may not work side by side; a run does not exclude itself."""
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
