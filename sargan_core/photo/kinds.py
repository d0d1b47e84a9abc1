"""The file formats, what a file holds besides its pixels, and what can be wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, TypeAlias

import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]


class Defect(Exception):
    """A file cannot be used: what is wrong, and what the user can do. The caller adds the file's name."""

    def __init__(self, problem: str, step: str) -> None:
        super().__init__(f"{problem}; {step}")
        self.problem = problem
        self.step = step


def cut_off(kind: str) -> Defect:
    """Return the defect of a file that ends before its picture does."""
    return Defect(f"the {kind} file is cut off before its end", "get the complete file again")


def damaged(kind: str, detail: str = "") -> Defect:
    """Return the defect of a file whose structure or checksum is wrong."""
    return Defect(f"the {kind} file is damaged{f' ({detail})' if detail else ''}", "get an undamaged copy")


@dataclass(frozen=True)
class Encoding:
    """How a file stores its pixels, as far as the result should be stored alike.

    Attributes:
        grey: the file stores one colour channel.
        quantization: JPEG quantisation tables of 64 values in Pillow's order: luma, chroma (and a third if
            Cb and Cr differ).
        subsampling: JPEG chroma subsampling as Pillow counts it: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0.
        progressive: progressive JPEG.
        keep_rgb: JPEG that stores RGB instead of luma and chroma.
        lossless: stored without loss; decides between lossless and lossy WebP.
        compressed: TIFF data are compressed.
        restart: MCUs between the restart markers of a JPEG; 0 = it has none.
        premultiplied: TIFF alpha is associated (the colours are multiplied by it).
    """

    grey: bool = False
    quantization: tuple[tuple[int, ...], ...] | None = None
    subsampling: int = 0
    progressive: bool = False
    keep_rgb: bool = False
    restart: int = 0
    lossless: bool = True
    compressed: bool = True
    premultiplied: bool = False


@dataclass(frozen=True)
class Metadata:
    """What a file says about its picture.

    Attributes:
        icc_profile: the ICC colour profile.
        exif: EXIF block (a TIFF structure, without the ``Exif`` prefix), orientation 1, no thumbnail.
        xmp: XMP packet.
        dpi: horizontal and vertical pixels per inch, None if not known.
        iptc: Photoshop image resources (JPEG APP13 without its prefix, TIFF tag 34377), which hold IPTC-IIM.
        aspect: horizontal and vertical density without a unit: only the ratio counts. None where ``dpi`` is known.
        per_cm: the file gives its resolution per centimetre, not per inch.
        comments: comments of a JPEG or GIF.
        segments: JPEG application segments of other programs, as (marker, payload).
        colour_chunks: PNG chunks about colour (gAMA, cHRM, sRGB, cICP, mDCV, cLLI) as (type, data).
        text_chunks: PNG text chunks except XMP, as (type, data).
        other_chunks: PNG chunks that stay true for an edited picture, as (type, data).
    """

    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    iptc: bytes | None = None
    aspect: tuple[float, float] | None = None
    per_cm: bool = False
    comments: tuple[bytes, ...] = ()
    segments: tuple[tuple[int, bytes], ...] = ()
    colour_chunks: tuple[tuple[bytes, bytes], ...] = ()
    text_chunks: tuple[tuple[bytes, bytes], ...] = ()
    other_chunks: tuple[tuple[bytes, bytes], ...] = ()

    def stripped(self) -> Metadata:
        """Return only what the picture's look depends on: colour profile, colour chunks and resolution."""
        return Metadata(
            icc_profile=self.icc_profile,
            dpi=self.dpi,
            aspect=self.aspect,
            per_cm=self.per_cm,
            colour_chunks=self.colour_chunks,
        )


@dataclass(frozen=True)
class Decoded:
    """A decoded file.

    Attributes:
        pixels: (H, W, 3) uint8 or uint16, RGB, upright, C-contiguous, writable.
        alpha: (H, W) of the same dtype, or None.
        encoding: how the file stored the pixels.
        metadata: what the file says about them.
        notes: sentences for the user about what the result will not keep.
    """

    pixels: Array
    alpha: Array | None
    encoding: Encoding = field(default_factory=Encoding)
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kind:
    """One file format.

    Attributes:
        name: the name used throughout, e.g. ``JPEG``.
        suffixes: file name endings; the first is the usual one.
        holds_provenance: it can store XMP, and so the mark of an edited photo.
        holds_alpha: it can store transparency.
        holds_16_bit: it can store 16 bits per channel.
        largest_side: largest width or height in pixels.
    """

    name: str
    suffixes: tuple[str, ...]
    holds_provenance: bool = True
    holds_alpha: bool = True
    holds_16_bit: bool = False
    largest_side: int = 2**31 - 1


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), holds_alpha=False, largest_side=65500),
        Kind("PNG", (".png", ".apng"), holds_16_bit=True),
        Kind("WEBP", (".webp",), largest_side=16383),
        Kind("TIFF", (".tif", ".tiff"), holds_16_bit=True),
        Kind("BMP", (".bmp", ".dib"), holds_provenance=False),
        Kind("AVIF", (".avif",), largest_side=32768),  # limit of decoders
        Kind("GIF", (".gif",), holds_provenance=False, largest_side=65535),
    )
}

LISTED = ", ".join(KINDS)
# Formats that are only read, because there is no free encoder. Results are written as ``WRITTEN_AS``.
READ_ONLY: dict[str, Kind] = {"HEIC": Kind("HEIC", (".heic", ".heif", ".hif"), holds_16_bit=True)}
WRITTEN_AS = KINDS["JPEG"]
READABLE = ", ".join((*KINDS, *READ_ONLY))
READ_ENDINGS = frozenset(
    ending for kind in (*KINDS.values(), *READ_ONLY.values()) for ending in kind.suffixes
)

# Offset, first bytes and description of formats that are not supported, so that the message can name them.
_FOREIGN: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF", "a PDF document"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (4, b"JXL ", "a JPEG XL image"),
    (4, b"jP  ", "a JPEG 2000 image"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (0, b"\x00\x00\x01\x00", "an icon"),
    (0, b"v/1\x01", "an OpenEXR image, which is linear light"),
    (0, b"#?RADIANCE", "a Radiance HDR image, which is linear light"),
    (0, b"P5", "a PNM image"),
    (0, b"P6", "a PNM image"),
    (0, b"gimp xcf", "a GIMP document"),
    (0, b"<svg", "an SVG drawing"),
    (0, b"FUJIFILMCCD-RAW", "a camera raw file"),
    (8, b"CR\x02\x00", "a camera raw file"),
    (4, b"ftypcrx", "a camera raw file"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (4, b"ftypqt", "a video"),
    (4, b"ftypisom", "a video"),
    (4, b"ftypmp4", "a video"),
)

_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_TIFF_MAGIC = {b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"}


def kind_of_bytes(data: bytes) -> str:
    """Return the name of the format that a file's first bytes stand for.

    Raises:
        Defect: empty, not an image, or a kind of image that is not supported.
    """
    if not data:
        raise Defect("the file is empty (0 bytes)", "get the file again")
    for offset, magic, described in _FOREIGN:
        if data[offset : offset + len(magic)] == magic:
            raise Defect(f"{described} is not supported", f"convert it to one of {LISTED} first")
    if data[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:4] in _TIFF_MAGIC:
        return "TIFF"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if data[4:8] == b"ftyp":
        return _kind_of_brands(data)
    if data[:2] == b"BM" and len(data) > 14:
        return "BMP"
    raise Defect("this is not an image that can be read", f"give a photo as {READABLE}")


def _kind_of_brands(data: bytes) -> str:
    length = int.from_bytes(data[:4], "big")
    brands = {data[8:12]} | {data[at : at + 4] for at in range(16, min(length, 256), 4)}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    if brands & _HEIC_BRANDS:
        return "HEIC"
    raise Defect("this is not an image that can be read", f"give a photo as {READABLE}")


def kind_of_path(path: Path) -> str | None:
    """Return the name of the format that a file name asks for, or None if its ending says nothing."""
    suffix = path.suffix.lower()
    for kind in KINDS.values():
        if suffix in kind.suffixes:
            return kind.name
    return None


def is_read_only(path: PurePath) -> bool:
    """Return whether the ending of a file name stands for a format that is only read."""
    return any(path.suffix.lower() in kind.suffixes for kind in READ_ONLY.values())


def written_ending(path: PurePath) -> str:
    """Return the file name ending of a result: the photo's own, or ``.jpg`` for formats that are only read."""
    return WRITTEN_AS.suffixes[0] if is_read_only(path) else path.suffix


def written_kind(kind: str) -> str:
    """Return the format that a photo is written in by default: its own, or JPEG for formats that are only read."""
    return WRITTEN_AS.name if kind in READ_ONLY else kind


def holds_provenance(kind: str) -> bool:
    """Return whether files of this format can store the provenance mark (BMP and GIF cannot)."""
    return KINDS[kind].holds_provenance
