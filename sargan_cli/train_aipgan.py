"""``sargan train --model aipgan``: the network behind ``sargan edit --like``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sargan_cli.console import Console, print_path
from sargan_cli.train_request import STEPS, TrainRequest, run_place, say_plan, say_skipped, step_teller
from sargan_core.errors import UsageError

if TYPE_CHECKING:
    from sargan_core.models.aipgan.network import AipganSettings
    from sargan_core.models.aipgan.run import TransferOptions

FORMS = ("displaced", "painted")
IDEAS = ("attention", "intrinsic", "bilinear")


def train_aipgan(request: TrainRequest, console: Console) -> None:
    """Train, and print the path of the weights; or only say what it would take."""
    if request.form not in FORMS:
        raise UsageError(f"--form {request.form}: aipgan is {' or '.join(FORMS)}")
    if unknown := sorted(set(request.without) - set(IDEAS)):
        raise UsageError(f"--without {unknown[0]}: known are {', '.join(IDEAS)}")
    from sargan_core.models.aipgan.run import TransferSession
    from sargan_core.training.run_folder import WEIGHTS

    options = _options(request)
    if request.dry_run:
        from sargan_core.training.plans import plan_aipgan

        say_plan(plan_aipgan(options, request.run_folder()), request, console)
        return
    with run_place(request, console) as folder:
        with console.counting("preparing") as progress:
            session = TransferSession(options, folder, request.cache, progress)
        say_skipped(session.skipped, console)
        session.run(step_teller(options.loop, console))
    if session.fabric.is_global_zero:
        print_path(request.out / WEIGHTS)


def _options(request: TrainRequest) -> TransferOptions:
    """Return the options of a new run, or those of the run that is taken up again."""
    from sargan_core.models.aipgan.recipe import paired_recipe, paper_recipe
    from sargan_core.models.aipgan.run import TransferOptions, read_transfer_options
    from sargan_core.training.loop import LoopSettings

    if request.resume:
        options = read_transfer_options(request.run_folder())
        loop = replace(options.loop, resume=True, steps=request.steps or options.loop.steps)
        data = tuple(map(str, request.data)) or options.data
        return replace(options, loop=loop, device=request.device, data=data)
    data = tuple(map(str, request.photos()))
    recipe = {"paired": paired_recipe, "paper": paper_recipe}[request.recipe]
    return TransferOptions(
        data=data,
        training=replace(recipe(_network(request)), **_changes(request)),
        loop=LoopSettings(
            steps=request.steps or STEPS["aipgan"],
            sheet_every=request.sheet_every,
            checkpoint_every=request.checkpoint_every,
        ),
        test_fraction=request.test,
        landmarks=request.landmarks,
        device=request.device,
        start=str(request.start or ""),
        max_pixels=request.pixel_limit(),
    )


def _network(request: TrainRequest) -> AipganSettings:
    from sargan_core.models.aipgan.network import AipganSettings

    return AipganSettings(
        width=request.width or 32,
        size=request.size or 128,
        attention="attention" not in request.without,
        intrinsic="intrinsic" not in request.without,
        pooling="concatenation" if "bilinear" in request.without else "bilinear",
        residual=request.form == "displaced",
    )


def _changes(request: TrainRequest) -> dict[str, Any]:
    """Return what the call asks for that the recipe has otherwise."""
    changes = {
        "batch": request.batch,
        "rate": request.rate,
        "adversarial_from": request.adversarial_from,
        "seed": request.seed,
        # Trained weights are no longer held at the identity, and squared distances would blur them.
        "squared_until": None if request.start is None else 0,
    }
    return {name: value for name, value in changes.items() if value is not None}
