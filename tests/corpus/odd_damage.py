"""Files that end early, are damaged, or are something else; and photos of shapes that hold no face."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from odd_case import FORMATS, NO_FACE, SUFFIX, UNREADABLE, Case, plain
from photo_samples import pillow


def faceless() -> Iterator[Case]:
    """Photos of extreme shape, which hold no face."""
    for width, height in ((1, 1), (2, 3), (20, 20), (30000, 8), (8, 30000), (40000, 1)):
        kind = FORMATS[(width + height) % 5]
        kind = "PNG" if kind == "WEBP" else kind
        data = pillow(np.full((height, width, 3), 90, np.uint8), kind)
        yield Case(f"{width}x{height}{SUFFIX[kind]}", data, NO_FACE, "no face", kind)
    yield Case(
        "16383x2.webp", pillow(np.full((2, 16383, 3), 90, np.uint8), "WEBP"), NO_FACE, "no face", "WEBP"
    )
    clear = np.zeros((40, 40, 4), np.uint8)
    yield Case("all-transparent.png", pillow(clear, "PNG"), NO_FACE, "no face", "PNG")


def broken() -> Iterator[Case]:
    """Files that end early, are damaged, or are something else."""
    for kind in FORMATS:
        data = plain(kind)
        for tenth in range(10):
            cut = data[: len(data) * tenth // 10]
            yield Case(f"cut-{tenth}{SUFFIX[kind]}", cut, UNREADABLE if tenth < 9 else None)
        for number in range(6):
            flipped = bytearray(data)
            at = 4 + (len(data) - 4) * number // 6
            flipped[at] ^= 0x55
            # What a decoder makes of it may still be a picture of a face, of noise, or nothing.
            yield Case(f"flipped-{number}{SUFFIX[kind]}", bytes(flipped), None)
    yield Case("text.jpg", b"Dear photo,\n", UNREADABLE, "not an image")
    yield Case("pdf.jpg", b"%PDF-1.7\n", UNREADABLE, "PDF")
    yield Case("heic.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", UNREADABLE, "HEIC")
    yield Case("zeros.png", bytes(5000), UNREADABLE, "not an image")
