"""AVIF and HEIC files, two kinds of HEIF.

AVIF is written at a high quality with full chroma, alpha without loss. HEIC (HEIF with HEVC, what phones make) is only
read, because HEVC encoders are GPL or bound by patents.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL.AvifImagePlugin import AvifImageFile

from sargan_core.photo.heif_items import check_items, iso_boxes
from sargan_core.photo.kinds import KINDS, Decoded, Defect, Encoding, Metadata
from sargan_core.photo.metadata import tidy
from sargan_core.photo.planes import (
    Picture,
    check_size,
    from_array,
    from_pillow,
    is_linear,
    linear_light,
    to_pillow,
)

_QUALITY = 90
# The UUID of a box with Content Credentials.
_CREDENTIALS = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
# H.273 code points: unspecified and BT.709 primaries; linear transfer; the HDR transfers PQ and HLG.
_SRGB_PRIMARIES = (1, 2)
_LINEAR, _HDR = 8, (16, 18)

Boxes = Sequence[tuple[bytes, int, int]]


def decode_avif(data: bytes, max_pixels: int) -> Decoded:
    """Decode an AVIF, of an animation the first frame; see ``Decoded`` for shapes.

    Raises:
        Defect: cut off, too large, linear light, HDR, or wide colours without an ICC profile.
    """
    boxes = iso_boxes(data)
    header = b"".join(data[start:end] for kind, start, end in boxes if kind in (b"meta", b"moov"))
    _check_size(header, max_pixels)
    image = AvifImageFile(io.BytesIO(data))
    check_size(*image.size, max_pixels)
    profile: bytes | None = image.info.get("icc_profile")
    if is_linear(profile):
        raise linear_light()
    at = header.find(b"colrnclx")
    if at >= 0:
        primaries, transfer = (
            int.from_bytes(header[start : start + 2], "big") for start in (at + 8, at + 10)
        )
        _check_colours("AVIF", transfer, primaries if profile is None else None)
    # Pillow reports the container's rotation as the EXIF orientation; in AVIF the one in EXIF does not count.
    kept = tidy(image.info.get("exif"), image.info.get("xmp"), credentials=_has_credentials(data, boxes))
    notes = list(kept.notes)
    if image.n_frames > 1:
        notes.append("the file is an animation; only its first frame is kept")
    bits = _bits(header)
    if bits > 8:
        notes.append(f"the file has {bits} bits per channel; it is read and written with 8")
    pixels, alpha, grey = from_pillow(image, kept.orientation)
    metadata = Metadata(icc_profile=profile, exif=kept.exif, xmp=kept.xmp)
    return Decoded(pixels, alpha, Encoding(grey=grey, lossless=False), metadata, tuple(notes))


def _check_size(header: bytes, max_pixels: int) -> None:
    at = header.find(b"ispe")
    while 0 <= at <= len(header) - 16:
        width, height = (int.from_bytes(header[start : start + 4], "big") for start in (at + 8, at + 12))
        check_size(width, height, max_pixels)
        if max(width, height) > KINDS["AVIF"].largest_side:
            raise Defect(
                f"the AVIF has {width} x {height} pixels, more than can be decoded", "make it smaller"
            )
        at = header.find(b"ispe", at + 16)


def _check_colours(kind: str, transfer: int, primaries: int | None) -> None:
    """Refuse linear light, HDR and wide colours, given H.273 code points; None = a profile gives the primaries."""
    if transfer == _LINEAR:
        raise linear_light()
    if transfer in _HDR:
        raise Defect(f"an HDR {kind} is not supported", "convert it to an 8-bit sRGB photo first")
    if primaries is not None and primaries not in _SRGB_PRIMARIES:
        raise Defect(
            f"{'an' if kind == 'AVIF' else 'a'} {kind} with wide colours and no ICC profile is not supported",
            "convert it to sRGB or PNG first",
        )


def _has_credentials(data: bytes, boxes: Boxes) -> bool:
    return any(kind == b"uuid" and data[start : start + 16] == _CREDENTIALS for kind, start, _ in boxes)


def _bits(header: bytes) -> int:
    at = header.find(b"av1C")
    if at < 0 or at + 7 > len(header):
        return 8
    flags = header[at + 6]
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8


def encode_avif(picture: Picture, metadata: Metadata) -> bytes:
    """Return the picture as an AVIF."""
    options: dict[str, object] = {"quality": _QUALITY}
    if not picture.grey:
        options["subsampling"] = "4:4:4"
    if picture.alpha is not None:
        options |= {"codec": "aom", "advanced": {"alpha:cq-level": "0"}}
    for name, content in (
        ("icc_profile", metadata.icc_profile),
        ("exif", metadata.exif),
        ("xmp", metadata.xmp),
    ):
        if content:
            options[name] = content
    file = io.BytesIO()
    to_pillow(picture).save(file, "AVIF", **options)
    return file.getvalue()


def decode_heic(data: bytes, max_pixels: int) -> Decoded:
    """Decode the primary picture of a HEIC; 10 and 12 bits become 16; see ``Decoded`` for shapes.

    Raises:
        Defect: the decoder is missing, or the file is cut off, too large, a sequence, linear light, HDR, or has
            wide colours without an ICC profile.
    """
    boxes = iso_boxes(data, "HEIC")
    meta = next(((start, end) for kind, start, end in boxes if kind == b"meta"), None)
    if meta is None:
        raise Defect("the HEIC holds no photo (a video or sequence)", "save one picture of it as JPEG")
    check_items(data, meta, max_pixels)
    file = _decoder().open_heif(data, convert_hdr_to_8bit=False)
    width, height = file.size
    check_size(width, height, max_pixels)
    profile: bytes | None = file.info.get("icc_profile")
    if is_linear(profile):
        raise linear_light()
    if profile is None:
        colours = file.info.get("nclx_profile") or {}
        transfer, primaries = (
            int(colours.get(name, 2)) for name in ("transfer_characteristics", "color_primaries")
        )
        _check_colours("HEIC", transfer, primaries)
    # The decoder applies the container's own rotation; what EXIF says does not count in HEIF.
    credentials = _has_credentials(data, boxes)
    kept = tidy(file.info.get("exif"), file.info.get("xmp"), orientation=1, credentials=credentials)
    stored = np.asarray(file)
    height, width = stored.shape[:2]
    check_size(width, height, max_pixels)
    pixels, alpha = from_array(stored, 1)
    bits = int(file.info["bit_depth"])
    for plane in (pixels, alpha) if bits > 8 else ():
        if plane is not None:  # the upper bits again below, so that white is the largest value
            plane |= plane >> bits
    encoding = Encoding(grey=stored.ndim == 2, lossless=False, premultiplied=file.premultiplied_alpha)
    metadata = Metadata(icc_profile=profile, exif=kept.exif, xmp=kept.xmp)
    return Decoded(pixels, alpha, encoding, metadata, (*kept.notes, *_notes(file, bits)))


def _decoder() -> Any:
    """Return the decoder's module.

    Raises:
        Defect: it is not installed.
    """
    try:
        import pi_heif
    except ImportError as error:
        raise Defect(
            "HEIC photos need the decoder pi-heif, which is not installed here",
            "install it (pip install pi-heif), or convert the photo to JPEG or PNG first",
        ) from error
    return pi_heif


def _notes(file: Any, bits: int) -> list[str]:
    notes = []
    if len(file) > 1:
        notes.append(f"the file holds {len(file)} pictures; only its main one is read")
    if bits > 8:
        notes.append(
            f"the file has {bits} bits per channel, which PNG and TIFF keep (as 16) and JPEG does not (8)"
        )
    if file.info.get("depth_images") or file.info.get("aux"):
        notes.append("depth and gain maps beside the picture are not copied")
    return notes
