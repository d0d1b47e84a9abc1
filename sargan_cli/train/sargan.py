"""``sargan train sargan``: a generator that learns from pairs, by the published recipe, or as a refiner."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sargan_cli import options as common
from sargan_cli.console import Console, print_path
from sargan_cli.train import options
from sargan_cli.train.running import (
    Place,
    carry_out,
    counting,
    given,
    photos,
    pixel_limit,
    resumed,
    say_skipped,
)
from sargan_core.errors import UsageError

if TYPE_CHECKING:
    from sargan_core.models.sargan.run import SarganRun


def sargan(
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            metavar="FOLDER",
            help="Photos to learn from, several times for several folders: KDEF, RaFD, JAFFE, a folder an "
            "expression, or a CSV list; or one file made with --pack.",
            show_default=False,
        ),
    ] = None,
    arch: Annotated[
        Literal["sargan", "usgan", "stargan"], typer.Option("--arch", help="Architecture of the network.")
    ] = "sargan",
    recipe: options.Recipe = "paired",
    refine: Annotated[
        str | None,
        typer.Option(
            "--refine",
            metavar="MODEL",
            help="Train the network as a refiner of this model's picture instead of on the photo: pixel, or "
            "another displaced pixel model of sargan models list; always on pairs.",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, help="Number of the last step: 10000 by default.", show_default=False),
    ] = None,
    batch: options.Batch = None,
    size: Annotated[
        int | None,
        typer.Option(
            "--size",
            min=64,
            help="Side of the face crops in pixels: 128 by default, 112 for a refiner, which sees the mouth and "
            "what lies around it.",
            show_default=False,
        ),
    ] = None,
    width: Annotated[int, typer.Option("--width", min=4, help="Channels of the network's first layer.")] = 64,
    downs: Annotated[int, typer.Option("--downs", min=1, max=5, help="Halvings of the resolution.")] = 2,
    rate: options.Rate = None,
    adversarial_from: options.AdversarialFrom = None,
    adversarial: Annotated[
        float | None,
        typer.Option(
            "--adversarial",
            min=0.0,
            help="Weight of the adversarial loss; by default the recipe's. Higher is sharper, and invents more.",
            show_default=False,
        ),
    ] = None,
    discriminator_width: Annotated[
        int | None,
        typer.Option(
            "--discriminator-width",
            min=4,
            help="Channels of the discriminator's first layer: 64 as published, 24 for pairs, which a CPU can bear.",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--start",
            metavar="FILE",
            help="Weights to start from: a generator of the same --arch, --width and --downs, of any --size.",
            show_default=False,
        ),
    ] = None,
    out: options.Out = None,
    resume: options.Resume = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace an earlier run in --out once the new one is whole, or the file of --pack.",
        ),
    ] = False,
    seed: options.Seed = 0,
    test: options.Test = 0.2,
    checkpoint: options.CheckpointEvery = 100,
    sheet: options.SheetEvery = 250,
    dry_run: options.DryRun = False,
    pack: Annotated[
        Path | None,
        typer.Option(
            "--pack",
            metavar="FILE",
            help="Write the crops as one .safetensors file for another machine, and stop.",
            show_default=False,
        ),
    ] = None,
    cache: options.Cache = None,
    landmarks: common.Landmarks = "auto",
    max_pixels: common.MaxPixels = None,
    device: common.Device = "auto",
    precision: options.Precision = "fp32",
    quiet: common.Quiet = False,
    debug: common.Debug = False,
) -> None:
    """Train the SARGAN network; the default.

    Ctrl-C writes a checkpoint first; the same command with --resume goes on exactly there. Several processes:
    torchrun --nproc-per-node N -m sargan_cli train ...
    """
    from sargan_core.models.sargan.generator import preset
    from sargan_core.models.sargan.recipes import paired_recipe, paper_recipe, refine_recipe
    from sargan_core.models.sargan.run import SarganRun
    from sargan_core.training.loop import LoopSettings

    place = Place(out or Path("runs/sargan"), resume, overwrite, dry_run, cache, quiet)
    if resume:
        run = replace(resumed(SarganRun, place, data, steps), device=device)
    else:
        generator = preset(arch, width=width, downs=downs, size=size or (112 if refine else 128))
        make = refine_recipe if refine else {"paired": paired_recipe, "paper": paper_recipe}[recipe]
        changes = given(
            rate=rate,
            adversarial_from=adversarial_from,
            adversarial=adversarial,
            # Trained weights are no longer held at the identity, and squared distances would blur them.
            squared_until=None if start is None else 0,
        )
        training = make(generator, batch or 8, seed)
        discriminator = replace(training.discriminator, **given(width=discriminator_width))
        run = SarganRun(
            data=photos(data),
            training=replace(training, discriminator=discriminator, **changes),
            loop=LoopSettings(steps=steps or 10_000, sheet_every=sheet, checkpoint_every=checkpoint),
            test_fraction=test,
            landmarks=landmarks,
            device=device,
            precision=precision,
            start=str(start or ""),
            refine=refine or "",
            max_pixels=pixel_limit(max_pixels),
        )
    if pack is not None and not dry_run:
        write_pack(run, pack, place)
        return
    carry_out(run, place)


def write_pack(run: SarganRun, file: Path, place: Place) -> None:
    """Write the crops of a run as one file and print its path."""
    from sargan_core.models.sargan.run import pack

    if file.suffix != ".safetensors":
        raise UsageError(f"--pack {file}: give a name that ends in .safetensors")
    console = Console(place.quiet)
    with counting("cropping", console) as progress:
        skipped = pack(run, file, place.cache, progress, overwrite=place.overwrite)
    say_skipped(skipped, console)
    print_path(file)
