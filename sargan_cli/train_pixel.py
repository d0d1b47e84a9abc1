"""``sargan train --model pixel``: the pixel model, fitted in closed form."""

from __future__ import annotations

from sargan_cli.console import Console, print_path
from sargan_cli.train_request import TrainRequest, check_no_resume, run_place, say_plan, say_skipped


def train_pixel(request: TrainRequest, console: Console) -> None:
    """Fit a pixel model and print the path of its weights; or only say the plan."""
    from sargan_core.models.pixel import run as pixel_run
    from sargan_core.models.pixel.fit import PixelOptions

    data = request.photos()
    check_no_resume(request, "the pixel model")
    options = PixelOptions(
        form=request.form,
        channels=request.channels,
        scaling=request.scaling,
        size=request.size or (256 if request.form == "displaced" else 128),
        penalty=request.penalty,
    )
    if request.dry_run:
        from sargan_core.training.plans import plan_pixel

        say_plan(plan_pixel(data, options, request.test), request, console)
        return
    with (
        run_place(request, console, at_once=True) as folder,
        console.counting("cropping and fitting") as progress,
    ):
        _, skipped = pixel_run.train_pixel(
            data,
            folder,
            options,
            test_fraction=request.test,
            landmarks=request.landmarks,
            cache=request.cache,
            progress=progress,
            max_pixels=request.pixel_limit(),
        )
    say_skipped(skipped, console)
    print_path(request.out / pixel_run.WEIGHTS)
