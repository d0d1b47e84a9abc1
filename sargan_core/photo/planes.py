"""Convert decoded pictures to upright arrays, and arrays to what an encoder takes; colour profiles.

A photo may have 50 million pixels and more, so pictures are converted band by band into their final place, without a
copy of the whole.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from sargan_core.photo.kinds import Array, Defect, Encoding, Kind

# Pixels converted at a time: few enough that their memory is not taken from the system anew.
_BAND = 2**18


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse a picture with more than ``max_pixels`` pixels, or without any.

    Raises:
        Defect: the size is out of bounds.
    """
    if width < 1 or height < 1:
        raise Defect("the picture has no pixels", "get an undamaged copy")
    if width * height > max_pixels:
        raise Defect(
            f"the picture has {width} x {height} pixels, more than the limit of {max_pixels:,}",
            "make it smaller, or raise --max-pixels if you trust the file",
        )


def _stored_view(upright: Array, orientation: int) -> Array:
    """Return a view of an upright array (H, W, ...) in which pixels lie as the file stores them."""
    if orientation >= 5:
        upright = np.swapaxes(upright, 0, 1)
    # After the change of axes every orientation mirrors rows, columns, both or none.
    rows = slice(None, None, -1 if orientation in (3, 4, 6, 7) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 7, 8) else 1)
    return upright[rows, columns]


def _allocate(width: int, height: int, channels: int, dtype: np.dtype[np.generic], orientation: int) -> Array:
    size = (width, height) if orientation >= 5 else (height, width)
    return np.empty(size if channels == 1 else (*size, channels), dtype)


def from_array(stored: Array, orientation: int, *, bgr: bool = False) -> tuple[Array, Array | None]:
    """Return upright pixels (H, W, 3) and alpha (H, W) or None of a stored array with 1 to 4 channels.

    Args:
        stored: (h, w) grey, or (h, w, C): grey and alpha, colours, or colours and alpha; uint8 or uint16.
        orientation: EXIF orientation, 1 to 8.
        bgr: colours are stored blue first.
    """
    height, width = stored.shape[:2]
    layered = stored.reshape(height, width, -1)
    colours = 3 if layered.shape[2] >= 3 else 1
    pixels = _allocate(width, height, 3, layered.dtype, orientation)
    _stored_view(pixels, orientation)[...] = layered[..., :colours][..., :: -1 if bgr else 1]
    if layered.shape[2] == colours:
        return pixels, None
    alpha = _allocate(width, height, 1, layered.dtype, orientation)
    _stored_view(alpha, orientation)[...] = layered[..., colours]
    return pixels, alpha


def from_pillow(image: Image.Image, orientation: int) -> tuple[Array, Array | None, bool]:
    """Return upright pixels (H, W, 3) uint8, alpha (H, W) or None, and whether the picture is grey.

    Args:
        image: a picture of 8 bits per channel or less, or with a palette.
        orientation: EXIF orientation, 1 to 8.
    """
    grey = image.mode in ("1", "L", "LA", "La")
    transparent = image.has_transparency_data
    mode = ("LA" if transparent else "L") if grey else ("RGBA" if transparent else "RGB")
    width, height = image.size
    pixels = _allocate(width, height, 3, np.dtype(np.uint8), orientation)
    alpha = _allocate(width, height, 1, np.dtype(np.uint8), orientation) if transparent else None
    view = _stored_view(pixels, orientation)
    alpha_view = None if alpha is None else _stored_view(alpha, orientation)
    step = max(1, _BAND // width)
    for top in range(0, height, step):
        bottom = min(top + step, height)
        # A part of a picture, and one of another mode, are copies of their own.
        part = image if step >= height else image.crop((0, top, width, bottom))
        part = part if part.mode == mode else part.convert(mode)
        band = np.asarray(part).reshape(bottom - top, width, -1)
        view[top:bottom] = band[..., : 1 if grey else 3]
        if alpha_view is not None:
            alpha_view[top:bottom] = band[..., -1]
    return pixels, alpha, grey


@dataclass(frozen=True)
class Picture:
    """What an encoder writes.

    Attributes:
        colours: (H, W) grey or (H, W, 3) RGB, uint8 or uint16.
        alpha: (H, W) of the same dtype, or None.
    """

    colours: Array
    alpha: Array | None

    @property
    def grey(self) -> bool:
        """Whether there is one colour channel."""
        return self.colours.ndim == 2


def eight_bits(values: Array) -> Array:
    """Return 16-bit values as the nearest 8-bit values; 8-bit values as they are."""
    if values.dtype == np.uint8:
        return values
    out = np.empty(values.shape, np.uint8)
    step = max(1, _BAND // max(1, values[0].size))
    for top in range(0, len(values), step):
        band = values[top : top + step].astype(np.uint32)
        out[top : top + step] = (band * 255 + 32895) >> 16
    return out


def shrunk(pixels: Array, side: int) -> tuple[Array, float]:
    """Return (H, W, 3) pixels averaged down to at most ``side`` on the longest side, and their scale (new / old)."""
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return pixels, scale


def bounded(pixels: Array, side: int) -> tuple[npt.NDArray[np.uint8], float]:
    """Return ``shrunk`` pixels as contiguous 8-bit values, and their scale."""
    pixels, scale = shrunk(pixels, side)
    return np.ascontiguousarray(eight_bits(pixels)), scale


def is_grey(pixels: Array) -> bool:
    """Return whether the three channels of (H, W, 3) are the same everywhere."""
    red = pixels[..., 0]
    return np.array_equal(red, pixels[..., 1]) and np.array_equal(red, pixels[..., 2])


def picture_for(
    pixels: Array, alpha: Array | None, encoding: Encoding, profile: bytes | None, kind: Kind
) -> Picture:
    """Return what to write into a file of a format: grey if source and pixels are grey, 8 bits where it holds no more.

    With a grey colour profile, which cannot describe colours, colours from an edit are written as luma.

    Raises:
        Defect: the format cannot hold the transparency or the size.
    """
    height, width = pixels.shape[:2]
    if max(height, width) > kind.largest_side:
        raise Defect(
            f"{kind.name} holds at most {kind.largest_side} pixels a side", "write PNG or TIFF instead"
        )
    if not kind.holds_16_bit:
        pixels, alpha = eight_bits(pixels), None if alpha is None else eight_bits(alpha)
    if alpha is not None and not kind.holds_alpha:
        if alpha.min() < np.iinfo(alpha.dtype).max:
            raise Defect(
                f"the photo has transparent parts, which {kind.name} cannot hold", "write PNG, WEBP or TIFF"
            )
        alpha = None
    if encoding.grey and is_grey(pixels):
        return Picture(np.ascontiguousarray(pixels[..., 0]), alpha)
    if encoding.grey and space_of(profile) == "GRAY":
        return Picture(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), alpha)
    return Picture(np.ascontiguousarray(pixels), alpha)


def to_pillow(picture: Picture) -> Image.Image:
    """Return a picture as a Pillow image of mode L, LA, RGB or RGBA (or I;16 for 16-bit grey)."""
    if picture.alpha is None:
        return Image.fromarray(picture.colours)
    if picture.grey:
        return Image.fromarray(np.dstack([picture.colours, picture.alpha]))
    image = Image.fromarray(picture.colours)
    image.putalpha(Image.fromarray(picture.alpha))
    return image


def linear_light() -> Defect:
    """Return the defect of a file whose values are proportional to light."""
    return Defect(
        "the file stores linear light, which the models were not made for",
        "convert it to sRGB (or another profile with a tone curve) in an image editor first",
    )


def space_of(profile: bytes | None) -> str | None:
    """Return the colour space of a profile, e.g. ``RGB``, ``GRAY`` or ``CMYK``; None without a profile."""
    if profile is None or len(profile) < 128 or profile[36:40] != b"acsp":
        return None
    return profile[16:20].decode("ascii", "replace").strip()


def is_linear(profile: bytes | None) -> bool:
    """Return whether a matrix or grey profile has no tone curve, so that values are linear light."""
    if profile is None or space_of(profile) not in ("RGB", "GRAY"):
        return False
    try:
        (count,) = struct.unpack_from(">I", profile, 128)
        for number in range(min(count, 100)):
            signature, at, length = struct.unpack_from(">4sII", profile, 132 + 12 * number)
            if signature == b"A2B0":
                return False
            if signature in (b"gTRC", b"kTRC"):
                return _is_identity(profile[at : at + length])
    except struct.error:
        return False
    return False


def _is_identity(curve: bytes) -> bool:
    kind = curve[:4]
    if kind == b"curv":
        (count,) = struct.unpack_from(">I", curve, 8)
        if count <= 1:
            return bool(count == 0 or struct.unpack_from(">H", curve, 12)[0] == 256)
        points = struct.unpack_from(f">{count}H", curve, 12)
        return all(abs(point - 65535 * index / (count - 1)) < 66 for index, point in enumerate(points))
    if kind == b"para":
        function, gamma = struct.unpack_from(">HxxI", curve, 8)
        return bool(function == 0 and gamma == 65536)
    return False


def cmyk_to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return a CMYK picture as sRGB, by its own profile with perceptual intent.

    Raises:
        Defect: the file has no CMYK profile, so its colours are unknown, or the profile cannot be used.
    """
    step = "convert it to RGB in an image editor first"
    if profile is None or space_of(profile) != "CMYK":
        raise Defect("the file is CMYK without a CMYK colour profile, so its colours are unknown", step)
    try:
        converted = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        raise Defect(f"the file is CMYK and its colour profile cannot be used ({error})", step) from error
    if converted is None:
        raise Defect("the file is CMYK and its colour profile cannot be used", step)
    return converted


def srgb_profile() -> bytes:
    """Return an sRGB profile with a fixed date, so that its bytes are always the same."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + profile[36:]
