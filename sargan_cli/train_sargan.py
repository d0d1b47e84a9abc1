"""``sargan train --model sargan``: a generator that learns from pairs, by the published recipe, or as a refiner."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sargan_cli.console import Console, print_path
from sargan_cli.train_request import STEPS, TrainRequest, say_skipped, step_teller
from sargan_core.errors import UsageError

if TYPE_CHECKING:
    from sargan_core.models.sargan.recipes import SarganTraining
    from sargan_core.models.sargan.run import RunOptions, TrainingPlan


def train_sargan(request: TrainRequest, console: Console) -> None:
    """Train, and print the path of the weights; or only pack the crops, or only say the plan."""
    from sargan_core.models.sargan.run import TrainingSession
    from sargan_core.training.run_folder import WEIGHTS

    options = _options(request)
    if request.pack is not None:
        _pack(options, request.pack, request.cache, console)
        return
    with console.counting("cropping") as progress:
        session = TrainingSession(options, request.out, request.cache, progress)
    say_skipped(session.skipped, console)
    if request.dry_run:
        for line in plan_lines(session.plan(), options):
            console.note(line)
        return
    session.run(step_teller(options.loop, console))
    if session.fabric.is_global_zero:
        print_path(request.out / WEIGHTS)


def _options(request: TrainRequest) -> RunOptions:
    """Return the options of a new run, or those of the run that is taken up again."""
    from sargan_core.models.sargan.run import RunOptions, read_options
    from sargan_core.training.loop import LoopSettings

    if request.resume:
        options = read_options(request.out)
        loop = replace(options.loop, resume=True, steps=request.steps or options.loop.steps)
        data = tuple(map(str, request.data)) or options.data
        return replace(options, loop=loop, device=request.device, data=data)
    return RunOptions(
        data=tuple(map(str, request.photos())),
        training=_recipe(request),
        loop=LoopSettings(
            steps=request.steps or STEPS["sargan"],
            sheet_every=request.sheet_every,
            checkpoint_every=request.checkpoint_every,
        ),
        test_fraction=request.test,
        landmarks=request.landmarks,
        device=request.device,
        precision=request.precision,
        start=str(request.start or ""),
        refine=request.refine or "",
    )


def _recipe(request: TrainRequest) -> SarganTraining:
    from sargan_core.models.sargan.generator import preset
    from sargan_core.models.sargan.recipes import paired_recipe, paper_recipe, refine_recipe

    # A refiner sees the mouth and what lies around it, not the whole face.
    size = request.size or (112 if request.refine else 128)
    generator = preset(request.arch, width=request.width or 64, downs=request.downs, size=size)
    recipe = {"paired": paired_recipe, "paper": paper_recipe}[request.recipe]
    training = (refine_recipe if request.refine else recipe)(generator, request.batch or 8, request.seed)
    if request.rate is not None:
        training = replace(training, rate=request.rate)
    if request.adversarial_from is not None:
        training = replace(training, adversarial_from=request.adversarial_from)
    if request.start is not None:
        # Trained weights are no longer held at the identity, and squared distances would blur them.
        training = replace(training, squared_until=0)
    return training


def _pack(options: RunOptions, file: Path, cache: Path | None, console: Console) -> None:
    from sargan_core.models.sargan.run import pack

    if file.suffix != ".safetensors":
        raise UsageError(f"--pack {file}: give a name that ends in .safetensors")
    with console.counting("cropping") as progress:
        skipped = pack(options, file, cache, progress)
    say_skipped(skipped, console)
    print_path(file)


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
