"""The chunks of a PNG file: reading and inserting them, checking the samples, and which of them an edit keeps.

Source: PNG (third edition), sections 5.4 (safe-to-copy bit), 11.3.2.5 (sBIT) and 11.3.4.1 (bKGD).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from sargan_core.photo.files import shown
from sargan_core.photo.kinds import cut_off, damaged

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_GREY, _PALETTE = 0, 3
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_BLOCK = 2**20
_LARGEST_FIELD = 64 * 2**20
_FILTERS = 5
# Adam7: first column, first row, step across and step down of each pass.
_PASSES = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
)  # fmt: skip
# Chunks about position, scale and time of the picture, which an edit does not change.
_TRUE = {b"tIME", b"oFFs", b"sCAL", b"pCAL", b"sTER", b"vpAg", b"sPLT"}
_COLOURS = {b"bKGD", b"sBIT"}
# Chunks with code of their own, or without meaning in a new file.
_HANDLED = {
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"hIST", b"iDOT", b"acTL", b"fcTL", b"fdAT", b"caBX", b"gAMA",
    b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"iCCP", b"pHYs", b"eXIf", b"tEXt", b"zTXt", b"iTXt",
}  # fmt: skip

Chunks = dict[bytes, list[bytes]]


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the (type, data) chunks of a PNG with their checksums checked, the IEND chunk included.

    Raises:
        Defect: the file ends before its IEND chunk, or a checksum is wrong.
    """
    at = len(PNG_SIGNATURE)
    while True:
        if at + 12 > len(data):
            raise cut_off("PNG")
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 12 + length
        if end > len(data):
            raise cut_off("PNG")
        kind = data[at + 4 : at + 8]
        content = data[at + 8 : end - 4]
        if zlib.crc32(content, zlib.crc32(kind)) != int.from_bytes(data[end - 4 : end], "big"):
            raise damaged("PNG", "checksum wrong")
        yield kind, content
        if kind == b"IEND":
            return
        at = end


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Return one chunk as it is in a file: length, type, data, checksum."""
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def insert_png_chunks(data: bytes, chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the PNG with chunks inserted directly after its header."""
    at = len(PNG_SIGNATURE) + 25
    return b"".join([data[:at], *(png_chunk(kind, content) for kind, content in chunks), data[at:]])


def inflate(data: bytes) -> bytes | None:
    """Return zlib data inflated, or None if they are broken or larger than any metadata field can be."""
    try:
        engine = zlib.decompressobj()
        content = engine.decompress(data, _LARGEST_FIELD)
    except zlib.error:
        return None
    return None if engine.unconsumed_tail else content


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
    """Return (rows, bytes per row with its filter byte) of each pass."""
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


def _is_safe(kind: bytes) -> bool:
    """Return whether a chunk's name says that it may be copied when the picture changes."""
    return bool(kind[3] & 0x20)


def unsafe_chunks(chunks: Chunks) -> list[str]:
    """Return the names of unknown chunks that an edit may make false."""
    known = _HANDLED | _TRUE | _COLOURS
    return [shown(kind.decode("latin-1")) for kind in chunks if kind not in known and not _is_safe(kind)]


def kept_chunks(chunks: Chunks, header: bytes, has_alpha: bool) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks that stay true after an edit; those about colours fit the picture as it will be written.

    Args:
        chunks: all chunks of the file.
        header: content of its IHDR chunk.
        has_alpha: the picture has transparency.
    """
    for kind, contents in chunks.items():
        if kind in _HANDLED:
            continue
        if kind == b"bKGD":
            yield from _named(kind, _background(contents[0], header, chunks))
        elif kind == b"sBIT":
            yield kind, _significant(contents[0], header, has_alpha)
        elif kind in _TRUE or _is_safe(kind):
            yield from ((kind, content) for content in contents)


def _named(kind: bytes, content: bytes | None) -> Iterator[tuple[bytes, bytes]]:
    if content is not None:
        yield kind, content


def _background(content: bytes, header: bytes, chunks: Chunks) -> bytes | None:
    """Return the background as 16-bit numbers, an index replaced by its colour; None if it names no colour."""
    bits, colour_type = header[8], header[9]
    if colour_type == _PALETTE:
        colour = chunks.get(b"PLTE", [b""])[0][3 * content[0] : 3 * content[0] + 3] if content else b""
        return struct.pack(">3H", *colour) if len(colour) == 3 else None
    if colour_type == _GREY and bits < 8 and len(content) == 2:
        level = min(int.from_bytes(content, "big"), 2**bits - 1)
        return (level * (255 // (2**bits - 1))).to_bytes(2, "big")
    return content


def _significant(content: bytes, header: bytes, has_alpha: bool) -> bytes:
    """Return the significant bits of each channel, alpha included even if the file stores it in another way."""
    separate = header[9] in (4, 6)
    return content + bytes([max(8, header[8])]) if has_alpha and not separate else content


def fitting_chunks(chunks: Sequence[tuple[bytes, bytes]], form: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks that fit a bit depth and colour type, ``form``: two bytes as in the header."""
    channels = _CHANNELS[form[1]]
    for kind, content in chunks:
        wanted = {b"bKGD": 6 if channels > 2 else 2, b"sBIT": channels}.get(kind)
        if wanted in (None, len(content)):
            yield kind, content
