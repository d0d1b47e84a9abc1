"""HEIC files (HEIF with HEVC), what telephones make; only read, because HEVC encoders are GPL or bound by patents."""

from __future__ import annotations

from typing import Any

import numpy as np

from sargan_core.photo.containers import iso_boxes
from sargan_core.photo.heif_items import check_items
from sargan_core.photo.kinds import Decoded, Defect, Encoding, Metadata
from sargan_core.photo.metadata import tidy
from sargan_core.photo.planes import check_size, from_array, is_linear, linear_light

# H.273 code points: unspecified or BT.709 primaries; transfers that show as linear, PQ and HLG.
_SRGB_PRIMARIES = (1, 2)


_LINEAR, _HDR = 8, (16, 18)


_CREDENTIALS = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")


def decode(data: bytes, max_pixels: int) -> Decoded:
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
        _check_colours(file.info.get("nclx_profile") or {})
    credentials = any(
        kind == b"uuid" and data[start : start + 16] == _CREDENTIALS for kind, start, _ in boxes
    )
    # The decoder applies the container's own rotation; what EXIF says does not count in HEIF.
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


def _check_colours(described: dict[str, Any]) -> None:
    transfer = int(described.get("transfer_characteristics", 2))
    if transfer == _LINEAR:
        raise linear_light()
    if transfer in _HDR:
        raise Defect("an HDR HEIC is not supported", "convert it to an 8-bit sRGB photo first")
    if int(described.get("color_primaries", 2)) not in _SRGB_PRIMARIES:
        raise Defect(
            "a HEIC with wide colours and no ICC profile is not supported", "convert it to sRGB or PNG first"
        )


def _notes(file: Any, bits: int) -> list[str]:
    notes = []
    if len(file) > 1:
        notes.append(f"the file holds {len(file)} pictures; only its main one is read")
    if bits > 8:
        notes.append(
            f"the file has {bits} bits a channel, which PNG and TIFF keep (as 16) and JPEG does not (8)"
        )
    if file.info.get("depth_images") or file.info.get("aux"):
        notes.append("depth and gain maps beside the picture are not copied")
    return notes
