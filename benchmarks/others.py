"""What one photo takes here, beside what one would use or write down instead: processor time of one thread.

    .venv/bin/python benchmarks/others.py [--data FOLDER] [--rounds 5]

From crop to edited crop, 128 px:
1. the pixel model as its equations stand with a matrix for the whole picture: every output pixel a row of weights over
   all 16,384 input pixels, one product a colour channel;
2. the same model as it is used here, one weight and one bias a pixel;
3. the published network layer by layer (sargan_inference.py), and ours.

From file to file, 1350 x 1350: the plain loop of batch_speed.py with the published network, and `sargan` as shipped
with its check. All take turns, so that they meet the same disturbances; the best of the rounds counts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import torch
from batch_photos import make_photos
from batch_speed import PlainLoop
from sargan_inference import Reference, random_generator

from sargan_core.editor import Editor, EditSettings
from sargan_core.expressions import parse_mix
from sargan_core.models.sargan.data import sargan_template
from sargan_core.models.sargan.generator import one_hot
from sargan_core.models.sargan.model import SarganModel
from sargan_core.photo.photo import encode_photo, read_photo

SIDE = 128
PHOTO = 1350


def best_of(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the least milliseconds of one thread that each run took, after one that does not count."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            started = time.thread_time()
            run()
            if number:
                times[name].append(time.thread_time() - started)
    return {name: min(values) * 1e3 for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of portraits")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    generator = random_generator(SIDE)
    reference = Reference(generator).train()
    ours = SarganModel(generator, sargan_template(SIDE))
    image, label = torch.rand(1, 3, SIDE, SIDE), one_hot([3], 7)
    pixels = SIDE * SIDE
    weight, bias = torch.rand(pixels), 0.1 * torch.rand(pixels)
    matrix = torch.diag(weight)
    crop = image.reshape(3, pixels)

    def dense() -> object:
        return (matrix @ crop.T).T + bias

    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        folder = Path(name)
        make_photos(folder, 1, PHOTO, options.data)
        source, target = folder / "photo-00000.jpg", folder / "edited.jpg"
        loop, editor = PlainLoop(generator), Editor(EditSettings(device="cpu"))
        editor.find(read_photo(source))

        def shipped() -> object:
            edited = editor.edit(read_photo(source), parse_mix("surprised")).photo
            return target.write_bytes(encode_photo(edited))

        runs: dict[str, Callable[[], object]] = {
            "crop: pixel model, one matrix": dense,
            "crop: pixel model, a weight a pixel": lambda: weight * crop + bias,
            "crop: published network, plain": lambda: reference(image * 2 - 1, label),
            "crop: published network, ours": lambda: ours.change(image, label),
            "photo: plain loop, published network": lambda: loop.edit(source, target),
            "photo: sargan as shipped, checked": shipped,
        }
        assert torch.allclose(dense(), weight * crop + bias, atol=1e-5)  # type: ignore[arg-type]
        for title, took in best_of(runs, options.rounds).items():
            print(f"{title:40} {took:8.1f} ms")
    print(
        f"weights of the matrix: {matrix.numel() * 4 / 1e6:.0f} MB; a weight a pixel: {pixels * 8 / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
