"""WebP files; lossless ones stay lossless, and alpha is always written without loss."""

from __future__ import annotations

import io

from PIL.WebPImagePlugin import WebPImageFile

from sargan_core.photo.files import shown
from sargan_core.photo.kinds import Decoded, Encoding, Metadata, cut_off
from sargan_core.photo.metadata import not_copied, tidy
from sargan_core.photo.planes import Picture, check_size, from_pillow, is_linear, linear_light, to_pillow

_KNOWN = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP ", b"C2PA"}
_QUALITY = 90  # a WebP does not store the quality it was written with


def decode(data: bytes, max_pixels: int) -> Decoded:
    """Decode a WebP, of an animation the first frame; see ``Decoded`` for shapes.

    Raises:
        Defect: cut off, too large, or linear light.
    """
    chunks = riff_chunks(data)
    for kind, content in chunks:
        if (size := _size(kind, content)) is not None:
            check_size(*size, max_pixels)
    fields: dict[bytes, bytes] = {}
    for kind, content in chunks:
        fields.setdefault(kind, content)
    profile = fields.get(b"ICCP")
    if is_linear(profile):
        raise linear_light()
    kept = tidy(fields.get(b"EXIF"), fields.get(b"XMP "), credentials=b"C2PA" in fields)
    notes = list(kept.notes)
    notes += not_copied(
        "parts of the WebP", (shown(kind.decode("latin-1")) for kind in fields if kind not in _KNOWN)
    )
    # A frame of an animation is: position, size and duration in 16 bytes, then the chunks of a picture.
    frame = fields.get(b"ANMF", b"")[16:]
    if sum(kind == b"ANMF" for kind, _ in chunks) > 1:
        notes.append("the file is an animation; only its first frame is kept")
    image = WebPImageFile(io.BytesIO(data))
    check_size(*image.size, max_pixels)
    image.load()
    pixels, alpha, _ = from_pillow(image, kept.orientation)
    lossless = b"VP8L" in fields or frame[:4] == b"VP8L"
    metadata = Metadata(icc_profile=profile, exif=kept.exif, xmp=kept.xmp)
    return Decoded(pixels, alpha, Encoding(lossless=lossless), metadata, tuple(notes))


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


def _size(kind: bytes, content: bytes) -> tuple[int, int] | None:
    """Return the width and height in a chunk, None for chunks without them.

    Source: WebP container specification; RFC 6386 section 9.1 (VP8); WebP lossless specification (VP8L).
    """
    if kind == b"VP8X" and len(content) >= 10:
        return 1 + int.from_bytes(content[4:7], "little"), 1 + int.from_bytes(content[7:10], "little")
    if kind == b"VP8 " and len(content) >= 10:
        return int.from_bytes(content[6:8], "little") & 0x3FFF, int.from_bytes(
            content[8:10], "little"
        ) & 0x3FFF
    if kind == b"VP8L" and len(content) >= 5:
        bits = int.from_bytes(content[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None


def encode(picture: Picture, encoding: Encoding, metadata: Metadata) -> bytes:
    """Return the picture as a WebP."""
    file = io.BytesIO()
    to_pillow(picture).save(
        file,
        "WEBP",
        lossless=encoding.lossless,
        quality=_QUALITY,
        alpha_quality=100,
        # Keep colours under full transparency too.
        exact=True,
        icc_profile=metadata.icc_profile or b"",
        exif=metadata.exif or b"",
        xmp=metadata.xmp or b"",
    )
    return file.getvalue()
