"""What ``sargan batch`` prints: the plan, each result with a progress bar, and the summary."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sargan_cli.console import Console, print_json, print_path, print_table
from sargan_core.photo.files import shown

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from sargan_core.batch.manifest import Entry
    from sargan_core.batch.plan import Plan
    from sargan_core.batch.run import Summary

OUTCOMES = ("done", "no_face", "unreadable", "failed")
LABELS = {"done": "done", "no_face": "no face", "unreadable": "unreadable", "failed": "failed"}


class BatchProgress:
    """Prints every result: errors on stderr, results on stdout, a progress bar on a terminal.

    Args:
        plan: of the run.
        console: for messages.
        as_json: print entries instead of paths.
    """

    def __init__(self, plan: Plan, console: Console, *, as_json: bool) -> None:
        self._plan = plan
        self._console = console
        self._as_json = as_json
        # A terminal shows the bar; hundreds of paths would only be in the way.
        self._paths = not as_json and not sys.stdout.isatty()
        self._started = time.perf_counter()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> BatchProgress:
        self._bar = self._console.work_bar()
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("editing", total=None, rate="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def tell(self, entry: Entry, summary: Summary) -> None:
        """Print one result."""
        if entry.message:
            self._console.error(entry.message)
        if self._as_json:
            print_json(as_given(entry, self._plan))
        elif self._paths and entry.outcome == "done":
            print_path(self._plan.folder / entry.output)
        if self._bar is not None and self._task is not None:
            # What earlier runs did takes no time now and would spoil the estimate.
            total = summary.total - sum(summary.skipped.values())
            made = sum(summary.outcomes.values())
            rate = f"{made / (time.perf_counter() - self._started):.1f}/s"
            self._bar.update(self._task, completed=made, total=total, rate=rate)


def as_given(entry: Entry, plan: Plan) -> dict[str, Any]:
    """Return an entry as plain values, with paths relative to the working folder, or absolute as the inputs."""
    value = entry.to_json()
    given_absolute = bool(plan.sources) and Path(plan.sources[0].path).is_absolute()
    # As text, because the name in the manifest was made so; following links would give another path.
    source = os.path.normpath(plan.folder.absolute() / entry.input)
    value["input"] = source if given_absolute else os.path.relpath(source)
    value["output"] = str(plan.folder / entry.output)
    return value


def print_plan(plan: Plan, console: Console, *, as_json: bool) -> None:
    """Print photo and result, one pair per line with a tab between, on stdout; the total on stderr."""
    for source in plan.sources:
        for variant in plan.variants:
            target = str(plan.folder / variant.output(source.name))
            if as_json:
                expression, strength = str(variant.mix), variant.strength
                print_json(
                    {"input": source.path, "output": target, "expression": expression, "strength": strength}
                )
            else:
                sys.stdout.write(f"{shown(source.path)}\t{shown(target)}\n")
    console.note(f"{_count(len(plan.sources), 'photo')}, {_count(plan.results, 'result')} in {plan.folder}")


def print_summary(summary: Summary, plan: Plan, console: Console) -> None:
    """Print what a run did, on stderr."""
    if console.quiet:
        return
    rows = [
        [LABELS[outcome], str(summary.outcomes[outcome]), str(summary.skipped[outcome])]
        for outcome in OUTCOMES
        if summary.outcomes[outcome] or summary.skipped[outcome]
    ]
    if rows:
        print_table(None, ("result", "now", "before"), rows, to_stderr=True)
    made = sum(summary.outcomes.values())
    if made:
        rate = made / max(summary.seconds, 1e-9)
        console.note(f"{_count(made, 'result')} in {summary.seconds:.1f} s, {rate:.1f}/s")
        console.note(f"time went to: {_shares(summary.stages)}")
    else:
        console.note("nothing to do: every result is there, or failed before and would fail again")
    if summary.warned:
        console.note(f"{_count(summary.warned, 'result')} with a warning, see --report or the manifest")
    failed = sum(count for outcome, count in summary.skipped.items() if outcome != "done")
    if failed:
        console.note(f"{failed} without a result since an earlier run; --retry all tries them again")
    if summary.stopped:
        console.note(summary.stopped)
    console.note(f"results: {plan.folder}")


def _shares(stages: dict[str, float]) -> str:
    total = sum(stages.values()) or 1.0
    ordered = sorted(stages.items(), key=lambda item: -item[1])
    return ", ".join(f"{stage} {100 * spent / total:.0f} %" for stage, spent in ordered)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
