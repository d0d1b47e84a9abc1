"""What ``sargan train`` is asked for, and what every kind of training says on its way."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sargan_cli.console import Console
from sargan_core.errors import UsageError

if TYPE_CHECKING:
    from sargan_core.data.samples import Skipped
    from sargan_core.models.sargan.run import TrainingPlan
    from sargan_core.training.loop import LoopSettings

# Number of the last step by default; the pixel model and the landmark network have none to choose.
STEPS = {"sargan": 10_000, "aipgan": 3_000, "judge": 2_000}

Arch = Literal["sargan", "usgan", "stargan"]
Recipe = Literal["paired", "paper"]
Form = Literal["displaced", "plain", "kernel", "painted"]
Channels = Literal["shared", "separate"]
Scaling = Literal["product", "fidelity"]


@dataclass(frozen=True)
class TrainRequest:
    """The options of a call; a kind of training leaves alone what it has no use for. None = the kind's own default.

    Attributes:
        data: folders, or one packed file; empty if none was named.
        out: the run folder.
        arch: architecture of SARGAN's network.
        recipe: how SARGAN and AIP-GAN learn.
        refine: the model whose picture SARGAN's network refines.
        steps: number of the last step.
        batch: faces a step and process.
        size: side of the crops in pixels.
        width: channels of the network's first layer.
        downs: halvings of the resolution.
        rate: learning rate.
        form: of the pixel model or of AIP-GAN.
        without: the ideas that AIP-GAN does without.
        channels: of the pixel model.
        scaling: of the pixel model.
        penalty: of the pixel model.
        resume: go on with the run in ``out``.
        overwrite: replace the run in ``out``, or the file of ``pack``.
        adversarial_from: the step from which a discriminator judges too.
        start: weights to start from.
        seed: of weights, draws and augmentation.
        test: part of the people to hold out.
        checkpoint_every: steps between two checkpoints.
        sheet_every: steps between two sample sheets.
        dry_run: say what would be done, and stop.
        pack: write the crops into this file, and stop.
        cache: where crops are kept.
        landmarks: what finds the points of the faces.
        max_pixels: photos of more pixels are left out; None = the library's own limit.
        device: where to train.
        precision: number format of SARGAN's networks.
    """

    data: tuple[Path, ...]
    out: Path
    arch: Arch
    recipe: Recipe
    refine: str | None
    steps: int | None
    batch: int | None
    size: int | None
    width: int | None
    downs: int
    rate: float | None
    form: Form
    without: tuple[str, ...]
    channels: Channels
    scaling: Scaling
    penalty: float
    resume: bool
    overwrite: bool
    adversarial_from: int | None
    start: Path | None
    seed: int
    test: float
    checkpoint_every: int
    sheet_every: int
    dry_run: bool
    pack: Path | None
    cache: Path | None
    landmarks: str
    max_pixels: int | None
    device: str
    precision: str

    def photos(self) -> tuple[Path, ...]:
        """Return what there is to learn from.

        Raises:
            UsageError: nothing was named.
        """
        if not self.data:
            raise UsageError("no photos to learn from; name a folder with --data")
        return self.data

    def pixel_limit(self) -> int:
        """Return how many pixels a photo may have."""
        from sargan_core.photo.photo import MAX_PIXELS

        return self.max_pixels or MAX_PIXELS

    def run_folder(self) -> Path:
        """Return where the run lies that is to be resumed."""
        from sargan_core.training.results import run_folder

        return run_folder(self.out)


@contextmanager
def run_place(request: TrainRequest, console: Console, *, at_once: bool = False) -> Iterator[Path]:
    """Give the folder that the training writes to, see ``results``; say where an interrupted one waits."""
    from sargan_core.training.results import results

    with results(request.out, resume=request.resume, overwrite=request.overwrite, at_once=at_once) as folder:
        try:
            yield folder
        except KeyboardInterrupt:
            if folder != request.out and not at_once:
                console.note(
                    f"{folder}: holds the new run so far; --resume goes on with it, the earlier one is as it was"
                )
            raise


def check_no_resume(request: TrainRequest, model: str) -> None:
    """Raise UsageError if a training is to be resumed that is made in one go."""
    if request.resume:
        raise UsageError(f"--resume: {model} leaves no checkpoint to go on from; train anew with --overwrite")


def say_plan(plan: TrainingPlan, request: TrainRequest, console: Console) -> None:
    """Say what a training would do; nothing else was done."""
    from sargan_core.training.results import earlier_results

    say_skipped(plan.survey.skipped, console)
    for line in plan_lines(plan):
        console.note(line)
    there = bool(earlier_results(request.out)) and not (request.resume or request.overwrite)
    console.note(
        f"result: {request.out / plan.weights}"
        + (" (an earlier run lies there: add --overwrite, --resume or another --out)" if there else "")
    )


def plan_lines(plan: TrainingPlan) -> list[str]:
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


def step_teller(loop: LoopSettings, console: Console) -> Callable[[int, dict[str, float]], None]:
    """Return a function that is told every step of a run that begins now, and says some of them."""
    began = time.perf_counter()

    def on_step(step: int, losses: dict[str, float]) -> None:
        if step % loop.log_every == 0:
            listed = " ".join(f"{name} {value:.4f}" for name, value in losses.items())
            console.note(f"step {step} of {loop.steps}, {time.perf_counter() - began:.0f} s: {listed}")

    return on_step
