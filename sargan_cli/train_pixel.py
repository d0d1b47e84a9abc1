"""``sargan train --model pixel``: the pixel model, fitted in closed form."""

from __future__ import annotations

from sargan_cli.console import Console, print_path
from sargan_cli.train_request import TrainRequest, say_skipped


def train_pixel(request: TrainRequest, console: Console) -> None:
    """Fit a pixel model and print the path of its weights."""
    from sargan_core.models.pixel import run as pixel_run
    from sargan_core.models.pixel.fit import PixelOptions

    data = request.photos()
    options = PixelOptions(
        form=request.form,
        channels=request.channels,
        scaling=request.scaling,
        size=request.size or (256 if request.form == "displaced" else 128),
        penalty=request.penalty,
    )
    with console.counting("cropping and fitting") as progress:
        path, skipped = pixel_run.train_pixel(
            data,
            request.out,
            options,
            test_fraction=request.test,
            landmarks=request.landmarks,
            cache=request.cache,
            progress=progress,
        )
    say_skipped(skipped, console)
    print_path(path)
