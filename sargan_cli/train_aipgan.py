"""``sargan train --model aipgan``: the network behind ``sargan edit --like``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sargan_cli.console import Console, print_path
from sargan_core.errors import UsageError

if TYPE_CHECKING:
    from sargan_core.data.samples import Skipped

DEFAULT_STEPS = 3000


def train_aipgan(
    data: Sequence[Path],
    out: Path,
    *,
    resume: bool,
    steps: int | None,
    network: dict[str, Any],
    recipe: str,
    training: dict[str, Any],
    loop: dict[str, Any],
    options: dict[str, Any],
    cache: Path | None,
    dry_run: bool,
    console: Console,
) -> tuple[Skipped, ...]:
    """Train and print the path of the weights; return what was left out.

    Args:
        data: folders; may be empty for a resumed run.
        out: the run folder.
        resume: go on with the run there.
        steps: number of the last step; None = the default, or the run's.
        network: members of ``AipganSettings``.
        recipe: ``paired`` or ``paper``.
        training: changes to the recipe.
        loop: members of ``LoopSettings``.
        options: further members of ``TransferOptions``.
        cache: the crop cache; None = the user's.
        dry_run: print the expected time and stop.
        console: for remarks.
    """
    from sargan_core.models.aipgan import AipganSettings
    from sargan_core.training.aipgan_recipe import paired_recipe, paper_recipe
    from sargan_core.training.aipgan_run import TransferOptions, TransferSession, read_transfer_options
    from sargan_core.training.loop import LoopSettings, measure
    from sargan_core.training.run_folder import WEIGHTS

    if resume:
        chosen = read_transfer_options(out)
        chosen = replace(chosen, loop=replace(chosen.loop, resume=True, steps=steps or chosen.loop.steps))
    else:
        if not data:
            raise UsageError("no photos to learn from; name a folder with --data")
        settings = AipganSettings(**network)
        recipes = {"paired": paired_recipe, "paper": paper_recipe}
        chosen = TransferOptions(
            tuple(str(folder) for folder in data),
            replace(recipes[recipe](settings), **training),
            LoopSettings(steps=steps or DEFAULT_STEPS, **loop),
            **options,
        )
    with console.counting("preparing") as progress:
        session = TransferSession(chosen, out, cache, progress)
    if dry_run:
        seconds = measure(session.task, chosen.loop.steps)
        count = sum(value.numel() for value in session.task.network.inference_parameters())
        console.note(f"network: {count:,} parameters in use, {chosen.training.network.size} px")
        console.note(f"triples: {len(session.bank.triples):,} of {session.bank.people} people")
        minutes = chosen.loop.steps * seconds / 60
        console.note(
            f"steps: {chosen.loop.steps:,}, measured {seconds:.2f} s each, so about {minutes:.0f} min"
        )
        return session.skipped
    began = time.perf_counter()

    def on_step(step: int, losses: dict[str, float]) -> None:
        if step % chosen.loop.log_every == 0:
            listed = " ".join(f"{name} {value:.4f}" for name, value in losses.items())
            spent = time.perf_counter() - began
            console.note(f"step {step} of {chosen.loop.steps}, {spent:.0f} s: {listed}")

    session.run(on_step)
    if session.fabric.is_global_zero:
        print_path(out / WEIGHTS)
    return session.skipped
