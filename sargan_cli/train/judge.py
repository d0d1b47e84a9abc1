"""``sargan train judge``: the network that checks edits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from sargan_cli import options as common
from sargan_cli.train import options
from sargan_cli.train.running import Place, carry_out, photos, pixel_limit, resumed


def judge(
    data: options.Data = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, help="Number of the last step: 20000 by default.", show_default=False),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--start",
            metavar="FILE",
            help="Weights to start from: a judge's file. The rate is a third then.",
            show_default=False,
        ),
    ] = None,
    out: options.Out = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    seed: options.Seed = 0,
    test: options.Test = 0.2,
    checkpoint: options.CheckpointEvery = 100,
    dry_run: options.DryRun = False,
    cache: options.Cache = None,
    landmarks: common.Landmarks = "auto",
    max_pixels: common.MaxPixels = None,
    device: common.Device = "auto",
    quiet: common.Quiet = False,
    debug: common.Debug = False,
) -> None:
    """Train the network that checks edits.

    A few minutes of a GPU are enough, a CPU takes a night. Ctrl-C writes a checkpoint first; --resume goes on
    from there.
    """
    from sargan_core.models.judge.run import JudgeRun
    from sargan_core.models.judge.task import JudgeTraining
    from sargan_core.training.loop import LoopSettings

    place = Place(out or Path("runs/judge"), resume, overwrite, dry_run, cache, quiet)
    if resume:
        run = replace(resumed(JudgeRun, place, data, steps), device=device)
    else:
        last = steps or 20_000
        run = JudgeRun(
            data=photos(data),
            training=JudgeTraining(steps=last, rate=1e-3 if start else 3e-3, seed=seed),
            # One sheet, of the finished judge.
            loop=LoopSettings(steps=last, sheet_every=last, checkpoint_every=checkpoint),
            test_fraction=test,
            landmarks=landmarks,
            max_pixels=pixel_limit(max_pixels),
            device=device,
            start=str(start or ""),
        )
    carry_out(run, place)
