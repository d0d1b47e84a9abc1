"""Files that hold a photo in an unusual way."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from odd_case import UNREADABLE, Case, plain, portrait
from photo_samples import cmyk_profile, pillow, png, png_chunk, rgb_profile, tiff
from PIL import Image

ORIENTATION = 0x0112
# Files of encoders that Python does not have: the portrait through ``jpegtran -arithmetic``.
KEPT = Path(__file__).with_name("files")

# Primaries of the profiles (D50, s15Fixed16), red, green and blue.
P3_PRIMARIES = ((33760, 15807, -69), (19134, 45360, 2743), (10299, 4369, 51382))
ADOBE_PRIMARIES = ((39972, 20389, 1280), (13453, 41005, 3990), (9767, 4142, 48787))


def with_primaries(profile: bytes, primaries: tuple[tuple[int, ...], ...]) -> bytes:
    """A matrix profile with other primaries in the places of its own."""
    (count,) = struct.unpack_from(">I", profile, 128)
    changed = bytearray(profile)
    for number in range(count):
        name, at, _ = struct.unpack_from(">4sII", profile, 132 + 12 * number)
        if name in (b"rXYZ", b"gXYZ", b"bXYZ"):
            struct.pack_into(">iii", changed, at + 8, *primaries[b"rgb".index(name[:1])])
    return bytes(changed)


DISPLAY_P3 = with_primaries(rgb_profile(2.2), P3_PRIMARIES)
ADOBE_RGB = with_primaries(rgb_profile(563 / 256), ADOBE_PRIMARIES)


def stored_as(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels as a camera that was held that way stores them."""
    turn = {
        1: lambda p: p,
        2: np.fliplr,
        3: lambda p: np.rot90(p, 2),
        4: np.flipud,
        5: lambda p: np.swapaxes(p, 0, 1),
        6: lambda p: np.rot90(p, 1),
        7: lambda p: np.rot90(np.swapaxes(p, 0, 1), 2),
        8: lambda p: np.rot90(p, 3),
    }
    return np.ascontiguousarray(turn[orientation](pixels))


def exif(orientation: int = 1, **tags: object) -> bytes:
    block = Image.Exif()
    block[ORIENTATION] = orientation
    block[0x010F] = str(tags.get("make", "Camera"))
    return block.tobytes()


def interlaced_png(samples: np.ndarray, colour_type: int, bits: int) -> bytes:
    """An Adam7 PNG by hand; samples (h, w, C) of 8 or 16 bits."""
    height, width = samples.shape[:2]
    raw = b""
    for left, top, across, down in (
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
    ):  # fmt: skip
        rows = samples[top::down, left::across]
        rows = rows.astype(">u2") if bits == 16 else rows
        if rows.size:
            raw += b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, content) for kind, content in chunks)


def xmp_packet(inner: bytes) -> bytes:
    rdf = b"http://www.w3.org/1999/02/22-rdf-syntax-ns#"
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="' + rdf + b'"><rdf:Description>'
        + inner + b"</rdf:Description></rdf:RDF></x:xmpmeta>"
    )  # fmt: skip


def png_with_xmp(packet: bytes) -> bytes:
    chunk = png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(packet))
    return png(portrait(), 2, 8, chunk)


def readable() -> Iterator[Case]:
    """Files that hold a photo in an unusual way."""
    face = portrait()
    deep = face.astype(np.uint16) * 257
    for orientation in range(1, 9):
        data = plain("JPEG", stored_as(face, orientation), exif=exif(orientation))
        yield Case(f"orientation-{orientation}.jpg", data, kind="JPEG")
    inks = Image.fromarray(255 - face).convert("RGB")
    cmyk = Image.merge("CMYK", (*inks.split(), Image.new("L", inks.size, 0)))
    yield Case("cmyk.jpg", plain("JPEG", cmyk, icc_profile=cmyk_profile()), kind="JPEG")
    yield Case("ycck.jpg", as_ycck(plain("JPEG", cmyk, icc_profile=cmyk_profile())), None, kind="JPEG")
    yield Case("cmyk-no-profile.jpg", plain("JPEG", cmyk), UNREADABLE, "CMYK")
    yield Case("progressive.jpg", plain("JPEG", progressive=True), kind="JPEG")
    for name in ("arithmetic.jpg", "arithmetic-progressive.jpg"):
        yield Case(name, (KEPT / name).read_bytes(), kind="JPEG")
    yield Case("grey.jpg", plain("JPEG", face[..., 1]), kind="JPEG")
    yield Case("display-p3.jpg", plain("JPEG", icc_profile=DISPLAY_P3), kind="JPEG")
    yield Case("adobe-rgb.tif", plain("TIFF", icc_profile=ADOBE_RGB), kind="TIFF")
    yield Case("rgb16.png", png(deep, 2, 16), kind="PNG")
    yield Case(
        "rgba16-interlaced.png", interlaced_png(np.dstack([deep, deep[..., 0] | 1]), 6, 16), kind="PNG"
    )
    yield Case("rgb8-interlaced.png", interlaced_png(face, 2, 8), kind="PNG")
    yield Case("grey16.png", png(deep[..., 1], 0, 16), kind="PNG")
    for bits in (1, 2, 4):
        yield Case(f"grey{bits}.png", png(face[..., 1] >> (8 - bits), 0, bits), None, kind="PNG")
    indexed = Image.fromarray(face).quantize(200)
    yield Case("palette-transparent.png", pillow(indexed, "PNG", transparency=bytes(range(200))), kind="PNG")
    yield Case("rgb16.tif", tiff(deep), kind="TIFF")
    yield Case("rgb16-deflate.tif", tiff(deep, compression="zlib"), kind="TIFF")
    yield Case("float.tif", tiff(face.astype(np.float32) / 255), UNREADABLE, "float")
    yield Case("pages.tif", pages(face), kind="TIFF")
    turned = [face, 255 - face]
    yield Case("animated.gif", animated("GIF", turned), kind="GIF")
    yield Case("animated.webp", animated("WEBP", turned), kind="WEBP")
    yield Case("animated.png", animated("PNG", turned), kind="PNG")
    yield Case("photo.avif", plain("AVIF"), kind="AVIF")
    yield Case("photo.bmp", plain("BMP"), kind="BMP")
    yield Case("wrong-extension.png", plain("JPEG"), kind="JPEG")
    yield Case("no-extension", plain("PNG"), kind="PNG")
    yield Case("broken-exif.jpg", plain("JPEG", exif=exif()[:20]), kind="JPEG")
    loop = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 0x8769, 4, 1, 8) + struct.pack("<I", 8)
    yield Case("looping-exif.jpg", plain("JPEG", exif=loop), kind="JPEG")
    yield Case(
        "huge-comment.png", png(face, 2, 8, png_chunk(b"tEXt", b"Comment\0" + b"x" * 4_000_000)), kind="PNG"
    )
    yield Case("xmp-of-a-million-parts.png", png_with_xmp(xmp_packet(b"<a/>" * 10**6)), kind="PNG")
    yield Case("xmp-deep.png", png_with_xmp(xmp_packet(b"<a>" * 10**5 + b"</a>" * 10**5)), kind="PNG")
    xmps = [png_chunk(b"zTXt", b"XML:com.adobe.xmp\0\0" + zlib.compress(bytes(70_000_000)))] * 50
    yield Case("xmp-zipped-often.png", png(face, 2, 8, *xmps), kind="PNG")
    yield Case(
        "trailing-video.jpg", plain("JPEG") + b"\0\0\0\x18ftypmp42" + b"\xff\xda\0\2" * 9999, kind="JPEG"
    )


def as_ycck(data: bytes) -> bytes:
    """A four-colour JPEG whose Adobe segment says that it is YCCK."""
    at = data.find(b"Adobe\0")
    return data if at < 0 else data[: at + 11] + b"\x02" + data[at + 12 :]


def pages(face: np.ndarray) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, np.stack([face, 255 - face, face]), photometric="rgb", metadata=None)
    return file.getvalue()


def animated(kind: str, frames: list[np.ndarray]) -> bytes:
    file = io.BytesIO()
    first, *rest = [Image.fromarray(frame) for frame in frames]
    options = {"lossless": True} if kind == "WEBP" else {}
    first.save(file, kind, save_all=True, append_images=rest, duration=100, **options)
    return file.getvalue()
