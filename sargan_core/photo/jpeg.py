"""JPEG files.

Written with the quantisation tables and the subsampling of the source, so that quality and size stay in
their class.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL.JpegImagePlugin import JpegImageFile, get_sampling

from sargan_core.photo import xmp as packets
from sargan_core.photo.containers import insert_jpeg_segments, jpeg_scans, jpeg_segments, split_jpeg_payload
from sargan_core.photo.kinds import Decoded, Defect, Encoding, Metadata, cut_off, damaged
from sargan_core.photo.metadata import tidy, without_pictures
from sargan_core.photo.planes import (
    Picture,
    check_size,
    cmyk_to_srgb,
    from_pillow,
    is_linear,
    linear_light,
    srgb_profile,
    to_pillow,
)

_APP1, _APP2, _APP11, _APP13, _APP14, _COM = 0xE1, 0xE2, 0xEB, 0xED, 0xEE, 0xFE


_EXIF = b"Exif\x00\x00"


_XMP = b"http://ns.adobe.com/xap/1.0/\x00"


_XMP_EXTENSION = b"http://ns.adobe.com/xmp/extension/\x00"


_ICC = b"ICC_PROFILE\x00"


_PHOTOSHOP = b"Photoshop 3.0\x00"


_START_OF_FRAME = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


_DECODABLE = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}


# A progressive JPEG has about ten; each costs a pass over all pixels, however few bytes it takes.
_MOST_SCANS = 200


_COARSEST = 255


_QUALITY = 95  # for photos that did not come from a JPEG


Segments = Sequence[tuple[int, bytes]]


def decode(data: bytes, max_pixels: int) -> Decoded:
    """Decode a JPEG; CMYK is converted to sRGB by its profile; see ``Decoded`` for shapes.

    Raises:
        Defect: cut off, too large, CMYK without profile, 12 bits, lossless, or linear light.
    """
    segments = jpeg_segments(data)
    _check_frame(segments, max_pixels)
    if jpeg_scans(data) > _MOST_SCANS:
        raise damaged("JPEG", "more scans than a picture has")
    image = JpegImageFile(io.BytesIO(data))
    check_size(*image.size, max_pixels)
    try:
        image.load()
    except OSError as error:
        raise cut_off("JPEG") from error
    profile: bytes | None = image.info.get("icc_profile")
    if is_linear(profile):
        raise linear_light()
    credentials = any(marker == _APP11 and b"jumb" in content[:64] for marker, content in segments)
    kept = tidy(_exif(segments), _xmp(segments), credentials=credentials)
    notes = list(kept.notes)
    if any(marker == _APP2 and content.startswith(b"MPF\x00") for marker, content in segments):
        notes.append("the file holds several pictures; only the first is kept")
    encoding = _encoding(image, segments)
    if image.mode == "CMYK":
        pixels, alpha, _ = from_pillow(cmyk_to_srgb(image, profile), kept.orientation)
        profile, encoding = srgb_profile(), Encoding(lossless=False, progressive=encoding.progressive)
        notes.append("the file is CMYK; it is converted to sRGB")
    else:
        pixels, alpha, _ = from_pillow(image, kept.orientation)
    resources = _joined(segments, _APP13, _PHOTOSHOP)
    metadata = Metadata(
        icc_profile=profile,
        exif=kept.exif,
        xmp=kept.xmp,
        dpi=image.info.get("dpi"),
        iptc=without_pictures(resources) if resources else None,
        comment=image.info.get("comment"),
    )
    return Decoded(pixels, alpha, encoding, metadata, tuple(notes))


def _check_frame(segments: Segments, max_pixels: int) -> None:
    for marker, content in segments:
        if marker in _START_OF_FRAME and len(content) >= 6:
            height, width = int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big")
            step = "convert it to an ordinary JPEG or to PNG first"
            if content[0] != 8:
                raise Defect(f"a JPEG with {content[0]} bits a channel is not supported", step)
            if marker not in _DECODABLE:
                raise Defect("a lossless or hierarchical JPEG is not supported", step)
            check_size(width, height, max_pixels)
            return
    raise Defect("the JPEG file holds no picture", "get an undamaged copy")


def _joined(segments: Segments, marker: int, prefix: bytes) -> bytes:
    return b"".join(
        content[len(prefix) :]
        for found, content in segments
        if found == marker and content.startswith(prefix)
    )


def _exif(segments: Segments) -> bytes | None:
    block = b""
    for marker, content in segments:
        if marker == _APP1 and content.startswith(_EXIF):
            block += content[len(_EXIF) :]
            # Only a full segment is continued by the next; otherwise a second one is a stray copy.
            if len(content) < 65000:
                break
    return block or None


def _xmp(segments: Segments) -> bytes | None:
    packet = next(
        (body[len(_XMP) :] for marker, body in segments if marker == _APP1 and body.startswith(_XMP)), None
    )
    pieces: dict[bytes, dict[int, bytes]] = {}
    for marker, content in segments:
        if marker == _APP1 and content.startswith(_XMP_EXTENSION):
            rest = content[len(_XMP_EXTENSION) :]
            pieces.setdefault(rest[:32], {})[int.from_bytes(rest[36:40], "big")] = rest[40:]
    if packet is None:
        return None
    for guid, parts in pieces.items():
        if guid in packet:
            try:
                return packets.join_extension(packet, b"".join(parts[at] for at in sorted(parts)))
            except ValueError:
                return packet
    return packet


def _encoding(image: JpegImageFile, segments: Segments) -> Encoding:
    tables = image.quantization
    by_component = [tuple(tables[layer[3]]) for layer in image.layer if layer[3] in tables]
    if len(by_component) == 3 and by_component[1] == by_component[2]:
        by_component.pop()
    subsampling = get_sampling(image)
    adobe = next((body for marker, body in segments if marker == _APP14 and body.startswith(b"Adobe")), None)
    identifiers = bytes(layer[0] for layer in image.layer)
    jfif = "jfif" in image.info
    as_rgb = adobe[11:12] == b"\x00" if adobe is not None else identifiers == b"RGB" and not jfif
    return Encoding(
        grey=image.mode == "L",
        quantization=tuple(by_component),
        # Rare samplings that Pillow cannot write (4:1:1, 4:4:0) become the usual 4:2:0.
        subsampling=2 if subsampling < 0 else subsampling,
        progressive=bool(image.info.get("progressive")),
        keep_rgb=as_rgb and image.mode == "RGB",
        lossless=False,
    )


def encode(
    picture: Picture, encoding: Encoding, metadata: Metadata, marks: Sequence[packets.Property] = ()
) -> bytes:
    """Return the picture as a JPEG; ``marks`` are the XMP properties to keep in the first XMP segment."""
    options: dict[str, object] = {"progressive": encoding.progressive, "subsampling": encoding.subsampling}
    if encoding.quantization:
        # Larger steps are no baseline JPEG: libjpeg would print a caution, and some programs could not read the file.
        options["qtables"] = [[min(step, _COARSEST) for step in table] for table in encoding.quantization]
    else:
        options["quality"] = _QUALITY
    if metadata.dpi is not None:
        options["dpi"] = metadata.dpi
    if encoding.keep_rgb and not picture.grey:
        options["keep_rgb"] = True
    file = io.BytesIO()
    to_pillow(picture).save(file, "JPEG", **options)
    return insert_jpeg_segments(file.getvalue(), _segments(metadata, marks))


def _segments(metadata: Metadata, marks: Sequence[packets.Property]) -> list[tuple[int, bytes]]:
    segments: list[tuple[int, bytes]] = []
    if metadata.exif:
        segments += [(_APP1, _EXIF + part) for part in split_jpeg_payload(_EXIF, metadata.exif)]
    if metadata.xmp:
        segments += [(_APP1, content) for content in _xmp_payloads(metadata.xmp, marks)]
    if metadata.iptc:
        segments += [(_APP13, _PHOTOSHOP + part) for part in split_jpeg_payload(_PHOTOSHOP, metadata.iptc)]
    if metadata.icc_profile:
        parts = split_jpeg_payload(_ICC, metadata.icc_profile, reserve=2)
        segments += [
            (_APP2, _ICC + bytes([number, len(parts)]) + part) for number, part in enumerate(parts, 1)
        ]
    if metadata.comment:
        segments.append((_COM, metadata.comment[:65533]))
    return segments


def _xmp_payloads(packet: bytes, marks: Sequence[packets.Property]) -> list[bytes]:
    if len(split_jpeg_payload(_XMP, packet)) == 1:
        return [_XMP + packet]
    main, extension, guid = packets.split_extension(packet, marks)
    head = _XMP_EXTENSION + guid.encode() + len(extension).to_bytes(4, "big")
    parts = split_jpeg_payload(head, extension, reserve=4)
    payloads, at = [_XMP + main], 0
    for part in parts:
        payloads.append(head + at.to_bytes(4, "big") + part)
        at += len(part)
    return payloads
