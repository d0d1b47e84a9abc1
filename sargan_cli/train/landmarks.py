"""``sargan train landmarks``: the network that finds the 68 points."""

from __future__ import annotations

from pathlib import Path

from sargan_cli import options as common
from sargan_cli.train import options
from sargan_cli.train.running import Place, carry_out, photos, pixel_limit


def landmarks(
    data: options.Data = None,
    out: options.Out = None,
    overwrite: options.Overwrite = False,
    test: options.Test = 0.2,
    dry_run: options.DryRun = False,
    max_pixels: common.MaxPixels = None,
    quiet: common.Quiet = False,
    debug: common.Debug = False,
) -> None:
    """Train the network that finds 68 points.

    The photos must come with their landmarks.
    """
    from sargan_core.models.landmarks.run import LandmarksRun

    run = LandmarksRun(data=photos(data), test_fraction=test, max_pixels=pixel_limit(max_pixels))
    place = Place(out or Path("runs/landmarks"), overwrite=overwrite, dry_run=dry_run, quiet=quiet)
    carry_out(run, place)
