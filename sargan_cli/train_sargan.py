"""``sargan train --model sargan``: a generator that learns from pairs, by the published recipe, or as a refiner."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sargan_cli.console import Console, print_path
from sargan_cli.train_request import STEPS, TrainRequest, run_place, say_plan, say_skipped, step_teller
from sargan_core.errors import UsageError

if TYPE_CHECKING:
    from sargan_core.models.sargan.recipes import SarganTraining
    from sargan_core.models.sargan.run import RunOptions


def train_sargan(request: TrainRequest, console: Console) -> None:
    """Train, and print the path of the weights; or only pack the crops, or only say the plan."""
    from sargan_core.models.sargan.run import TrainingSession
    from sargan_core.training.run_folder import WEIGHTS

    options = _options(request)
    if request.dry_run:
        from sargan_core.training.plans import plan_sargan

        say_plan(plan_sargan(options, request.run_folder()), request, console)
        return
    if request.pack is not None:
        _pack(options, request, request.pack, console)
        return
    with run_place(request, console) as folder:
        with console.counting("cropping") as progress:
            session = TrainingSession(options, folder, request.cache, progress)
        say_skipped(session.skipped, console)
        session.run(step_teller(options.loop, console))
    if session.fabric.is_global_zero:
        print_path(request.out / WEIGHTS)


def _options(request: TrainRequest) -> RunOptions:
    """Return the options of a new run, or those of the run that is taken up again."""
    from sargan_core.models.sargan.run import RunOptions, read_options
    from sargan_core.training.loop import LoopSettings

    if request.resume:
        options = read_options(request.run_folder())
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
        max_pixels=request.pixel_limit(),
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


def _pack(options: RunOptions, request: TrainRequest, file: Path, console: Console) -> None:
    from sargan_core.models.sargan.run import pack

    if file.suffix != ".safetensors":
        raise UsageError(f"--pack {file}: give a name that ends in .safetensors")
    with console.counting("cropping") as progress:
        skipped = pack(options, file, request.cache, progress, overwrite=request.overwrite)
    say_skipped(skipped, console)
    print_path(file)
