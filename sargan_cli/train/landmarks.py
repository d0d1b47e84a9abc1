"""``sargan train landmarks``: the network that finds the 68 points."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sargan_cli import options as common
from sargan_cli.train import options
from sargan_cli.train.running import Place, carry_out, photos, pixel_limit


def landmarks(
    data: options.Data = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Number of the last step.")] = 20_000,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            min=0.01,
            help="End after this time, however many steps that are.",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Pictures a step.")] = 128,
    out: options.Out = None,
    overwrite: options.Overwrite = False,
    seed: options.Seed = 0,
    test: options.Test = 0.2,
    dry_run: options.DryRun = False,
    max_pixels: common.MaxPixels = None,
    device: common.Device = "auto",
    quiet: common.Quiet = False,
    debug: common.Debug = False,
) -> None:
    """Train the networks that find 68 points.

    The photos must come with their landmarks. A few minutes of a GPU are enough; a CPU takes a night.
    """
    from sargan_core.models.landmarks.run import LandmarksRun

    run = LandmarksRun(
        data=photos(data),
        test_fraction=test,
        max_pixels=pixel_limit(max_pixels),
        steps=steps,
        minutes=minutes,
        batch=batch,
        seed=seed,
        device=device,
    )
    place = Place(out or Path("runs/landmarks"), overwrite=overwrite, dry_run=dry_run, quiet=quiet)
    carry_out(run, place)
