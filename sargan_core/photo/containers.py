"""The block structure of image files: walking it finds metadata and cut-off files; blocks can be put in."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence

from sargan_core.photo.kinds import cut_off, damaged

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


_ANY_FIELD_LIMIT = 64 * 2**20


_JPEG_SEGMENT_LIMIT = 65533


# Inside compressed data 0xFF is followed by 0 or a restart marker.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


_DEFLATE_RATIO = 1032


_BLOCK = 2**20


def jpeg_segments(data: bytes) -> list[tuple[int, bytes]]:
    """Return the (marker, payload) segments of a JPEG up to and including the first start of scan.

    Raises:
        Defect: the file ends before the first scan, or a segment is not where it should be.
    """
    segments: list[tuple[int, bytes]] = []
    at = 2
    while True:
        if at >= len(data):
            raise cut_off("JPEG")
        if data[at] != 0xFF:
            raise damaged("JPEG", "no marker where one must be")
        while at < len(data) and data[at] == 0xFF:
            at += 1
        if at + 3 > len(data):
            raise cut_off("JPEG")
        marker, length = data[at], int.from_bytes(data[at + 1 : at + 3], "big")
        end = at + 1 + length
        if end > len(data):
            raise cut_off("JPEG")
        segments.append((marker, data[at + 3 : end]))
        if marker == 0xDA:
            return segments
        at = end


def jpeg_scans(data: bytes) -> int:
    """Return how many scans the first picture of a JPEG has; what follows its end is not looked at."""
    scans, at = 0, 2
    while match := _JPEG_MARKER.search(data, at):
        marker, at = match[0][-1], match.end()
        if marker == 0xD9:
            break
        scans += marker == 0xDA
        at += int.from_bytes(data[at : at + 2], "big")
    return scans


def insert_jpeg_segments(data: bytes, segments: Sequence[tuple[int, bytes]]) -> bytes:
    """Return the JPEG with segments of at most 65533 bytes put in after its start and JFIF header."""
    at = 2
    if data[2:4] == b"\xff\xe0":
        at = 4 + int.from_bytes(data[4:6], "big")
    parts = [data[:at]]
    for marker, payload in segments:
        parts += [struct.pack(">BBH", 0xFF, marker, len(payload) + 2), payload]
    return b"".join([*parts, data[at:]])


def split_jpeg_payload(prefix: bytes, content: bytes, reserve: int = 0) -> list[bytes]:
    """Return content in pieces that fit into one segment each with the prefix and ``reserve`` bytes more."""
    step = _JPEG_SEGMENT_LIMIT - len(prefix) - reserve
    return [content[at : at + step] for at in range(0, len(content), step)]


def with_jfif_density(data: bytes, unit: int, across: float, down: float) -> bytes:
    """Return the JPEG with the density of its JFIF header changed; one without that header comes back as it is.

    Args:
        data: the file.
        unit: 0 = only the ratio counts, 1 = an inch, 2 = a centimetre.
        across, down: pixels a unit; what does not fit into 16 bits is reduced, the ratio kept.
    """
    if data[2:4] != b"\xff\xe0" or data[6:11] != b"JFIF\0":
        return data
    reduced = max(1.0, across / 65535, down / 65535)
    density = struct.pack(">BHH", unit, max(1, round(across / reduced)), max(1, round(down / reduced)))
    return data[:13] + density + data[18:]


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
    """Return one PNG chunk as it stands in a file."""
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def insert_png_chunks(data: bytes, chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the PNG with chunks put in directly after its header."""
    at = len(PNG_SIGNATURE) + 25
    return b"".join([data[:at], *(png_chunk(kind, content) for kind, content in chunks), data[at:]])


def inflate(data: bytes) -> bytes | None:
    """Return zlib data inflated, or None if they are broken or larger than any metadata field can be."""
    try:
        engine = zlib.decompressobj()
        content = engine.decompress(data, _ANY_FIELD_LIMIT)
    except zlib.error:
        return None
    return None if engine.unconsumed_tail else content


def inflates_to(data: bytes, most: int) -> bool:
    """Return whether zlib data inflate to at most ``most`` bytes; nothing is kept. Broken data count as short."""
    # Deflate expands by a factor of 1032 at most, so small data need no look.
    if len(data) * _DEFLATE_RATIO <= most:
        return True
    engine, size = zlib.decompressobj(), 0
    try:
        while data and size <= most:
            size += len(engine.decompress(data, _BLOCK))
            data = engine.unconsumed_tail
    except zlib.error:
        return True
    return size <= most


def riff_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the (type, data) chunks of a WebP file.

    Raises:
        Defect: the file is shorter than it says.
    """
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data) or end < 20:
        raise cut_off("WEBP")
    chunks: list[tuple[bytes, bytes]] = []
    at = 12
    while at + 8 <= end:
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + length > end:
            raise cut_off("WEBP")
        chunks.append((data[at : at + 4], data[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return chunks


def iso_boxes(data: bytes, kind: str = "AVIF") -> list[tuple[bytes, int, int]]:
    """Return the outermost boxes of an ISO media file (AVIF, HEIC) as (type, start of content, end).

    Raises:
        Defect: a box reaches past the end of the file.
    """
    return [(name, start, end) for name, (start, end) in boxes_within(data, 0, len(data), kind)]


def boxes_within(data: bytes, start: int, end: int, kind: str) -> list[tuple[bytes, tuple[int, int]]]:
    """Return the boxes that lie from ``start`` to ``end`` in an ISO media file as (type, (start, end of content)).

    Raises:
        Defect: a box reaches past the end; ``kind`` names the format.
    """
    boxes: list[tuple[bytes, tuple[int, int]]] = []
    at = start
    while at < end:
        if at + 8 > end:
            raise cut_off(kind)
        length, header = int.from_bytes(data[at : at + 4], "big"), 8
        if length == 1:
            length, header = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        elif length == 0:
            length = end - at
        if length < header or at + length > end:
            raise cut_off(kind)
        boxes.append((data[at + 4 : at + 8], (at + header, at + length)))
        at += length
    return boxes


def gif_blocks(data: bytes) -> list[tuple[int, bytes, bytes]]:
    """Return the blocks of a GIF as (introducer, first bytes, content): 0x2C is a frame, 0x21 an extension.

    The content of an extension is its data without the name of an application; of a frame it is left out.

    Raises:
        Defect: the file ends before its trailer, or a block is not where it should be.
    """
    blocks: list[tuple[int, bytes, bytes]] = []
    try:
        at = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
        while data[at] != 0x3B:
            introducer = data[at]
            start = data[at + 1 : at + 16]
            if introducer == 0x2C:
                flags = data[at + 9]
                at += 11 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
            elif introducer == 0x21:
                at += 2
            else:
                raise damaged("GIF", "unknown block")
            parts = []
            while data[at]:
                parts.append(data[at + 1 : at + 1 + data[at]] if introducer == 0x21 else b"")
                at += 1 + data[at]
            at += 1
            named = introducer == 0x21 and start[:1] == b"\xff"
            blocks.append((introducer, start, b"".join(parts[1 if named else 0 :])))
    except IndexError:
        raise cut_off("GIF") from None
    return blocks
