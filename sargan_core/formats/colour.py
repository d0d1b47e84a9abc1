"""ICC colour profiles: which colour space they describe, whether it is linear light, and CMYK to sRGB.

Source: ICC.1:2022 (profile version 4.4), sections 7.2, 7.3, 10.6 and 10.18.
"""

from __future__ import annotations

import io
import struct

from PIL import Image, ImageCms

from sargan_core.formats.records import Defect


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
    """Return whether a matrix or grey profile has the identity as tone curve: values are linear light."""
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
        Defect: the file has no CMYK profile, so that nobody can know its colours, or the profile is unusable.
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
    """Return an sRGB profile; the same bytes at any time."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + profile[36:]
