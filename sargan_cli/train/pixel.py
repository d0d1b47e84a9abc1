"""``sargan train pixel``: the pixel model, fitted in closed form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sargan_cli import options as common
from sargan_cli.train import options
from sargan_cli.train.running import Place, carry_out, photos, pixel_limit


def pixel(
    data: options.Data = None,
    form: Annotated[
        Literal["displaced", "plain", "kernel"],
        typer.Option("--form", help="displaced, or the paper's plain, or a curve a pixel."),
    ] = "displaced",
    channels: Annotated[
        Literal["shared", "separate"],
        typer.Option("--channels", help="One weight and bias for R, G and B, or three."),
    ] = "shared",
    scaling: Annotated[
        Literal["product", "fidelity"],
        typer.Option("--scaling", help="fidelity stretches every crop, as the published code does."),
    ] = "product",
    size: Annotated[
        int | None,
        typer.Option(
            "--size",
            min=64,
            help="Side of the face crops in pixels: 256 by default for displaced, 128 for the other forms.",
            show_default=False,
        ),
    ] = None,
    penalty: Annotated[float, typer.Option("--lambda", min=0.0, help="The ridge penalty.")] = 0.4,
    prototypes: Annotated[
        Literal["data", "emfacs"],
        typer.Option(
            "--prototypes",
            help="The expressions as the photos show them, or brought towards what strangers name (displaced only).",
        ),
    ] = "data",
    out: options.Out = None,
    overwrite: options.Overwrite = False,
    test: options.Test = 0.2,
    dry_run: options.DryRun = False,
    cache: options.Cache = None,
    landmarks: common.Landmarks = "auto",
    max_pixels: common.MaxPixels = None,
    quiet: common.Quiet = False,
    debug: common.Debug = False,
) -> None:
    """Fit the pixel model: minutes, no GPU."""
    from sargan_core.models.pixel.fit import PixelOptions
    from sargan_core.models.pixel.run import PixelRun

    run = PixelRun(
        data=photos(data),
        fit=PixelOptions(
            form=form,
            channels=channels,
            scaling=scaling,
            size=size or (256 if form == "displaced" else 128),
            penalty=penalty,
        ),
        prototypes=prototypes,
        test_fraction=test,
        landmarks=landmarks,
        max_pixels=pixel_limit(max_pixels),
    )
    place = Place(out or Path("runs/pixel"), overwrite=overwrite, dry_run=dry_run, cache=cache, quiet=quiet)
    carry_out(run, place)
