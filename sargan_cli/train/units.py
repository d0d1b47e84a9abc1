"""``sargan train units``: the encoder that reads face units off a photo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from sargan_cli import options as common
from sargan_cli.train import options
from sargan_cli.train.running import Place, carry_out, photos, pixel_limit, resumed


def units(
    data: options.Data = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, help="Number of the last step: 12000 by default.", show_default=False),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, max=4096, help="Crops a step.")] = 64,
    width: Annotated[int, typer.Option("--width", min=8, max=128, help="Width of the network.")] = 32,
    start: Annotated[
        Path | None,
        typer.Option(
            "--start",
            metavar="FILE",
            help="Weights to start from: a units file of the same --width.",
            show_default=False,
        ),
    ] = None,
    out: options.Out = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    seed: options.Seed = 0,
    test: options.Test = 0.15,
    checkpoint: options.CheckpointEvery = 100,
    dry_run: options.DryRun = False,
    device: common.Device = "auto",
    precision: options.Precision = "fp32",
    max_pixels: common.MaxPixels = None,
    quiet: common.Quiet = False,
    debug: common.Debug = False,
) -> None:
    """Train the encoder that reads face units off a photo.

    One --data is a folder of rendered units (units.npz and unit_basis.npz), the others photos with landmarks.
    """
    from sargan_core.models.units.run import UnitsRun
    from sargan_core.models.units.task import UnitsOptions
    from sargan_core.training.loop import LoopSettings

    place = Place(out or Path("runs/units"), resume, overwrite, dry_run, None, quiet)
    if resume:
        run = replace(resumed(UnitsRun, place, data, steps), device=device)
    else:
        last = steps or 12_000
        run = UnitsRun(
            data=photos(data),
            training=UnitsOptions(steps=last, batch=batch, width=width, seed=seed, precision=precision),
            loop=LoopSettings(steps=last, sheet_every=last, checkpoint_every=checkpoint),
            test_fraction=test,
            device=device,
            start=str(start or ""),
            max_pixels=pixel_limit(max_pixels),
        )
    carry_out(run, place)
