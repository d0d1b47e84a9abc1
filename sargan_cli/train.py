"""``sargan train``: train a model on photos of one's own."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sargan_cli.console import Console, print_path
from sargan_cli.options import DebugOption, DeviceOption, LandmarksOption, QuietOption
from sargan_core.errors import UsageError

if TYPE_CHECKING:
    from sargan_core.data.samples import Skipped
    from sargan_core.training.plan import TrainingPlan
    from sargan_core.training.session import RunOptions

DEFAULT_STEPS = 10_000


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
    arch: Annotated[
        Literal["sargan", "usgan", "stargan"], typer.Option("--arch", help="Architecture of the network.")
    ] = "sargan",
    recipe: Annotated[
        Literal["paired", "paper"],
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
            "--steps", min=1, help=f"Number of the last step, {DEFAULT_STEPS} by default.", show_default=False
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
        Literal["displaced", "plain", "kernel", "painted"],
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
        Literal["shared", "separate"],
        typer.Option("--channels", help="Pixel model: one weight and bias for R, G and B, or three."),
    ] = "shared",
    scaling: Annotated[
        Literal["product", "fidelity"],
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
        bool, typer.Option("--dry-run", help="Print the plan and the expected time, and stop.")
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
    landmarks: LandmarksOption = "auto",
    device: DeviceOption = "auto",
    precision: Annotated[
        Literal["fp32", "bf16"], typer.Option("--precision", help="Number format of the networks.")
    ] = "fp32",
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Train a model on photos of people with different expressions.

    Ctrl-C writes a checkpoint first; the same command with --resume goes on exactly there. Several processes:
    torchrun --nproc-per-node N -m sargan_cli train ...
    """
    console = Console(quiet)
    if form == "painted" and model != "aipgan":
        raise UsageError("--form painted: only aipgan has it; see --model")
    if model == "pixel":
        forms = {"form": form, "channels": channels, "scaling": scaling, "penalty": penalty}
        size = size or (256 if form == "displaced" else 128)
        _train_pixel(
            data, out or Path("runs/pixel"), {**forms, "size": size}, test, landmarks, cache, console
        )
        return
    if model == "landmarks":
        _train_landmarks(data, out or Path("runs/landmarks"), test, console)
        return
    if model == "judge":
        lengths = {"steps": steps, "seed": seed, "resume": resume, "checkpoint_every": checkpoint}
        _train_judge(data, out or Path("runs/judge"), lengths, test, landmarks, cache, console)
        return
    if model == "aipgan":
        if form not in ("displaced", "painted"):
            raise UsageError(f"--form {form}: aipgan is displaced or painted")
        left_out = without or []
        if unknown := sorted(set(left_out) - {"attention", "intrinsic", "bilinear"}):
            raise UsageError(f"--without {unknown[0]}: known are attention, intrinsic, bilinear")
        network = {
            "width": width or 32,
            "size": size or 128,
            "attention": "attention" not in left_out,
            "intrinsic": "intrinsic" not in left_out,
            "pooling": "concatenation" if "bilinear" in left_out else "bilinear",
            "residual": form == "displaced",
        }
        changes = {
            "batch": batch,
            "rate": rate,
            "adversarial_from": adversarial_from,
            "seed": seed,
            "squared_until": 0 if start is not None else None,
        }
        from sargan_cli.train_aipgan import train_aipgan

        skipped = train_aipgan(
            data or [],
            out or Path("runs/aipgan"),
            resume=resume,
            steps=steps,
            network=network,
            recipe=recipe,
            training={name: value for name, value in changes.items() if value is not None},
            loop={"sheet_every": sheet, "checkpoint_every": checkpoint},
            options={
                "test_fraction": test,
                "landmarks": landmarks,
                "device": device,
                "start": str(start or ""),
            },
            cache=cache,
            dry_run=dry_run,
            console=console,
        )
        _say_skipped(skipped, console)
        return
    out = out or Path("runs/sargan")
    size = size or (112 if refine else 128)
    from sargan_core.models.generator import preset
    from sargan_core.training.loop import LoopSettings
    from sargan_core.training.recipes import paired_recipe, paper_recipe, refine_recipe
    from sargan_core.training.session import RunOptions, TrainingSession, read_options
    from sargan_core.training.session import pack as write_pack

    if resume:
        options = read_options(out)
        loop = replace(options.loop, resume=True, steps=steps or options.loop.steps)
        options = replace(options, loop=loop, device=device, data=_paths(data) or options.data)
    else:
        if not data:
            raise UsageError("no photos to learn from; name a folder with --data")
        generator = preset(arch, width=width or 64, downs=downs, size=size)
        if refine:
            training = refine_recipe(generator, batch or 8, seed)
        else:
            training = (paper_recipe if recipe == "paper" else paired_recipe)(generator, batch or 8, seed)
        if rate is not None:
            training = replace(training, rate=rate)
        if adversarial_from is not None:
            training = replace(training, adversarial_from=adversarial_from)
        if start is not None:
            # Trained weights are no longer held at the identity, and squared distances would blur them.
            training = replace(training, squared_until=0)
        loop = LoopSettings(steps=steps or DEFAULT_STEPS, sheet_every=sheet, checkpoint_every=checkpoint)
        options = RunOptions(
            *(_paths(data), training, loop, test, landmarks, device, precision),
            start=str(start or ""),
            refine=refine or "",
        )
    if pack is not None:
        if pack.suffix != ".safetensors":
            raise UsageError(f"--pack {pack}: give a name that ends in .safetensors")
        with console.counting("cropping") as progress:
            missed = write_pack(options, pack, cache, progress)
        _say_skipped(missed, console)
        print_path(pack)
        return
    with console.counting("cropping") as progress:
        session = TrainingSession(options, out, cache, progress)
    _say_skipped(session.skipped, console)
    if dry_run:
        for line in plan_lines(session.plan(), options):
            console.note(line)
        return
    began = time.perf_counter()

    def on_step(step: int, losses: dict[str, float]) -> None:
        if step % options.loop.log_every == 0:
            listed = " ".join(f"{name} {value:.4f}" for name, value in losses.items())
            console.note(
                f"step {step} of {options.loop.steps}, {time.perf_counter() - began:.0f} s: {listed}"
            )

    session.run(on_step)
    if session.fabric.is_global_zero:
        from sargan_core.training.run_folder import WEIGHTS

        print_path(out / WEIGHTS)


def _paths(data: Sequence[Path] | None) -> tuple[str, ...]:
    return tuple(str(folder) for folder in data or ())


def _say_skipped(skipped: Sequence[Skipped], console: Console) -> None:
    for reason, count in Counter(item.reason for item in skipped).most_common():
        example = next(item.path for item in skipped if item.reason == reason)
        console.warning(f"{count} left out: {reason} (for example {example})")


def plan_lines(plan: TrainingPlan, options: RunOptions) -> list[str]:
    """Return the plan of a run as lines for people."""
    training = options.training
    minutes = plan.seconds / 60
    pairs = [f"  {name}: {count}" for name, count in plan.pairs.items()]
    networks = ", ".join(f"{name} {count:,} parameters" for name, count in plan.parameters.items())
    return [
        f"people: {plan.people} to train on, {plan.held_out} held out",
        f"crops to train on: {plan.crops:,} of {training.generator.size} px",
        f"pairs to train on: {sum(plan.pairs.values()):,}",
        *pairs,
        f"networks: {training.generator.arch}, {networks}"
        + (f", refines {options.refine}" if options.refine else ""),
        f"recipe: {training.recipe}, batch {training.batch}, rate {training.rate:g}, seed {training.seed}",
        f"steps to make: {plan.steps:,}, measured {plan.step_seconds:.2f} s each, so about "
        f"{minutes / 60:.1f} h" + (f" ({minutes:.0f} min)" if minutes < 120 else ""),
    ]


def _train_pixel(
    data: Sequence[Path] | None,
    out: Path,
    options: dict[str, Any],
    test: float,
    landmarks: str,
    cache: Path | None,
    console: Console,
) -> None:
    from sargan_core.training.pixel import PixelOptions
    from sargan_core.training.pixel_run import train_pixel

    if not data:
        raise UsageError("no photos to learn from; name a folder with --data")
    with console.counting("cropping and fitting") as progress:
        path, skipped = train_pixel(
            data,
            out,
            PixelOptions(**options),
            test_fraction=test,
            landmarks=landmarks,
            cache=cache,
            progress=progress,
        )
    _say_skipped(skipped, console)
    print_path(path)


def _train_landmarks(data: Sequence[Path] | None, out: Path, test: float, console: Console) -> None:
    from sargan_core.training.landmarks_run import train_landmarks_run

    if not data:
        raise UsageError("no photos to learn from; name a folder with --data")
    with console.counting("training") as progress:
        path, skipped = train_landmarks_run(data, out, test_fraction=test, progress=progress)
    _say_skipped(skipped, console)
    print_path(path)


def _train_judge(
    data: Sequence[Path] | None,
    out: Path,
    lengths: dict[str, Any],
    test: float,
    landmarks: str,
    cache: Path | None,
    console: Console,
) -> None:
    from sargan_core.training.judge import JudgeTraining
    from sargan_core.training.judge_run import train_judge
    from sargan_core.training.loop import LoopSettings

    if not data:
        raise UsageError("no photos to learn from; name a folder with --data")
    training = JudgeTraining(steps=lengths["steps"] or JudgeTraining.steps, seed=lengths["seed"])
    loop = LoopSettings(training.steps, 25, training.steps, lengths["checkpoint_every"], lengths["resume"])

    def on_step(step: int, losses: dict[str, float]) -> None:
        if step % loop.log_every == 0:
            listed = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
            console.note(f"step {step} of {loop.steps}: {listed}")

    with console.counting("cropping") as progress:
        path, skipped = train_judge(
            *(data, out, training, loop),
            test_fraction=test,
            landmarks=landmarks,
            cache=cache,
            progress=progress,
            on_step=on_step,
        )
    _say_skipped(skipped, console)
    print_path(path)
