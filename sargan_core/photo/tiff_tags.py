"""TIFF tags about the picture: copied from a TIFF to an EXIF block, and from an EXIF block to a TIFF.

Source: TIFF 6.0, sections 2, 8 and 20; BigTIFF has the same tags with counts and offsets of 64 bits
(https://www.awaresystems.be/imaging/tiff/bigtiff.html).
"""

from __future__ import annotations

import struct
from collections.abc import Container
from typing import Any

import numpy as np
from PIL import Image
from PIL.TiffTags import lookup

from sargan_core.photo.metadata import (
    EXIF_IFD,
    GPS_IFD,
    INTEROPERABILITY,
    ORIENTATION,
    Block,
    find_resource,
    resource,
)

XMP, IPTC, RESOURCES, ICC, CREDENTIALS = 700, 33723, 34377, 34675, 52545
_IPTC_RESOURCE = 1028
_RGB, _YCBCR = 2, 6
_TRANSFER_FUNCTION, _YCBCR_COEFFICIENTS, _REFERENCE_BLACK_WHITE = 301, 529, 532
_GREY_RESPONSE, _SUB_IFDS = (290, 291), 330

# Tags about the stored samples, which are not copied but written for the new file; also tifffile's own (pages, shapes).
STRUCTURE = {
    *range(254, 267), 273, *range(277, 282), 282, 283, 284, *_GREY_RESPONSE, 292, 293, 296, 317, 320,
    *range(322, 337), *range(338, 348), *range(512, 516), 517, 518, 519, 520, 521, 529, 530, 531,
    XMP, IPTC, RESOURCES, ICC, CREDENTIALS, 32995, 32996, 32997, 32998, 37724, 50255,
}  # fmt: skip

# Bytes of one number of each type; a rational has two numbers.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 1, 7: 1, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8}
_RATIONALS = (5, 10)
_SIGNED_RATIONAL = 10
_ASCII = 2
# Bytes of one value of each type, those of BigTIFF too.
_BYTES = {
    **{kind: size * (2 if kind in _RATIONALS else 1) for kind, size in _SIZES.items()},
    **{13: 4, 16: 8, 17: 8, 18: 8},
}
_LONG, _SIGNED_LONG = 4, 9
_NARROWED = {16: ("Q", "I", _LONG), 17: ("q", "i", _SIGNED_LONG), 18: ("Q", "I", _LONG)}
_DIRECTORIES = (EXIF_IFD, GPS_IFD, INTEROPERABILITY)

ExtraTag = tuple[int, Any, int, Any, bool]


def tag_bytes(data: bytes, page: Any, code: int) -> bytes | None:
    """Return the bytes of a tag's value, None if the page has no such tag."""
    tag = page.tags.get(code)
    if tag is None or not tag.valuebytecount:
        return None
    return data[tag.valueoffset : tag.valueoffset + tag.valuebytecount]


def exif_of(data: bytes, page: Any) -> tuple[bytes | None, list[str]]:
    """Return the tags about the picture (camera, dates, EXIF, GPS) as an EXIF block, and the names of those lost.

    Args:
        data: the file, classic TIFF or BigTIFF.
        page: its first page, as tifffile has it.
    """
    dropped = _untrue(page)
    lost = [lookup(code).name for code in dropped if code in page.tags]
    try:
        exif = _loaded(data)
        tags = list(exif)
    except Exception:  # a tag can hold anything, and metadata must never make a photo fail
        return None, [*lost, "EXIF"]
    for tag in tags:
        coded = tag == _REFERENCE_BLACK_WHITE and int(page.photometric) == _YCBCR
        if tag in STRUCTURE or tag in dropped or coded:
            del exif[tag]
        elif not _is_writable(exif, tag):
            lost.append(lookup(tag).name)
            del exif[tag]
    if not len(exif):
        return None, lost
    try:
        return exif.tobytes().removeprefix(b"Exif\0\0"), lost
    except Exception:  # as above
        return None, [*lost, "EXIF"]


def _untrue(page: Any) -> list[int]:
    """Return the tags about samples that would be false in the written file and that nothing there replaces."""
    photometric = int(page.photometric)
    tags = list(_GREY_RESPONSE)
    if photometric != _YCBCR:
        tags.append(_YCBCR_COEFFICIENTS)
    if photometric not in (_RGB, _YCBCR):
        tags.append(_REFERENCE_BLACK_WHITE)
    if page.bitspersample not in (8, 16):
        tags.append(_TRANSFER_FUNCTION)
    return tags


def _loaded(data: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(classic_tags(data, STRUCTURE) if is_bigtiff(data) else data)
    return exif


def _is_writable(exif: Image.Exif, tag: int) -> bool:
    if tag in (EXIF_IFD, GPS_IFD):
        return True
    alone = Image.Exif()
    try:
        alone[tag] = exif[tag]
        alone.tobytes()
    except Exception:  # as above
        return False
    return True


def has_other_pictures(page: Any) -> bool:
    """Return whether the page has sub-pictures, such as smaller copies."""
    return _SUB_IFDS in page.tags


def resources_of(data: bytes, page: Any) -> bytes:
    """Return the Photoshop resources of a page; IPTC data from their own tag are added if missing there."""
    resources = tag_bytes(data, page, RESOURCES) or b""
    iptc = tag_bytes(data, page, IPTC)
    if iptc is None:
        return resources
    if iptc[:1] != b"\x1c" and iptc[3:4] == b"\x1c":
        # Some programs write it as integers in the other byte order.
        iptc = np.frombuffer(iptc[: len(iptc) // 4 * 4], ">u4").astype("<u4").tobytes()
    try:
        known = find_resource(resources, _IPTC_RESOURCE)
    except ValueError:
        return resources
    return resources if known is not None else resources + resource(_IPTC_RESOURCE, iptc)


def block_tags(xmp: bytes | None, resources: bytes | None) -> list[ExtraTag]:
    """Return the tags of XMP, Photoshop resources and the IPTC data in them."""
    iptc = find_resource(resources, _IPTC_RESOURCE) if resources else None
    blocks = ((XMP, xmp), (RESOURCES, resources), (IPTC, iptc))
    return [(code, "B", len(content), content, True) for code, content in blocks if content]


def plain_tags(exif: bytes) -> list[ExtraTag]:
    """Return the tags of an EXIF block's first directory that describe the picture, for a little-endian TIFF."""
    block = Block(exif)
    tags: list[ExtraTag] = []
    for entry in block.entries(block.unpack("I", 4), cut=True):
        if (
            entry.tag in STRUCTURE
            or entry.tag in (EXIF_IFD, GPS_IFD, ORIENTATION)
            or entry.type not in _SIZES
        ):
            continue
        unit = _SIZES[entry.type]
        length = unit * entry.count * (2 if entry.type in _RATIONALS else 1)
        at = entry.at + 8 if length <= 4 else block.unpack("I", entry.at + 8)
        content = bytes(block.data[at : at + length])
        if not content or len(content) < length:
            continue
        if entry.type == _ASCII:
            tags.append((entry.tag, "s", 0, content.rstrip(b"\0"), True))
            continue
        numbers = np.frombuffer(content, f"{block.order}u{unit}").astype(f"<u{unit}")
        if entry.type in _RATIONALS:
            # tifffile counts packed rationals twice.
            pairs = numbers.view(np.int32 if entry.type == _SIGNED_RATIONAL else np.uint32).tolist()
            tags.append((entry.tag, entry.type, entry.count, pairs, True))
        else:
            tags.append((entry.tag, entry.type, entry.count, numbers.tobytes(), True))
    return tags


def is_bigtiff(data: bytes) -> bool:
    """Return whether a TIFF file is a BigTIFF."""
    return data[:4] in (b"II\x2b\0", b"MM\0\x2b")


def classic_tags(data: bytes, left_out: Container[int]) -> bytes:
    """Return the first directory of a BigTIFF with its EXIF and GPS directories as a classic TIFF structure.

    Args:
        data: the file.
        left_out: tags that are not copied.

    Raises:
        ValueError, struct.error: a directory or value lies outside the file, does not fit into 32 bits, or all of
            them together are larger than the file.
    """
    order = "<" if data[:2] == b"II" else ">"
    (first,) = struct.unpack_from(f"{order}Q", data, 8)
    head = data[:2] + struct.pack(f"{order}HI", 42, 8)
    return head + _directory(data, order, first, len(head), left_out, depth=0)


def _directory(data: bytes, order: str, at: int, start: int, left_out: Container[int], depth: int) -> bytes:
    """Return the directory at an offset in the form for offset ``start``, followed by its values."""
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
