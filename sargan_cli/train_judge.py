"""``sargan train --model judge``: the network that checks edits."""

from __future__ import annotations

from sargan_cli.console import Console, print_path
from sargan_cli.train_request import STEPS, TrainRequest, say_skipped


def train_judge(request: TrainRequest, console: Console) -> None:
    """Train a judge and print the path of its weights."""
    from sargan_core.models.judge import run as judge_run
    from sargan_core.models.judge.task import JudgeTraining
    from sargan_core.training.loop import LoopSettings

    data = request.photos()
    training = JudgeTraining(steps=request.steps or STEPS["judge"], seed=request.seed)
    loop = LoopSettings(
        steps=training.steps,
        sheet_every=training.steps,  # one sheet, of the finished judge
        checkpoint_every=request.checkpoint_every,
        resume=request.resume,
    )

    def on_step(step: int, losses: dict[str, float]) -> None:
        if step % loop.log_every == 0:
            listed = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
            console.note(f"step {step} of {loop.steps}: {listed}")

    with console.counting("cropping") as progress:
        path, skipped = judge_run.train_judge(
            data,
            request.out,
            training,
            loop,
            test_fraction=request.test,
            landmarks=request.landmarks,
            cache=request.cache,
            progress=progress,
            on_step=on_step,
        )
    say_skipped(skipped, console)
    print_path(path)
