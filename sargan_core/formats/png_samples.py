"""The compressed samples of a PNG, checked before a decoder sees them.

OpenCV, which decodes 16-bit colour, writes what it finds wrong to the standard error stream of the process and
inflates whatever the file holds; a file that passes here gives it no reason for either. Source: PNG (third
edition), sections 7.2, 8.1 and 9.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from sargan_core.formats.records import cut_off, damaged

_BLOCK = 2**20
_FILTERS = 5
# Adam7: first column, first row, step across and step down of each pass.
_PASSES = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
)  # fmt: skip
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def check_samples(header: bytes, parts: Sequence[bytes]) -> None:
    """Check that the IDAT chunks inflate to exactly the rows that the header announces, without keeping them.

    Args:
        header: content of the IHDR chunk.
        parts: content of the IDAT chunks.

    Raises:
        Defect: not a PNG's header; too few or too many samples; an unknown row filter; broken compression.
    """
    rows = _rows(header)
    wanted = sum(count * stride for count, stride in rows)
    at = 0
    for block in _inflated(parts):
        samples, start = np.frombuffer(block, np.uint8), 0
        if at + len(block) > wanted:
            raise damaged("PNG", "more samples than pixels")
        for count, stride in rows:
            # The first byte of each row names its filter.
            first = max(0, -(-(at - start) // stride))
            filters = samples[start + first * stride - at : max(0, start + count * stride - at) : stride]
            if first < count and filters.size and filters.max() >= _FILTERS:
                raise damaged("PNG", "unknown row filter")
            start += count * stride
        at += len(block)
    if at < wanted:
        raise cut_off("PNG")


def _rows(header: bytes) -> list[tuple[int, int]]:
    """Return (rows, bytes a row with its filter byte) of each pass."""
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    bits, colour_type, compression, filtering, interlaced = header[8:13]
    if colour_type not in _CHANNELS or compression or filtering or interlaced > 1:
        raise damaged("PNG", "unknown kind of samples")
    rows = []
    for left, top, across, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, lines = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and lines > 0:
            rows.append((lines, 1 + -(-columns * bits * _CHANNELS[colour_type] // 8)))
    return rows


def _inflated(parts: Sequence[bytes]) -> Iterator[bytes]:
    engine = zlib.decompressobj()
    try:
        for part in parts:
            while part:
                yield engine.decompress(part, _BLOCK)
                part = engine.unconsumed_tail
        while rest := engine.decompress(b"", _BLOCK):
            yield rest
    except zlib.error as error:
        raise damaged("PNG") from error
    if not engine.eof:
        raise cut_off("PNG")
