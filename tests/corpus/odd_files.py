"""A folder of odd files: what people, cameras, editors and attackers hand to a photo tool.

``make_corpus`` writes every case and says what must come of it. Whatever can hold a picture holds the same small
portrait, so that a right result is an edited face.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import tifffile
from photo_samples import cmyk_profile, pillow, png, png_chunk, rgb_profile, tiff
from PIL import Image

PORTRAIT = Path(__file__).parents[2] / "examples" / "portrait.jpg"
SIDE = 176
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF", "GIF")
SUFFIX = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "TIFF": ".tif",
    "BMP": ".bmp",
    "AVIF": ".avif",
    "GIF": ".gif",
}
DONE, NO_FACE, UNREADABLE = "done", "no_face", "unreadable"
ORIENTATION = 0x0112


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


@dataclass(frozen=True)
class Case:
    """One file and what must come of it.

    Attributes:
        name: file name; bytes where it is no text.
        data: content, or None where the maker put something else there.
        outcome: how an edit of it must end; None = either a photo or a refusal is right.
        words: what the message must contain.
        kind: format that is read from it.
    """

    name: str | bytes
    data: bytes | None
    outcome: str | None = DONE
    words: str = ""
    kind: str = ""


def portrait(side: int = SIDE) -> np.ndarray:
    """The example portrait as (side, side, 3) uint8."""
    return np.asarray(Image.open(PORTRAIT).convert("RGB").resize((side, side), Image.Resampling.LANCZOS))


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


def plain(kind: str, pixels: np.ndarray | None = None, **options: object) -> bytes:
    """The portrait in one format."""
    if kind == "GIF":
        return pillow(
            Image.fromarray(portrait() if pixels is None else pixels).quantize(255), "GIF", **options
        )
    quality = {"quality": 92} if kind in ("JPEG", "WEBP", "AVIF") else {}
    return pillow(portrait() if pixels is None else pixels, kind, **quality, **options)


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


def huge_png(width: int, height: int, bits: int = 8, before: bytes = b"") -> bytes:
    """A PNG of a few bytes that announces any number of pixels."""
    header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    parts = (
        before,
        png_chunk(b"IHDR", header),
        png_chunk(b"IDAT", zlib.compress(bytes(99))),
        png_chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def zipped_tiff(width: int, height: int, strip: bytes, *more: tuple[int, int, int]) -> bytes:
    """A grey TIFF of one deflated strip, whatever that inflates to; ``more`` are (tag, type, value)."""
    tags = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, 8),
        (259, 3, 8),
        (262, 3, 1),
        (277, 3, 1),
        (278, 4, height),
        *more,
    ]
    start = 8 + 2 + 12 * (len(tags) + 2) + 4
    tags += [(273, 4, start), (279, 4, len(strip))]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in sorted(tags))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + strip


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


def faceless() -> Iterator[Case]:
    """Photos of extreme shape, which hold no face."""
    for width, height in ((1, 1), (2, 3), (20, 20), (30000, 8), (8, 30000), (40000, 1)):
        kind = FORMATS[(width + height) % 5]
        kind = "PNG" if kind == "WEBP" else kind
        data = pillow(np.full((height, width, 3), 90, np.uint8), kind)
        yield Case(f"{width}x{height}{SUFFIX[kind]}", data, NO_FACE, "no face", kind)
    yield Case(
        "16383x2.webp", pillow(np.full((2, 16383, 3), 90, np.uint8), "WEBP"), NO_FACE, "no face", "WEBP"
    )
    clear = np.zeros((40, 40, 4), np.uint8)
    yield Case("all-transparent.png", pillow(clear, "PNG"), NO_FACE, "no face", "PNG")


def broken() -> Iterator[Case]:
    """Files that end early, are damaged, or are something else."""
    for kind in FORMATS:
        data = plain(kind)
        for tenth in range(10):
            cut = data[: len(data) * tenth // 10]
            yield Case(f"cut-{tenth}{SUFFIX[kind]}", cut, UNREADABLE if tenth < 9 else None)
        for number in range(6):
            flipped = bytearray(data)
            at = 4 + (len(data) - 4) * number // 6
            flipped[at] ^= 0x55
            # What a decoder makes of it may still be a picture of a face, of noise, or nothing.
            yield Case(f"flipped-{number}{SUFFIX[kind]}", bytes(flipped), None)
    yield Case("text.jpg", b"Dear photo,\n", UNREADABLE, "not an image")
    yield Case("pdf.jpg", b"%PDF-1.7\n", UNREADABLE, "PDF")
    yield Case("heic.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", UNREADABLE, "HEIC")
    yield Case("zeros.png", bytes(5000), UNREADABLE, "not an image")


def bombs() -> Iterator[Case]:
    """Small files that announce or inflate to far more."""
    yield Case("bomb.png", huge_png(100_000, 100_000), UNREADABLE, "100000 x 100000")
    late = huge_png(60_000, 60_000, before=png_chunk(b"tEXt", b"a\0b"))
    yield Case("bomb-late-header.png", late, UNREADABLE, "header")
    small = huge_png(5, 5)
    twice = (
        small[:33] + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)) + small[33:]
    )
    yield Case("bomb-second-header.png", twice, UNREADABLE, "two headers")
    yield Case("bomb-deep.png", png_bomb(16), UNREADABLE, "more samples")
    yield Case("bomb-samples.png", png_bomb(8), NO_FACE)
    yield Case("bomb-strip.tif", zipped_tiff(5, 5, zeros()), UNREADABLE, "more samples")
    yield Case("bomb-size.tif", zipped_tiff(2**31, 2**31 - 1, b"x"), UNREADABLE, "more than the limit")
    yield Case("bomb-volume.tif", zipped_tiff(5, 5, b"x", (32997, 4, 10**8)), UNREADABLE, "volume")
    scans = pillow(np.zeros((1000, 1000, 3), np.uint8), "JPEG", progressive=True)
    last = scans.rfind(b"\xff\xda")
    yield Case("bomb-scans.jpg", scans[:-2] + scans[last:-2] * 9000 + scans[-2:], UNREADABLE, "scans")
    canvas = b"VP8L" + struct.pack("<I", 10) + b"\x2f" + struct.pack("<I", 16382 | 16382 << 14) + bytes(5)
    webp = b"RIFF" + struct.pack("<I", 4 + len(canvas)) + b"WEBP" + canvas
    yield Case("bomb.webp", webp, UNREADABLE, "16383 x 16383")
    gif = b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\0\0\0;"
    yield Case("bomb.gif", gif, UNREADABLE, "65535 x 65535")
    bmp = b"BM" + struct.pack("<IHHIIiiHHIIiiII", 60, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0)
    yield Case("bomb.bmp", bmp + bytes(6), UNREADABLE, "60000 x 60000")


@cache
def zeros() -> bytes:
    """300 MB of nothing, deflated."""
    return zlib.compress(bytes(300_000_000), 1)


def png_bomb(bits: int) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 5, 5, bits, 2, 0, 0, 0))
    idat = png_chunk(b"IDAT", zeros())
    return b"\x89PNG\r\n\x1a\n" + header + idat + png_chunk(b"IEND", b"")


def named() -> Iterator[Case]:
    """Good photos of names that shells, terminals and JSON stumble over."""
    data = plain("PNG", portrait(120))
    for name in (
        "new\nline.png",
        "tab\tquote'\".png",
        "smile-\N{GRINNING FACE}.png",
        "[red]bold[bold].png",
        " .png",
    ):
        yield Case(name, data, kind="PNG")
    yield Case("<script>alert(1)<\u29f8script>.png", data, kind="PNG")
    yield Case(b"not-utf8-\xff\xfe.png", data, kind="PNG")
    yield Case("escape-\x1b[31mred.png", data, kind="PNG")
    yield Case("n" * 200 + ".png", data, kind="PNG")
    yield Case("%d-%s-{0}.png", data, kind="PNG")


def make_corpus(folder: Path) -> list[Case]:
    """Write every case into ``folder``, with a fifo, a folder and links among them; return the cases."""
    cases = [*readable(), *faceless(), *broken(), *bombs(), *named()]
    for case in cases:
        (folder / os.fsdecode(case.name)).write_bytes(case.data or b"")
    os.mkfifo(folder / "fifo.jpg")
    (folder / "folder.jpg").mkdir()
    (folder / "link-to-nothing.jpg").symlink_to("nowhere.jpg")
    (folder / "link-to-itself.jpg").symlink_to("link-to-itself.jpg")
    (folder / "link-to-photo.jpg").symlink_to("photo.bmp")
    (folder / "endless.jpg").symlink_to("/dev/zero")
    special = [
        Case("fifo.jpg", None, UNREADABLE, "pipe"),
        Case("folder.jpg", None, UNREADABLE, "folder"),
        Case("link-to-nothing.jpg", None, UNREADABLE, "link to nothing"),
        Case("link-to-itself.jpg", None, UNREADABLE, "cannot be read"),
        Case("link-to-photo.jpg", None, DONE, kind="BMP"),
        Case("endless.jpg", None, UNREADABLE, "device"),
        Case("missing.jpg", None, UNREADABLE, "no such file"),
    ]
    return [*cases, *special]
