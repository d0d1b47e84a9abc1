"""Small files that announce or inflate to far more."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from functools import cache

import numpy as np
from odd_case import NO_FACE, UNREADABLE, Case
from photo_samples import pillow, png_chunk


def huge_png(width: int, height: int, bits: int = 8, before: bytes = b"") -> bytes:
    """A PNG of a few bytes that announces any number of pixels."""
    header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    parts = (
        before,
        png_chunk(b"IHDR", header),
        png_chunk(b"IDAT", zlib.compress(bytes(99))),
        png_chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def zipped_tiff(width: int, height: int, strip: bytes, *more: tuple[int, int, int]) -> bytes:
    """A grey TIFF of one deflated strip, whatever that inflates to; ``more`` are (tag, type, value)."""
    tags = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, 8),
        (259, 3, 8),
        (262, 3, 1),
        (277, 3, 1),
        (278, 4, height),
        *more,
    ]
    start = 8 + 2 + 12 * (len(tags) + 2) + 4
    tags += [(273, 4, start), (279, 4, len(strip))]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in sorted(tags))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + strip


def bombs() -> Iterator[Case]:
    """Small files that announce or inflate to far more."""
    yield Case("bomb.png", huge_png(100_000, 100_000), UNREADABLE, "100000 x 100000")
    late = huge_png(60_000, 60_000, before=png_chunk(b"tEXt", b"a\0b"))
    yield Case("bomb-late-header.png", late, UNREADABLE, "header")
    small = huge_png(5, 5)
    twice = (
        small[:33] + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)) + small[33:]
    )
    yield Case("bomb-second-header.png", twice, UNREADABLE, "two headers")
    yield Case("bomb-deep.png", png_bomb(16), UNREADABLE, "more samples")
    yield Case("bomb-samples.png", png_bomb(8), NO_FACE)
    yield Case("bomb-strip.tif", zipped_tiff(5, 5, zeros()), UNREADABLE, "more samples")
    yield Case("bomb-size.tif", zipped_tiff(2**31, 2**31 - 1, b"x"), UNREADABLE, "more than the limit")
    yield Case("bomb-volume.tif", zipped_tiff(5, 5, b"x", (32997, 4, 10**8)), UNREADABLE, "volume")
    scans = pillow(np.zeros((1000, 1000, 3), np.uint8), "JPEG", progressive=True)
    last = scans.rfind(b"\xff\xda")
    yield Case("bomb-scans.jpg", scans[:-2] + scans[last:-2] * 9000 + scans[-2:], UNREADABLE, "scans")
    canvas = b"VP8L" + struct.pack("<I", 10) + b"\x2f" + struct.pack("<I", 16382 | 16382 << 14) + bytes(5)
    webp = b"RIFF" + struct.pack("<I", 4 + len(canvas)) + b"WEBP" + canvas
    yield Case("bomb.webp", webp, UNREADABLE, "16383 x 16383")
    gif = b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\0\0\0;"
    yield Case("bomb.gif", gif, UNREADABLE, "65535 x 65535")
    bmp = b"BM" + struct.pack("<IHHIIiiHHIIiiII", 60, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0)
    yield Case("bomb.bmp", bmp + bytes(6), UNREADABLE, "60000 x 60000")


@cache
def zeros() -> bytes:
    """300 MB of nothing, deflated."""
    return zlib.compress(bytes(300_000_000), 1)


def png_bomb(bits: int) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 5, 5, bits, 2, 0, 0, 0))
    idat = png_chunk(b"IDAT", zeros())
    return b"\x89PNG\r\n\x1a\n" + header + idat + png_chunk(b"IEND", b"")
