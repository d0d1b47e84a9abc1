"""One run of a batch: claim the folder, find what is left, let an engine do it, count."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from sargan_core.batch.claim import claimed
from sargan_core.batch.engine import BatchSettings, Engine
from sargan_core.batch.fingerprint import options_sha256
from sargan_core.batch.manifest import Entry, ManifestWriter, check_manifests, manifest_path
from sargan_core.batch.plan import Plan, Shard
from sargan_core.batch.resume import Remaining, count_outputs, read_history
from sargan_core.outcome import Outcome

# Told every entry with the counts so far.
OnProgress = Callable[[Entry, "Summary"], None]


@dataclass(frozen=True)
class Policy:
    """What is done again, and what happens when photos fail.

    Attributes:
        retry: outcomes that are done again although nothing changed.
        checksums: tell unchanged files by their content, not by size and time of change.
        overwrite: replace files that no earlier run made.
        on_error: ``stop`` ends the run at the first photo that cannot be read or edited; no face is no error.
        max_errors: the run ends at this many of them; None = never.
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
        total: results that the plan has.
        outcomes: results of this run by outcome.
        skipped: results that earlier runs had settled, by outcome.
        warned: results with a warning.
        stages: seconds spent by stage, over all threads.
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
        """Results of this run that could not be made although there may be a face."""
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
        on_result: is told every result.

    Raises:
        UsageError: another run works in the folder, a file there has the name of a manifest and is none, or no photo
            can be edited this way.
        WeightsError: the weights are missing or damaged.
        DataError: the folder's manifest is damaged.
        PhotoError: the folder cannot be written to.
    """
    started = time.perf_counter()
    summary = Summary(total=count_outputs(plan))
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
