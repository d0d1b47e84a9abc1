"""``sargan train --model judge``: the network that checks edits."""

from __future__ import annotations

from dataclasses import replace

from sargan_cli.console import Console, print_path
from sargan_cli.train_request import STEPS, TrainRequest, run_place, say_plan, say_skipped


def train_judge(request: TrainRequest, console: Console) -> None:
    """Train a judge and print the path of its weights; or only say the plan."""
    from sargan_core.models.judge import run as judge_run
    from sargan_core.models.judge.task import JudgeTraining
    from sargan_core.training.loop import LoopSettings

    data = request.photos()
    if request.resume:
        training = judge_run.read_judge_training(request.run_folder())
        training = replace(training, steps=request.steps or training.steps)
    else:
        training = JudgeTraining(steps=request.steps or STEPS["judge"], seed=request.seed)
    loop = LoopSettings(
        steps=training.steps,
        sheet_every=training.steps,  # one sheet, of the finished judge
        checkpoint_every=request.checkpoint_every,
        resume=request.resume,
    )

    if request.dry_run:
        from sargan_core.training.plans import plan_judge

        plan = plan_judge(data, request.run_folder(), training, loop, request.test)
        say_plan(plan, request, console)
        return

    def on_step(step: int, losses: dict[str, float]) -> None:
        if step % loop.log_every == 0:
            listed = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
            console.note(f"step {step} of {loop.steps}: {listed}")

    with run_place(request, console) as folder, console.counting("cropping") as progress:
        _, skipped = judge_run.train_judge(
            data,
            folder,
            training,
            loop,
            test_fraction=request.test,
            landmarks=request.landmarks,
            cache=request.cache,
            progress=progress,
            on_step=on_step,
            max_pixels=request.pixel_limit(),
        )
    say_skipped(skipped, console)
    print_path(request.out / judge_run.WEIGHTS)
