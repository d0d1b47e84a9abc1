"""AVIF files; written at a high quality with full chroma, alpha without loss."""

from __future__ import annotations

import io

from PIL.AvifImagePlugin import AvifImageFile

from sargan_core.photo.containers import iso_boxes
from sargan_core.photo.kinds import KINDS, Decoded, Defect, Encoding, Metadata
from sargan_core.photo.metadata import tidy
from sargan_core.photo.planes import Picture, check_size, from_pillow, is_linear, linear_light, to_pillow

_QUALITY = 90


_CREDENTIALS = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")


# H.273 code points: unspecified or BT.709 primaries; transfers that show as linear, PQ and HLG.
_SRGB_PRIMARIES = (1, 2)


_LINEAR, _HDR = 8, (16, 18)


def decode(data: bytes, max_pixels: int) -> Decoded:
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
    _check_colours(header, profile)
    credentials = any(
        kind == b"uuid" and data[start : start + 16] == _CREDENTIALS for kind, start, _ in boxes
    )
    # Pillow reports the container's rotation as the EXIF orientation; what EXIF itself says does not count
    # in AVIF.
    kept = tidy(image.info.get("exif"), image.info.get("xmp"), credentials=credentials)
    notes = list(kept.notes)
    if image.n_frames > 1:
        notes.append("the file is an animation; only its first frame is kept")
    bits = _bits(header)
    if bits > 8:
        notes.append(f"the file has {bits} bits a channel; it is read and written with 8")
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


def _check_colours(header: bytes, profile: bytes | None) -> None:
    at = header.find(b"colrnclx")
    if at < 0:
        return
    primaries, transfer = (int.from_bytes(header[start : start + 2], "big") for start in (at + 8, at + 10))
    if transfer == _LINEAR:
        raise linear_light()
    if transfer in _HDR:
        raise Defect("an HDR AVIF is not supported", "convert it to an 8-bit sRGB photo first")
    if profile is None and primaries not in _SRGB_PRIMARIES:
        raise Defect(
            "an AVIF with wide colours and no ICC profile is not supported", "convert it to sRGB or PNG first"
        )


def _bits(header: bytes) -> int:
    at = header.find(b"av1C")
    if at < 0 or at + 7 > len(header):
        return 8
    flags = header[at + 6]
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8


def encode(picture: Picture, metadata: Metadata) -> bytes:
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
