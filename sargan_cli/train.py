"""``sargan train``: train a model on photos of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sargan_cli import options
from sargan_cli.console import Console
from sargan_cli.train_aipgan import train_aipgan
from sargan_cli.train_judge import train_judge
from sargan_cli.train_landmarks import train_landmarks
from sargan_cli.train_pixel import train_pixel
from sargan_cli.train_request import STEPS, Arch, Channels, Form, Recipe, Scaling, TrainRequest
from sargan_cli.train_sargan import train_sargan
from sargan_core.errors import UsageError

KINDS = {
    "sargan": train_sargan,
    "pixel": train_pixel,
    "aipgan": train_aipgan,
    "landmarks": train_landmarks,
    "judge": train_judge,
}


def train(
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
    model: Annotated[
        Literal["sargan", "pixel", "aipgan", "landmarks", "judge"],
        typer.Option(
            "--model",
            "-m",
            help="What to train; aipgan is the model behind `sargan edit --like`, landmarks the network that finds "
            "the 68 points, judge the one that checks edits.",
        ),
    ] = "sargan",
    arch: Annotated[Arch, typer.Option("--arch", help="Architecture of the network.")] = "sargan",
    recipe: Annotated[
        Recipe,
        typer.Option(
            "--recipe",
            help="paired learns from two photos of one person, fast; paper is the published recipe, for "
            "hundreds of thousands of steps.",
        ),
    ] = "paired",
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
        typer.Option(
            "--steps",
            min=1,
            help=f"Number of the last step: {STEPS['sargan']} by default, {STEPS['aipgan']} for aipgan, "
            f"{STEPS['judge']} for the judge.",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option("--batch", min=1, help="Faces a step and process: 8 by default.", show_default=False),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            "--size",
            min=64,
            help="Side of the face crops in pixels: 128 by default, 256 for the displaced pixel form, 112 for a "
            "refiner, which sees the mouth and what lies around it.",
            show_default=False,
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            "--width",
            min=4,
            help="Channels of the network's first layer: 64 by default, 32 for aipgan.",
            show_default=False,
        ),
    ] = None,
    downs: Annotated[int, typer.Option("--downs", min=1, max=5, help="Halvings of the resolution.")] = 2,
    rate: Annotated[
        float | None,
        typer.Option("--rate", min=0.0, help="Learning rate; by default the recipe's.", show_default=False),
    ] = None,
    form: Annotated[
        Form,
        typer.Option(
            "--form",
            help="Pixel model: displaced, or the paper's plain, or a curve a pixel. aipgan: displaced moves the "
            "photo's own pixels and paints on top, painted is the network alone.",
        ),
    ] = "displaced",
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--without",
            metavar="attention|intrinsic|bilinear",
            help="aipgan: leave out one of its ideas; may be given several times.",
            show_default=False,
        ),
    ] = None,
    channels: Annotated[
        Channels,
        typer.Option("--channels", help="Pixel model: one weight and bias for R, G and B, or three."),
    ] = "shared",
    scaling: Annotated[
        Scaling,
        typer.Option(
            "--scaling", help="Pixel model: fidelity stretches every crop, as the published code does."
        ),
    ] = "product",
    penalty: Annotated[
        float, typer.Option("--lambda", min=0.0, help="Pixel model: the ridge penalty.")
    ] = 0.4,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Folder for the results; runs/ and the model's name by default.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run in --out, with its options; only --steps, --data and --device "
            "may change.",
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace an earlier run in --out once the new one is whole, or the file of --pack.",
        ),
    ] = False,
    adversarial_from: Annotated[
        int | None,
        typer.Option(
            "--adversarial-from",
            min=1,
            help="paired: the step from which a discriminator judges too; it sharpens what is there, so not "
            "before expressions are seen on the sheets.",
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
    seed: Annotated[int, typer.Option("--seed", help="Of weights, draws and augmentation.")] = 0,
    test: Annotated[
        float,
        typer.Option("--test", min=0.0, max=0.9, help="Part of the people to hold out, none of them seen."),
    ] = 0.2,
    checkpoint: Annotated[
        int, typer.Option("--checkpoint-every", min=1, help="Steps between two checkpoints.")
    ] = 100,
    sheet: Annotated[
        int, typer.Option("--sheet-every", min=1, help="Steps between two sample sheets.")
    ] = 250,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print the plan and the expected time of the steps, and stop; nothing is written.",
        ),
    ] = False,
    pack: Annotated[
        Path | None,
        typer.Option(
            "--pack",
            metavar="FILE",
            help="Write the crops as one .safetensors file for another machine, and stop.",
            show_default=False,
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", metavar="FOLDER", help="Where crops are kept.", show_default=False),
    ] = None,
    landmarks: options.Landmarks = "auto",
    max_pixels: options.MaxPixels = None,
    device: options.Device = "auto",
    precision: Annotated[
        Literal["fp32", "bf16"], typer.Option("--precision", help="Number format of the networks.")
    ] = "fp32",
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Train a model on photos of people with different expressions.

    Ctrl-C writes a checkpoint first; the same command with --resume goes on exactly there. Several processes:
    torchrun --nproc-per-node N -m sargan_cli train ...
    """
    if form == "painted" and model != "aipgan":
        raise UsageError("--form painted: only aipgan has it; see --model")
    if pack is not None and model != "sargan":
        raise UsageError("--pack: only the crops of --model sargan can be packed")
    request = TrainRequest(
        data=tuple(data or ()),
        out=out or Path("runs", model),
        arch=arch,
        recipe=recipe,
        refine=refine,
        steps=steps,
        batch=batch,
        size=size,
        width=width,
        downs=downs,
        rate=rate,
        form=form,
        without=tuple(without or ()),
        channels=channels,
        scaling=scaling,
        penalty=penalty,
        resume=resume,
        overwrite=overwrite,
        adversarial_from=adversarial_from,
        start=start,
        seed=seed,
        test=test,
        checkpoint_every=checkpoint,
        sheet_every=sheet,
        dry_run=dry_run,
        pack=pack,
        cache=cache,
        landmarks=landmarks,
        max_pixels=max_pixels,
        device=device,
        precision=precision,
    )
    KINDS[model](request, Console(quiet))
