"""``sargan train --model landmarks``: the network that finds the 68 points."""

from __future__ import annotations

from sargan_cli.console import Console, print_path
from sargan_cli.train_request import TrainRequest, check_no_resume, run_place, say_plan, say_skipped


def train_landmarks(request: TrainRequest, console: Console) -> None:
    """Train a landmark network and print the path of its weights; or only say the plan."""
    from sargan_core.models.landmarks.run import WEIGHTS, train_landmarks_run

    data = request.photos()
    check_no_resume(request, "the landmark network")
    if request.dry_run:
        from sargan_core.training.plans import plan_landmarks

        say_plan(plan_landmarks(data, request.test), request, console)
        return
    with (
        run_place(request, console, at_once=True) as folder,
        console.counting("training") as progress,
    ):
        _, skipped = train_landmarks_run(
            data,
            folder,
            test_fraction=request.test,
            progress=progress,
            max_pixels=request.pixel_limit(),
        )
    say_skipped(skipped, console)
    print_path(request.out / WEIGHTS)
