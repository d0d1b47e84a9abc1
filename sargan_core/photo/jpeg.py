"""JPEG files.

Results are written with the quantisation tables and the subsampling of the source, so that quality and size hardly
change.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Sequence

from PIL.JpegImagePlugin import JpegImageFile, get_sampling

from sargan_core.photo import xmp as packets
from sargan_core.photo.files import shown
from sargan_core.photo.kinds import Decoded, Defect, Encoding, Metadata, cut_off, damaged
from sargan_core.photo.metadata import RESOURCES_NOTE, not_copied, tidy, without_pictures
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

_APP0, _APP15, _DRI, _CENTIMETRE = 0xE0, 0xEF, 0xDD, 2
_APP1, _APP2, _APP11, _APP13, _APP14, _COM = 0xE1, 0xE2, 0xEB, 0xED, 0xEE, 0xFE
_EXIF = b"Exif\x00\x00"
_XMP = b"http://ns.adobe.com/xap/1.0/\x00"
_XMP_EXTENSION = b"http://ns.adobe.com/xmp/extension/\x00"
_ICC = b"ICC_PROFILE\x00"
_PHOTOSHOP = b"Photoshop 3.0\x00"
_MPF = b"MPF\x00"
# Segments that are understood; all others belong to other programs.
_KNOWN = (
    (_APP1, _EXIF), (_APP1, _XMP), (_APP1, _XMP_EXTENSION), (_APP2, _ICC), (_APP2, _MPF), (_APP13, _PHOTOSHOP),
)  # fmt: skip
# Starts of segments with gain maps or layers, which belong to the picture before the edit; start of a JPEG.
_TIED = (b"urn:iso:std:iso:ts:21496", b"JP")
_PICTURE = b"\xff\xd8\xff"
_START_OF_FRAME = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_DECODABLE = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
# A progressive JPEG has about ten. Each costs a pass over all pixels, however few bytes it has.
_MOST_SCANS = 200
_SEGMENT_LIMIT = 65533
# Inside compressed data 0xFF is followed by 0 or a restart marker.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
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
    packet, whole = _xmp(segments)
    kept = tidy(_exif(segments), packet, credentials=credentials)
    notes = list(kept.notes)
    if not whole:
        notes.append("the extended XMP data are damaged and are not copied")
    if any(marker == _APP2 and content.startswith(_MPF) for marker, content in segments):
        notes.append("the file holds several pictures; only the first is kept")
    encoding = _encoding(image, segments)
    if image.mode == "CMYK":
        pixels, alpha, _ = from_pillow(cmyk_to_srgb(image, profile), kept.orientation)
        profile, encoding = srgb_profile(), Encoding(lossless=False, progressive=encoding.progressive)
        notes.append("the file is CMYK; it is converted to sRGB")
    else:
        pixels, alpha, _ = from_pillow(image, kept.orientation)
    if image.layers == 3 and get_sampling(image) < 0:
        notes.append("the file's rare sampling of colours cannot be written; it becomes 4:2:0")
    resources = _joined(segments, _APP13, _PHOTOSHOP)
    iptc = without_pictures(resources)
    if iptc is None:
        notes.append(RESOURCES_NOTE)
    others, lost = _of_other_programs(segments)
    notes += not_copied("application data", lost)
    metadata = Metadata(
        icc_profile=profile,
        exif=kept.exif,
        xmp=kept.xmp,
        dpi=_resolution(image),
        aspect=_aspect(image),
        per_cm=image.info.get("jfif_unit") == _CENTIMETRE,
        iptc=iptc or None,
        comments=tuple(content for marker, content in segments if marker == _COM),
        segments=tuple(others),
    )
    return Decoded(pixels, alpha, encoding, metadata, tuple(notes))


def _check_frame(segments: Segments, max_pixels: int) -> None:
    for marker, content in segments:
        if marker in _START_OF_FRAME and len(content) >= 6:
            height, width = int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big")
            step = "convert it to an ordinary JPEG or to PNG first"
            if content[0] != 8:
                raise Defect(f"a JPEG with {content[0]} bits per channel is not supported", step)
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
            # Only a full segment is continued by the next; otherwise a second one is a copy left by a program.
            if len(content) < 65000:
                break
    return block or None


def _xmp(segments: Segments) -> tuple[bytes | None, bool]:
    """Return the XMP packet, and whether an extension, if there is one, could be joined to it."""
    packet = next(
        (body[len(_XMP) :] for marker, body in segments if marker == _APP1 and body.startswith(_XMP)), None
    )
    pieces: dict[bytes, dict[int, bytes]] = {}
    for marker, content in segments:
        if marker == _APP1 and content.startswith(_XMP_EXTENSION):
            rest = content[len(_XMP_EXTENSION) :]
            pieces.setdefault(rest[:32], {})[int.from_bytes(rest[36:40], "big")] = rest[40:]
    if packet is None:
        return None, not pieces
    for guid, parts in pieces.items():
        if guid in packet:
            try:
                return packets.join_extension(packet, b"".join(parts[at] for at in sorted(parts))), True
            except ValueError:
                return packet, False
    return packet, True


def _of_other_programs(segments: Segments) -> tuple[list[tuple[int, bytes]], list[str]]:
    """Return the application segments that are kept as they are, and the names of those that are not.

    A segment is not kept if it may show the picture before the edit or points to places in the file.
    """
    kept, lost = [], []
    for marker, content in segments:
        if marker not in range(_APP1, _APP15 + 1) or marker in (
            _APP14,
            _APP11 if b"jumb" in content[:64] else 0,
        ):
            continue
        if any(marker == known and content.startswith(name) for known, name in _KNOWN):
            continue
        if (marker in (_APP2, _APP11) and content.startswith(_TIED)) or _PICTURE in content:
            name = content[:24].partition(b"\0")[0].decode("latin-1")
            lost.append(f"APP{marker - _APP0} {shown(name)}".strip())
        else:
            kept.append((marker, content))
    return kept, lost


def _resolution(image: JpegImageFile) -> tuple[float, float] | None:
    if image.info.get("jfif_unit") == _CENTIMETRE:
        across, down = image.info["jfif_density"]
        return across * 2.54, down * 2.54
    known: tuple[float, float] | None = image.info.get("dpi")
    return known


def _aspect(image: JpegImageFile) -> tuple[float, float] | None:
    density: tuple[int, int] = image.info.get("jfif_density", (1, 1))
    without_unit = image.info.get("jfif_unit") == 0 and "dpi" not in image.info
    return density if without_unit and density != (1, 1) and min(density) > 0 else None


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
        restart=_restart(segments),
        lossless=False,
    )


def _restart(segments: Segments) -> int:
    """Return the number of MCUs between restart markers; 0 without such markers."""
    found = (int.from_bytes(content[:2], "big") for marker, content in reversed(segments) if marker == _DRI)
    return next(found, 0)


def encode(
    picture: Picture, encoding: Encoding, metadata: Metadata, marks: Sequence[packets.Property] = ()
) -> bytes:
    """Return the picture as a JPEG; ``marks`` are the XMP properties to keep in the first XMP segment."""
    options: dict[str, object] = {"progressive": encoding.progressive, "subsampling": encoding.subsampling}
    if encoding.quantization:
        # Larger steps are not baseline JPEG: libjpeg would print a warning, and some programs cannot read them.
        options["qtables"] = [[min(step, _COARSEST) for step in table] for table in encoding.quantization]
    else:
        options["quality"] = _QUALITY
    if encoding.restart:
        options["restart_marker_blocks"] = encoding.restart
    if metadata.dpi is not None:
        options["dpi"] = metadata.dpi  # makes Pillow write the header that the density goes into
    if encoding.keep_rgb and not picture.grey:
        options["keep_rgb"] = True
    file = io.BytesIO()
    to_pillow(picture).save(file, "JPEG", **options)
    return insert_jpeg_segments(_with_density(file.getvalue(), metadata), _segments(metadata, marks))


def _with_density(data: bytes, metadata: Metadata) -> bytes:
    if metadata.aspect is not None:
        return with_jfif_density(data, 0, *metadata.aspect)
    if metadata.dpi is not None and metadata.per_cm:
        across, down = metadata.dpi
        return with_jfif_density(data, _CENTIMETRE, across / 2.54, down / 2.54)
    return data


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
    segments += metadata.segments
    segments += [(_COM, comment[:65533]) for comment in metadata.comments]
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
    """Return the number of scans of the first picture in a JPEG; what follows it is ignored."""
    scans, at = 0, 2
    while match := _MARKER.search(data, at):
        marker, at = match[0][-1], match.end()
        if marker == 0xD9:
            break
        scans += marker == 0xDA
        at += int.from_bytes(data[at : at + 2], "big")
    return scans


def insert_jpeg_segments(data: bytes, segments: Sequence[tuple[int, bytes]]) -> bytes:
    """Return the JPEG with segments of at most 65533 bytes inserted after its start and JFIF header."""
    at = 2
    if data[2:4] == b"\xff\xe0":
        at = 4 + int.from_bytes(data[4:6], "big")
    parts = [data[:at]]
    for marker, payload in segments:
        parts += [struct.pack(">BBH", 0xFF, marker, len(payload) + 2), payload]
    return b"".join([*parts, data[at:]])


def split_jpeg_payload(prefix: bytes, content: bytes, reserve: int = 0) -> list[bytes]:
    """Return content in pieces that fit into one segment each, beside the prefix and ``reserve`` more bytes."""
    step = _SEGMENT_LIMIT - len(prefix) - reserve
    return [content[at : at + step] for at in range(0, len(content), step)]


def with_jfif_density(data: bytes, unit: int, across: float, down: float) -> bytes:
    """Return the JPEG with another density in its JFIF header; without that header it is returned unchanged.

    Args:
        data: the file.
        unit: 0 = none, only the ratio counts; 1 = inch; 2 = centimetre.
        across, down: pixels per unit; both are reduced in proportion if they do not fit into 16 bits.
    """
    if data[2:4] != b"\xff\xe0" or data[6:11] != b"JFIF\0":
        return data
    reduced = max(1.0, across / 65535, down / 65535)
    density = struct.pack(">BHH", unit, max(1, round(across / reduced)), max(1, round(down / reduced)))
    return data[:13] + density + data[18:]
