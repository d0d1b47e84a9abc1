"""Metadata made true for an upright, edited picture; what cannot be copied is noted."""

from __future__ import annotations

from dataclasses import dataclass

from sargan_core.formats import xmp as packets
from sargan_core.formats.exif import make_upright

CREDENTIALS_NOTE = "Content Credentials present; they will no longer be valid and are not copied"
_EXIF_PREFIX = b"Exif\x00\x00"
# Photoshop image resources that show the old picture: thumbnails in the two forms in use.
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

    The orientation is that of the EXIF block. One that only XMP mentions is not applied (viewers ignore it
    as well) and stays as it is. Damaged metadata never fails a photo: it is left out and noted.

    Args:
        exif: EXIF block, with or without the ``Exif`` prefix.
        xmp: XMP packet.
        orientation: orientation known from elsewhere in the file, which outranks the EXIF block.
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


def without_pictures(resources: bytes) -> bytes | None:
    """Return Photoshop image resources without their thumbnails, or None if they are damaged.

    Source: Adobe Photoshop File Formats Specification, "Image Resource Blocks".
    """
    kept: list[bytes] = []
    at = 0
    while at + 12 <= len(resources) and resources[at : at + 4] == b"8BIM":
        number = int.from_bytes(resources[at + 4 : at + 6], "big")
        name_end = at + 6 + (resources[at + 6] // 2 + 1) * 2
        length = int.from_bytes(resources[name_end : name_end + 4], "big")
        end = name_end + 4 + length + length % 2
        if name_end + 4 + length > len(resources):
            return None
        if number not in _PICTURE_RESOURCES:
            kept.append(resources[at:end])
        at = end
    return b"".join(kept) or None
