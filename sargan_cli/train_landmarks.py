"""``sargan train --model landmarks``: the network that finds the 68 points."""

from __future__ import annotations

from sargan_cli.console import Console, print_path
from sargan_cli.train_request import TrainRequest, say_skipped


def train_landmarks(request: TrainRequest, console: Console) -> None:
    """Train a landmark network and print the path of its weights."""
    from sargan_core.models.landmarks.run import train_landmarks_run

    data = request.photos()
    with console.counting("training") as progress:
        path, skipped = train_landmarks_run(data, request.out, test_fraction=request.test, progress=progress)
    say_skipped(skipped, console)
    print_path(path)
