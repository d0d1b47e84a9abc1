"""JPEGs are decoded to the pixels that Pillow makes of them, and damaged ones are refused as Pillow refuses them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from sargan_core.errors import PhotoError
from sargan_core.photo.jpeg import jpeg_scans
from sargan_core.photo.photo import decode_photo


def jpeg(side: int = 96, **options: Any) -> bytes:
    """Return a JPEG of soft noise, wider than high."""
    noise = np.random.default_rng(3).integers(0, 256, (side // 8, side // 6, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((side + 13, side)).save(file, "JPEG", **options)
    return file.getvalue()


def turned(orientation: int) -> bytes:
    """Return such a JPEG with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return jpeg(exif=exif)


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (jpeg(), True),
        (jpeg(subsampling=0, quality=97), True),
        (jpeg(keep_rgb=True), True),
        (jpeg(restart_marker_blocks=4), True),
        (jpeg(progressive=True), False),
        (jpeg() + b"\0" * 40, False),
        (turned(6), True),
        (turned(3), True),
    ],
)
def test_pixels_are_those_of_pillow(data: bytes, whole: bool):
    assert jpeg_scans(data)[1] == whole
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    photo = decode_photo(data, "JPEG", "a.jpg")
    assert np.array_equal(photo.pixels, wanted)
    assert photo.pixels.flags.c_contiguous


@pytest.mark.parametrize("marker", [0xD9, 0xC4, 0xDB, 0xE1])
def test_a_marker_within_the_picture_is_no_smaller_picture(marker: int):
    data = bytearray(jpeg(400))
    data[len(data) // 2 : len(data) // 2 + 2] = 0xFF, marker
    assert not jpeg_scans(bytes(data))[1]


@pytest.mark.parametrize("length", [0.4, 0.9, 0.999])
def test_a_file_that_ends_early_is_refused(length: float):
    data = jpeg(400)
    with pytest.raises(PhotoError):
        decode_photo(data[: int(length * len(data))], "JPEG", "a.jpg")
