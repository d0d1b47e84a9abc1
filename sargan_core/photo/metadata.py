"""Metadata of an upright, edited picture: EXIF, XMP and Photoshop data made true, and the mark of the edit.

What cannot be copied is noted for the user.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sargan_core.photo import xmp as packets

PROFILE_NOTE = "the colour profile is damaged and is not copied"
RESOURCES_NOTE = "the Photoshop data (IPTC) are damaged and are not copied"
CREDENTIALS_NOTE = "Content Credentials present; they will no longer be valid and are not copied"
_EXIF_PREFIX = b"Exif\x00\x00"
# Photoshop image resources with a thumbnail, which shows the picture before the edit.
_PICTURE_RESOURCES = (1033, 1036)


@dataclass(frozen=True)
class Tidied:
    """EXIF and XMP of an upright picture, the orientation the file had, and what could not be kept."""

    exif: bytes | None
    xmp: bytes | None
    orientation: int
    notes: tuple[str, ...]


def tidy(
    exif: bytes | None, xmp: bytes | None, *, orientation: int | None = None, credentials: bool = False
) -> Tidied:
    """Return EXIF and XMP with orientation 1 and without pictures of the state before the edit.

    The orientation is that of the EXIF block. One that only XMP mentions stays and is not applied, as in viewers.
    Damaged metadata are left out and noted; they never make a photo fail.

    Args:
        exif: EXIF block, with or without the ``Exif`` prefix.
        xmp: XMP packet.
        orientation: orientation from elsewhere in the file; it overrides the EXIF block.
        credentials: a Content Credentials manifest was found in the file.
    """
    notes: list[str] = []
    found = 1
    if exif:
        block = exif.removeprefix(_EXIF_PREFIX)
        try:
            exif, found = make_upright(block)
        except ValueError:
            exif = None
            notes.append("the EXIF data are damaged and are not copied")
    if orientation is not None:
        found = orientation
    if xmp:
        try:
            xmp, linked = packets.without_credentials_link(packets.clean(xmp, turned=found != 1))
            credentials = credentials or linked
        except ValueError:
            xmp = None
            notes.append("the XMP data are damaged and are not copied")
    if credentials:
        notes.append(CREDENTIALS_NOTE)
    return Tidied(exif or None, xmp or None, found, tuple(notes))


def not_copied(what: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return a note that names the parts of a file that are not copied; no note without names."""
    listed = ", ".join(dict.fromkeys(names))
    return (f"{what} cannot be kept and are not copied: {listed}",) if listed else ()


def storage_notes(bits: int, *, palette: bool = False) -> tuple[str, ...]:
    """Return a note for a file with a palette or fewer than 8 bits per channel, which is written with more.

    Args:
        bits: bits per channel in the file.
        palette: the file stores indices into a palette.
    """
    if palette:
        return ("the file has a palette; the edited photo is written with full colours",)
    if bits == 1:
        return (
            "the file is black and white (1 bit per pixel); the edited photo is written as grey with 8 bits",
        )
    return (f"the file has {bits} bits per channel; the edited photo is written with 8",) if bits < 8 else ()


def resource(number: int, content: bytes) -> bytes:
    """Return one Photoshop image resource without a name."""
    head = b"8BIM" + number.to_bytes(2, "big") + bytes(2) + len(content).to_bytes(4, "big")
    return head + content + bytes(len(content) % 2)


def find_resource(resources: bytes, number: int) -> bytes | None:
    """Return the content of the first Photoshop image resource with a number, or None."""
    return next((content for found, _, content in _resources(resources) if found == number), None)


def without_pictures(resources: bytes) -> bytes | None:
    """Return Photoshop image resources without their thumbnails, or None if they are damaged.

    Source: Adobe Photoshop File Formats Specification, "Image Resource Blocks".
    """
    try:
        kept = [block for number, block, _ in _resources(resources) if number not in _PICTURE_RESOURCES]
    except ValueError:
        return None
    return b"".join(kept)


def _resources(resources: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield each resource's number, its bytes and its content; ValueError if one reaches past the end."""
    at = 0
    while at + 12 <= len(resources) and resources[at : at + 4] == b"8BIM":
        number = int.from_bytes(resources[at + 4 : at + 6], "big")
        start = at + 10 + (resources[at + 6] // 2 + 1) * 2
        length = int.from_bytes(resources[start - 4 : start], "big")
        if start + length > len(resources):
            raise ValueError("resource past the end")
        end = start + length + length % 2
        yield number, resources[at:end], resources[start : start + length]
        at = end


ORIENTATION = 0x0112
EXIF_IFD = 0x8769
GPS_IFD = 0x8825
INTEROPERABILITY = 0xA005
_THUMBNAIL_START, _THUMBNAIL_LENGTH = 0x0201, 0x0202
_STRIP_OFFSETS, _STRIP_LENGTHS = 0x0111, 0x0117
# (width, height) tags: of the first directory, of the EXIF directory
_SIZE_TAGS = ((0x0100, 0x0101), (0xA002, 0xA003))
_SIZES = {3: ("H", 2), 4: ("I", 4)}


@dataclass(frozen=True)
class TagEntry:
    """One directory entry of a TIFF structure: where it lies, and its tag, type and count."""

    at: int
    tag: int
    type: int
    count: int


class Block:
    """A TIFF structure (EXIF block or TIFF file) whose short values can be read and changed in place.

    Raises:
        ValueError: the bytes are not a TIFF structure, or a directory lies outside them.
    """

    def __init__(self, data: bytes) -> None:
        order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(bytes(data[:4]))
        if order is None:
            raise ValueError("no TIFF header")
        self.data = bytearray(data)
        self.order = order

    def unpack(self, code: str, at: int) -> int:
        """Return the number of the struct code at an offset."""
        try:
            return int(struct.unpack_from(self.order + code, self.data, at)[0])
        except struct.error:
            raise ValueError("directory outside the block") from None

    def entries(self, start: int, *, cut: bool = False) -> Iterator[TagEntry]:
        """Yield the entries of the directory at an offset; with ``cut``, only those that lie inside the block."""
        count = self.unpack("H", start)
        for number in range(min(count, (len(self.data) - start - 2) // 12) if cut else count):
            at = start + 2 + 12 * number
            yield TagEntry(at, self.unpack("H", at), self.unpack("H", at + 2), self.unpack("I", at + 4))

    def find(self, start: int, tag: int) -> TagEntry | None:
        """Return the entry with a tag in the directory at an offset, or None."""
        return next((entry for entry in self.entries(start) if entry.tag == tag), None)

    def next_pointer(self, start: int) -> int:
        """Return where the offset of the following directory is stored."""
        return start + 2 + 12 * self.unpack("H", start)

    def value(self, entry: TagEntry) -> int | None:
        """Return the value of an entry that holds one SHORT or LONG, else None."""
        if entry.count != 1 or entry.type not in _SIZES:
            return None
        return self.unpack(_SIZES[entry.type][0], entry.at + 8)

    def set_value(self, entry: TagEntry, value: int) -> None:
        """Change the value of an entry that holds one SHORT or LONG."""
        struct.pack_into(self.order + _SIZES[entry.type][0], self.data, entry.at + 8, value)

    def set_tag(self, entry: TagEntry, tag: int) -> None:
        """Change the tag of an entry."""
        struct.pack_into(self.order + "H", self.data, entry.at, tag)


def make_upright(block: bytes) -> tuple[bytes, int]:
    """Return the block with orientation 1 and without thumbnail, and the orientation (1 to 8) it had.

    Width and height are swapped where the orientation turns the picture on its side. The thumbnail, which shows the
    picture before the edit, is removed.

    Raises:
        ValueError: the block is damaged.
    """
    exif = Block(block)
    first = exif.unpack("I", 4)
    orientation = 1
    entry = exif.find(first, ORIENTATION)
    if entry is not None:
        stored = exif.value(entry)
        if stored is not None:
            orientation = stored if 1 <= stored <= 8 else 1
            exif.set_value(entry, 1)
    if orientation >= 5:
        _swap_sizes(exif, first)
    _drop_thumbnail(exif, first)
    return bytes(exif.data), orientation


def _swap_sizes(exif: Block, first: int) -> None:
    pointer = exif.find(first, EXIF_IFD)
    directories = [first, exif.value(pointer) if pointer else None]
    for start, tags in zip(directories, _SIZE_TAGS, strict=True):
        if start is None:
            continue
        width, height = (exif.find(start, tag) for tag in tags)
        if width is None or height is None:
            continue
        across, down = exif.value(width), exif.value(height)
        if across is not None and down is not None and max(across, down) < 65536:
            exif.set_value(width, down)
            exif.set_value(height, across)


def _drop_thumbnail(exif: Block, first: int) -> None:
    pointer = exif.next_pointer(first)
    if pointer + 4 > len(exif.data):
        return
    second = exif.unpack("I", pointer)
    struct.pack_into(exif.order + "I", exif.data, pointer, 0)
    if not second:
        return
    found = {entry.tag: exif.value(entry) for entry in exif.entries(second)}
    for start_tag, length_tag in ((_THUMBNAIL_START, _THUMBNAIL_LENGTH), (_STRIP_OFFSETS, _STRIP_LENGTHS)):
        start, length = found.get(start_tag), found.get(length_tag)
        if start is None or length is None or not 0 < length <= len(exif.data) - start:
            continue
        if start + length == len(exif.data):
            del exif.data[start:]
        else:
            exif.data[start : start + length] = bytes(length)


IPTC_EXTENSION = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
SARGAN_NAMESPACE = "urn:sargan:provenance:1.0#"
# IPTC NewsCode of a photo with parts made by a trained model.
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


@dataclass(frozen=True)
class Provenance:
    """How a photo was edited.

    Attributes:
        model: name of the model.
        expression: the expression or mix asked for.
        strength: strength of the edit; 1 is the model's own.
        version: version of sargan.
    """

    model: str
    expression: str
    strength: float
    version: str

    def properties(self) -> tuple[packets.Property, ...]:
        """Return the XMP properties of the mark."""
        own = {
            "Model": self.model,
            "Expression": self.expression,
            "Strength": f"{self.strength:g}",
            "Version": self.version,
        }
        return (
            packets.Property(IPTC_EXTENSION, "Iptc4xmpExt", "DigitalSourceType", DIGITAL_SOURCE_TYPE),
            *(packets.Property(SARGAN_NAMESPACE, "sargan", name, value) for name, value in own.items()),
        )


def mark(packet: bytes | None, provenance: Provenance) -> bytes:
    """Return the XMP packet with the mark of the edit merged in; None starts a new packet.

    Everything else in the packet stays. An unreadable packet is replaced; ``read_photo`` never returns one.
    """
    readable = packet if packet is not None and packets.is_readable(packet) else None
    return packets.merge(readable, provenance.properties())
