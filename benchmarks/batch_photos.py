"""Photos for the benchmarks: those of a folder, or portraits, each a little different. Does nothing by itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from sargan_core.data.sources import IMAGE_SUFFIXES
from sargan_core.errors import PhotoError
from sargan_core.faces.face import Pixels
from sargan_core.photo.photo import read_photo

# Six portraits of 1350 x 1350 where they are at hand.
FRAMES = Path("shared/data/frames")


def portraits(data: Path | None) -> list[Image.Image]:
    """Return the photos of a folder, or scikit-image's astronaut."""
    folder = data or FRAMES
    files = sorted(folder.glob("*.jpg")) if folder.is_dir() else []
    if data is not None and not files:
        raise SystemExit(f"{data}: holds no .jpg photos")
    if not files:
        return [Image.fromarray(skimage.data.astronaut()[:320, 60:380])]
    return [Image.open(file).convert("RGB") for file in files]


def photos_below(folder: Path) -> Iterator[tuple[Path, Pixels]]:
    """Yield every photo of a folder and of those below it that can be read, with its pixels, by name."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            with suppress(PhotoError):
                yield path, read_photo(path).pixels


def make_photos(folder: Path, count: int, side: int, data: Path | None = None, distinct: int = 64) -> None:
    """Write ``count`` JPEG photos of ``side`` x ``side``; from ``distinct`` on they are links to earlier ones."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = [
        portrait.resize((side, side), Image.Resampling.BICUBIC)
        for portrait in portraits(data)[: max(1, distinct)]
    ]
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"photo-{number:05}.jpg"
        if number >= distinct:
            os.link(folder / f"photo-{number % distinct:05}.jpg", path)
            continue
        pixels = np.asarray(sources[number % len(sources)])
        shift = rng.integers(-side // 30, side // 30 + 1, 2)
        pixels = np.roll(pixels, tuple(shift), axis=(0, 1)).astype(np.float32) * rng.uniform(0.85, 1.1)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=92)


if __name__ == "__main__":
    print("part of the other benchmarks of batches; nothing to measure")
