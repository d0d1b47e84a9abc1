"""``sargan train aipgan``: the network behind ``sargan edit --like``."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from sargan_cli import options as common
from sargan_cli.train import options
from sargan_cli.train.running import Place, carry_out, given, photos, pixel_limit, resumed


class Idea(StrEnum):
    """Ideas of the paper that a network can do without."""

    ATTENTION = "attention"
    INTRINSIC = "intrinsic"
    BILINEAR = "bilinear"


def aipgan(
    data: options.Data = None,
    form: Annotated[
        Literal["displaced", "painted"],
        typer.Option(
            "--form",
            help="displaced moves the photo's own pixels and paints on top, painted is the network alone.",
        ),
    ] = "displaced",
    recipe: options.Recipe = "paired",
    without: Annotated[
        list[Idea] | None,
        typer.Option(
            "--without",
            metavar="attention|intrinsic|bilinear",
            help="Leave out one of its ideas; may be given several times.",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, help="Number of the last step: 3000 by default.", show_default=False),
    ] = None,
    batch: options.Batch = None,
    size: Annotated[int, typer.Option("--size", min=64, help="Side of the face crops in pixels.")] = 128,
    width: Annotated[int, typer.Option("--width", min=4, help="Channels of the network's first layer.")] = 32,
    rate: options.Rate = None,
    adversarial_from: options.AdversarialFrom = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--start",
            metavar="FILE",
            help="Weights to start from: a network of the same form and --width, of any --size.",
            show_default=False,
        ),
    ] = None,
    out: options.Out = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    seed: options.Seed = 0,
    test: options.Test = 0.2,
    checkpoint: options.CheckpointEvery = 100,
    sheet: options.SheetEvery = 250,
    dry_run: options.DryRun = False,
    cache: options.Cache = None,
    landmarks: common.Landmarks = "auto",
    max_pixels: common.MaxPixels = None,
    device: common.Device = "auto",
    quiet: common.Quiet = False,
    debug: common.Debug = False,
) -> None:
    """Train what `sargan edit --like` needs.

    AIP-GAN takes the expression from another photo. Ctrl-C writes a checkpoint first; --resume goes on from there.
    """
    from sargan_core.models.aipgan.network import AipganSettings
    from sargan_core.models.aipgan.recipe import paired_recipe, paper_recipe
    from sargan_core.models.aipgan.run import AipganRun
    from sargan_core.training.loop import LoopSettings

    place = Place(out or Path("runs/aipgan"), resume, overwrite, dry_run, cache, quiet)
    if resume:
        carry_out(replace(resumed(AipganRun, place, data, steps), device=device), place)
        return
    left_out = without or ()
    network = AipganSettings(
        width=width,
        size=size,
        attention=Idea.ATTENTION not in left_out,
        intrinsic=Idea.INTRINSIC not in left_out,
        pooling="concatenation" if Idea.BILINEAR in left_out else "bilinear",
        residual=form == "displaced",
    )
    changes = given(
        batch=batch,
        rate=rate,
        adversarial_from=adversarial_from,
        seed=seed,
        # Trained weights are no longer held at the identity, and squared distances would blur them.
        squared_until=None if start is None else 0,
    )
    run = AipganRun(
        data=photos(data),
        training=replace({"paired": paired_recipe, "paper": paper_recipe}[recipe](network), **changes),
        loop=LoopSettings(steps=steps or 3_000, sheet_every=sheet, checkpoint_every=checkpoint),
        test_fraction=test,
        landmarks=landmarks,
        device=device,
        start=str(start or ""),
        max_pixels=pixel_limit(max_pixels),
    )
    carry_out(run, place)
