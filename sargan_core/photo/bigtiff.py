"""BigTIFF directories as those of a classic TIFF, which is the form of an EXIF block.

Source: the BigTIFF design, https://www.awaresystems.be/imaging/tiff/bigtiff.html: the same tags with counts and
offsets of 64 bits.
"""

from __future__ import annotations

import struct
from collections.abc import Container

from sargan_core.photo.metadata import EXIF_IFD, GPS_IFD, INTEROPERABILITY

_BYTES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}


_LONG, _SIGNED_LONG = 4, 9


_NARROWED = {16: ("Q", "I", _LONG), 17: ("q", "i", _SIGNED_LONG), 18: ("Q", "I", _LONG)}


_DIRECTORIES = (EXIF_IFD, GPS_IFD, INTEROPERABILITY)


def is_bigtiff(data: bytes) -> bool:
    """Return whether a TIFF file is a BigTIFF."""
    return data[:4] in (b"II\x2b\0", b"MM\0\x2b")


def classic_tags(data: bytes, left_out: Container[int]) -> bytes:
    """Return the first directory of a BigTIFF with its EXIF and GPS directories as a classic TIFF structure.

    Args:
        data: the file.
        left_out: tags that are not taken over.

    Raises:
        ValueError, struct.error: a directory or a value lies outside the file, does not fit, or together they are
            larger than the file.
    """
    order = "<" if data[:2] == b"II" else ">"
    (first,) = struct.unpack_from(f"{order}Q", data, 8)
    head = data[:2] + struct.pack(f"{order}HI", 42, 8)
    return head + _directory(data, order, first, len(head), left_out, depth=0)


def _directory(data: bytes, order: str, at: int, start: int, left_out: Container[int], depth: int) -> bytes:
    """Return the directory at an offset as it is written at ``start``, its values behind it."""
    (count,) = struct.unpack_from(f"{order}Q", data, at)
    if count * 20 > len(data):
        raise ValueError("directory larger than the file")
    entries = [struct.unpack_from(f"{order}HHQ", data, at + 8 + 20 * number) for number in range(count)]
    kept = [
        (at + 20 + 20 * number, tag, kind, values)
        for number, (tag, kind, values) in enumerate(entries)
        if tag not in left_out and kind in _BYTES
    ]
    table, body = struct.pack(f"{order}H", len(kept)), b""
    behind = start + 2 + 12 * len(kept) + 4
    for place, tag, kind, values in kept:
        length = _BYTES[kind] * values
        if length > 8:
            (place,) = struct.unpack_from(f"{order}Q", data, place)
        content = data[place : place + length]
        if len(content) < length or len(body) + length > len(data):
            raise ValueError("value outside the file")
        if tag in _DIRECTORIES and depth < 2:
            body += bytes(len(body) % 2)
            (inner,) = struct.unpack(f"{order}{'Q' if length == 8 else 'I'}", content)
            offset = behind + len(body)
            body += _directory(data, order, inner, offset, (), depth + 1)
            table += struct.pack(f"{order}HHII", tag, _LONG, 1, offset)
            continue
        if kind in _NARROWED:
            wide, narrow, kind = _NARROWED[kind]
            numbers = struct.unpack(f"{order}{values}{wide}", content)
            content = struct.pack(f"{order}{values}{narrow}", *numbers)
        table += struct.pack(f"{order}HHI", tag, kind, values)
        if len(content) <= 4:
            table += content.ljust(4, b"\0")
        else:
            body += bytes(len(body) % 2)
            table += struct.pack(f"{order}I", behind + len(body))
            body += content
    return table + bytes(4) + body
