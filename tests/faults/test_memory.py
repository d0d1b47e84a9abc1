"""The memory that SECURITY.md promises is the memory that it takes."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from sargan_core.photo.photo import encode_photo, read_photo

ROOT = Path(__file__).parents[2]
SIDES = (700, 1200)

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("photo_memory", ROOT / "benchmarks" / "photo_memory.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def promised() -> float:
    """Bytes a pixel of the photo."""
    return float(re.search(r"up to (\d+) bytes a pixel", (ROOT / "SECURITY.md").read_text())[1])


def work(data: bytes) -> None:
    """What an edit holds at the same time: the file, the photo, its edited pixels and what is written."""
    photo = read_photo(data)
    assert encode_photo(photo.with_pixels(np.ascontiguousarray(photo.pixels[::-1])))


# AVIF's encoder takes seconds a megapixel, and the benchmark measures it.
@pytest.mark.parametrize("kind", ["JPEG", "PNG, 16 bits, transparent", "TIFF, 16 bits, transparent", "GIF"])
def test_every_pixel_of_a_photo_takes_no_more_than_is_promised(benchmark, kind: str):
    # Between two sizes what does not grow with the photo falls out.
    files = [benchmark.KINDS[kind](benchmark.picture(side)) for side in SIDES]
    work(files[0])  # loads the decoder and the encoder
    small, large = (benchmark.peak(lambda data=data: work(data), data) for data in files)
    assert (large - small) / (SIDES[1] ** 2 - SIDES[0] ** 2) < promised()
