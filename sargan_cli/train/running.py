"""How a training is carried out and shown: its plan, its bars and its results."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sargan_cli.console import Console, print_path
from sargan_core.errors import UsageError
from sargan_core.outcome import Progress

if TYPE_CHECKING:
    from sargan_core.data.samples import Skipped
    from sargan_core.training.loop import LoopSettings
    from sargan_core.training.plan import TrainingPlan
    from sargan_core.training.session import TrainingRun

Run = TypeVar("Run", bound="TrainingRun")


@dataclass(frozen=True)
class Place:
    """Where a training goes, and whether it is carried out at all.

    Attributes:
        out: the run folder.
        resume: go on with the run in ``out``.
        overwrite: replace the run in ``out``.
        dry_run: print the plan, and stop.
        cache: the crop cache; None = the user's.
        quiet: print nothing on stderr but errors.
    """

    out: Path
    resume: bool = False
    overwrite: bool = False
    dry_run: bool = False
    cache: Path | None = None
    quiet: bool = False


def photos(data: Sequence[Path] | None) -> tuple[str, ...]:
    """Return what there is to learn from; UsageError if nothing was named."""
    if not data:
        raise UsageError("no photos to learn from; name a folder with --data")
    return tuple(map(str, data))


def pixel_limit(max_pixels: int | None) -> int:
    """Return how many pixels a photo may have."""
    from sargan_core.photo.photo import MAX_PIXELS

    return max_pixels or MAX_PIXELS


def given(**options: Any) -> dict[str, Any]:
    """Return the options that were given: those that are not None."""
    return {name: value for name, value in options.items() if value is not None}


def resumed(kind: type[Run], place: Place, data: Sequence[Path] | None, steps: int | None) -> Run:
    """Return the run that lies in ``place.out``, to go on with other photos or up to another step."""
    from sargan_core.training.run_folder import folder_to_resume
    from sargan_core.training.session import read_run

    run = read_run(kind, folder_to_resume(place.out))
    assert run.loop is not None
    loop = replace(run.loop, resume=True, **given(steps=steps))
    return replace(run, loop=loop, data=photos([*(data or map(Path, run.data))]))


def carry_out(run: TrainingRun, place: Place) -> None:
    """Train and print the path of the weights; or only print the plan."""
    from sargan_core.training.run_folder import folder_to_resume
    from sargan_core.training.session import Session, plan_training

    console = Console(place.quiet)
    if place.dry_run:
        _say_plan(plan_training(run, folder_to_resume(place.out)), run.weights, place, console)
        return
    with _run_place(run, place, console) as folder:
        with counting("preparing", console) as progress:
            session = Session(run, folder, place.cache, progress)
        say_skipped(session.skipped, console)
        if run.loop is None:
            with counting("training", console) as progress:
                session.run(progress=progress)
        else:
            with showing_steps(run.loop, console) as on_step:
                session.run(on_step)
    if session.fabric.is_global_zero:
        print_path(place.out / run.weights)


@contextmanager
def _run_place(run: TrainingRun, place: Place, console: Console) -> Iterator[Path]:
    """Give the folder that the training writes to, see ``results_folder``; say where an interrupted one waits."""
    from sargan_core.training.run_folder import results_folder

    at_once = run.loop is None
    with results_folder(place.out, resume=place.resume, overwrite=place.overwrite, at_once=at_once) as folder:
        try:
            yield folder
        except KeyboardInterrupt:
            if folder != place.out and not at_once:
                console.note(
                    f"{folder}: holds the new run so far; --resume goes on with it, the earlier one is as it was"
                )
            raise


@contextmanager
def counting(label: str, console: Console) -> Iterator[Progress]:
    """Give a function that is called with (done, total) and shows a bar, if there is a terminal."""
    if not _shows_bars(console):
        yield lambda done, total: None
        return
    from tqdm import tqdm

    with tqdm(desc=label, file=sys.stderr, leave=False, dynamic_ncols=True) as bar:

        def progress(done: int, total: int) -> None:
            if total != bar.total or done < bar.n:
                bar.reset(total)
            bar.update(done - bar.n)

        yield progress


@contextmanager
def showing_steps(loop: LoopSettings, console: Console) -> Iterator[Callable[[int, dict[str, float]], None]]:
    """Give a function that is called after every step: it moves a bar on a terminal, and elsewhere says some steps."""
    if not _shows_bars(console):
        began = time.perf_counter()

        def say(step: int, losses: dict[str, float]) -> None:
            if step % loop.log_every == 0:
                listed = " ".join(f"{name} {value:.4f}" for name, value in losses.items())
                console.note(f"step {step} of {loop.steps}, {time.perf_counter() - began:.0f} s: {listed}")

        yield say
        return
    from tqdm import tqdm

    with tqdm(
        desc="training", total=loop.steps, unit="step", file=sys.stderr, leave=False, dynamic_ncols=True
    ) as bar:

        def show(step: int, losses: dict[str, float]) -> None:
            if bar.n == 0 and step > 1:  # a resumed run: its earlier steps took no time now
                bar.initial = bar.n = bar.last_print_n = step - 1
            if step % loop.log_every == 0:
                bar.set_postfix({name: f"{value:.3f}" for name, value in losses.items()}, refresh=False)
            bar.update()

        yield show


def _shows_bars(console: Console) -> bool:
    return not console.quiet and sys.stderr.isatty()


def _say_plan(plan: TrainingPlan, weights: str, place: Place, console: Console) -> None:
    """Say what a training would do; nothing else was done."""
    from sargan_core.training.run_folder import earlier_results

    say_skipped(plan.survey.skipped, console)
    for line in _plan_lines(plan):
        console.note(line)
    there = bool(earlier_results(place.out)) and not (place.resume or place.overwrite)
    hint = " (an earlier run lies there: add --overwrite, --resume or another --out)" if there else ""
    console.note(f"result: {place.out / weights}{hint}")


def _plan_lines(plan: TrainingPlan) -> list[str]:
    """Return the plan of a training as lines for people."""
    survey = plan.survey
    lines = [
        f"people: {survey.people} to train on, {survey.held_out} held out",
        f"pictures to train on: {sum(survey.pictures.values()):,}: {_counted(survey.pictures)}",
    ]
    if survey.pairs:
        lines += [f"pairs to train on: {sum(survey.pairs.values()):,}: {_counted(survey.pairs)}"]
    lines += [f"model: {plan.model}, crops of {plan.size} px", f"recipe: {plan.recipe}"]
    if plan.parameters:
        networks = ", ".join(f"{name} {count:,} parameters" for name, count in plan.parameters.items())
        minutes = plan.seconds / 60
        lines += [
            f"networks: {networks}",
            f"steps to make: {plan.steps:,}, measured {plan.step_seconds:.2f} s each, so about "
            f"{minutes / 60:.1f} h" + (f" ({minutes:.0f} min)" if minutes < 120 else ""),
        ]
    return lines


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def say_skipped(skipped: Sequence[Skipped], console: Console) -> None:
    """Say how many files were left out for which reason, with an example each."""
    for reason, count in Counter(item.reason for item in skipped).most_common():
        example = next(item.path for item in skipped if item.reason == reason)
        console.warning(f"{count} left out: {reason} (for example {example})")
