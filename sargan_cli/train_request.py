"""What ``sargan train`` is asked for, and what every kind of training says on its way."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sargan_cli.console import Console
from sargan_core.errors import UsageError

if TYPE_CHECKING:
    from sargan_core.data.samples import Skipped
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
