"""What ``sargan batch`` prints: the plan, each result with a progress bar, and the summary."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sargan_cli.console import Console, print_json, print_path, print_table
from sargan_core.outcome import OUTCOME_LABELS, Progress
from sargan_core.photo.files import shown

if TYPE_CHECKING:
    from sargan_core.batch.manifest import Entry
    from sargan_core.batch.plan import Plan
    from sargan_core.batch.run import OnProgress, Summary


def result_printer(plan: Plan, console: Console, progress: Progress, *, as_json: bool) -> OnProgress:
    """Return the callback that prints every result of a run: errors on stderr, results on stdout.

    Args:
        plan: of the run.
        console: for errors.
        progress: called with (done, total) results of this run.
        as_json: print entries of the manifest instead of paths.
    """
    # A terminal shows the progress bar instead of hundreds of paths.
    as_paths = not as_json and not sys.stdout.isatty()

    def tell(entry: Entry, summary: Summary) -> None:
        if entry.message:
            console.error(entry.message)
        if as_json:
            print_json(as_given(entry, plan))
        elif as_paths and entry.outcome == "done":
            print_path(plan.folder / entry.output)
        # Results of earlier runs take no time now, and would spoil the estimate of the remaining time.
        progress(sum(summary.outcomes.values()), summary.total - sum(summary.skipped.values()))

    return tell


def as_given(entry: Entry, plan: Plan) -> dict[str, Any]:
    """Return an entry as plain values, with paths relative to the working folder, or absolute as the inputs."""
    value = entry.to_json()
    given_absolute = bool(plan.sources) and Path(plan.sources[0].path).is_absolute()
    # Without following links, because the path in the manifest was made in this way too.
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
        [label, str(summary.outcomes[outcome]), str(summary.skipped[outcome])]
        for outcome, label in OUTCOME_LABELS.items()
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
