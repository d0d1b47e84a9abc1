"""BMP files, which hold only the picture and its resolution."""

from __future__ import annotations

import io
import struct

import cv2
from PIL.BmpImagePlugin import BmpImageFile

from sargan_core.photo.kinds import Decoded, Defect, Encoding, Metadata
from sargan_core.photo.metadata import storage_notes
from sargan_core.photo.planes import Picture, check_size, from_pillow, to_pillow

_EMBEDDED_PROFILE = b"DEBM"
_RESOLUTION_AT = 38  # offset of the pixels per metre, across and down
_INCH = 0.0254  # metres


def decode(data: bytes, max_pixels: int) -> Decoded:
    """Decode a BMP; see ``Decoded`` for shapes.

    Raises:
        Defect: too large.
    """
    image = BmpImageFile(io.BytesIO(data))
    check_size(*image.size, max_pixels)
    image.load()
    pixels, alpha, grey = from_pillow(image, 1)
    notes = storage_notes(1 if image.mode == "1" else 8, palette=image.mode == "P")
    if data[70:74] == _EMBEDDED_PROFILE:
        notes += ("the colour profile in the BMP cannot be kept",)
    return Decoded(pixels, alpha, Encoding(grey=grey), Metadata(dpi=image.info.get("dpi")), notes)


def encode(picture: Picture, metadata: Metadata) -> bytes:
    """Return the picture as a BMP.

    Raises:
        Defect: the encoder failed.
    """
    if picture.alpha is None:
        file = io.BytesIO()
        to_pillow(picture).save(file, "BMP", **({"dpi": metadata.dpi} if metadata.dpi else {}))
        return file.getvalue()
    bgra = cv2.cvtColor(picture.colours, cv2.COLOR_GRAY2BGRA if picture.grey else cv2.COLOR_RGB2BGRA)
    bgra[..., 3] = picture.alpha
    done, buffer = cv2.imencode(".bmp", bgra)
    if not done:
        raise Defect("the picture cannot be written as a BMP", "write PNG instead")
    data = bytearray(buffer.tobytes())
    if metadata.dpi:
        # Only OpenCV writes the variant with alpha, but without a resolution.
        struct.pack_into("<II", data, _RESOLUTION_AT, *(round(value / _INCH) for value in metadata.dpi))
    return bytes(data)
