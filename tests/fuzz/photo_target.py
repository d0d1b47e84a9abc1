"""The reader and the writer of photos as a fuzz target."""

from __future__ import annotations

import random
import zlib
from functools import cache
from pathlib import Path

import numpy as np
from mutation import mutated, with_checksums
from PIL import Image

MOST_PIXELS = 1_000_000


@cache
def photos() -> list[bytes]:
    from photo_samples import SAMPLES, noise, pillow, png, png_chunk, rgb_profile

    small = [sample.data for sample in SAMPLES if len(sample.data) < 9000]
    block = Image.Exif()
    block[0x0112], block[0x010F] = 6, "Camera"
    face = np.full((9, 11, 3), 90, np.uint8)
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'
    more = {"exif": block.tobytes(), "icc_profile": rgb_profile(2.2)}
    small += [pillow(face, kind, **more, xmp=xmp) for kind in ("JPEG", "WEBP", "AVIF")]
    small += [pillow(face, kind, **more) for kind in ("TIFF", "PNG")]
    chunks = [
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
        png_chunk(b"eXIf", block.tobytes()),
        png_chunk(b"pHYs", bytes(9)),
        png_chunk(b"gAMA", bytes(4)),
        png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"text")),
        png_chunk(b"caBX", b"jumb"),
    ]
    return [
        *small,
        png(noise(9, 11, 3), 2, 8, *chunks),
        png(noise(9, 11, 4, dtype=np.uint16), 6, 16, *chunks),
    ]


def change_photo(data: bytes, random: random.Random) -> bytes:
    out = mutated(data, random)
    return with_checksums(out) if random.random() < 0.8 else out


def check_photo(data: bytes, folder: Path) -> None:
    from sargan_core import __version__
    from sargan_core.errors import PhotoError
    from sargan_core.photo.metadata import Provenance
    from sargan_core.photo.photo import encode_photo, read_photo

    try:
        photo = read_photo(data, max_pixels=MOST_PIXELS)
    except PhotoError:
        return
    assert photo.pixels.ndim == 3
    assert photo.pixels.shape[2] == 3
    assert photo.width * photo.height <= MOST_PIXELS
    try:
        written = encode_photo(photo, provenance=Provenance("pixel", "happy", 1.0, __version__))
    except PhotoError:
        return
    again = read_photo(written, max_pixels=MOST_PIXELS)
    assert again.pixels.shape == photo.pixels.shape
