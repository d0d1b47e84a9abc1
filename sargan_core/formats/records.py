"""What an image file says besides its pixels, and what can be wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]


class Defect(Exception):
    """A file cannot be used: what is wrong, and what the person can do; the name is added by the caller."""

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
    """How a file stores its pixels, as far as a written file should resemble it.

    Attributes:
        grey: the file stores one colour channel.
        quantization: JPEG quantisation tables of 64 values in Pillow's order: luma, chroma (and a third if
            Cb and Cr differ).
        subsampling: JPEG chroma subsampling as Pillow counts it: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0.
        progressive: progressive JPEG.
        keep_rgb: JPEG that stores RGB instead of luma and chroma.
        lossless: stored without loss; decides between lossless and lossy WebP.
        compressed: TIFF data are compressed.
        premultiplied: TIFF alpha is associated (the colours are multiplied by it).
    """

    grey: bool = False
    quantization: tuple[tuple[int, ...], ...] | None = None
    subsampling: int = 0
    progressive: bool = False
    keep_rgb: bool = False
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
        dpi: horizontal and vertical pixels per inch.
        iptc: Photoshop image resources (JPEG APP13 without its prefix, TIFF tag 34377), which hold IPTC-IIM.
        comment: JPEG comment.
        colour_chunks: PNG chunks about colour (gAMA, cHRM, sRGB, cICP, mDCV, cLLI) as (type, data).
        text_chunks: PNG text chunks except XMP, as (type, data).
    """

    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    iptc: bytes | None = None
    comment: bytes | None = None
    colour_chunks: tuple[tuple[bytes, bytes], ...] = ()
    text_chunks: tuple[tuple[bytes, bytes], ...] = ()

    def stripped(self) -> Metadata:
        """Return only what the picture's look depends on: colour profile, colour chunks and resolution."""
        return Metadata(icc_profile=self.icc_profile, dpi=self.dpi, colour_chunks=self.colour_chunks)


@dataclass(frozen=True)
class Decoded:
    """A decoded file.

    Attributes:
        pixels: (H, W, 3) uint8 or uint16, RGB, upright, C-contiguous, writable.
        alpha: (H, W) of the same dtype, or None.
        encoding: how the file stored the pixels.
        metadata: what the file says about them.
        notes: sentences for the person, about what the file holds and a written file will not.
    """

    pixels: Array
    alpha: Array | None
    encoding: Encoding = field(default_factory=Encoding)
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()
