"""TIFF files.

tifffile reads and writes the samples exactly as stored. Compressions it has no codec for go through Pillow
(8 bits and less) or OpenCV (16 bits), both built on libtiff.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import zlib
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from sargan_core.photo.kinds import Array, Decoded, Defect, Encoding, Metadata, cut_off, damaged
from sargan_core.photo.metadata import (
    EXIF_IFD,
    GPS_IFD,
    INTEROPERABILITY,
    ORIENTATION,
    RESOURCES_NOTE,
    Block,
    not_copied,
    storage_notes,
    tidy,
    without_pictures,
)
from sargan_core.photo.planes import (
    Picture,
    check_size,
    cmyk_to_srgb,
    from_array,
    from_pillow,
    is_linear,
    linear_light,
    srgb_profile,
)
from sargan_core.photo.tiff_tags import (
    CREDENTIALS,
    ICC,
    XMP,
    ExtraTag,
    block_tags,
    exif_of,
    has_other_pictures,
    plain_tags,
    resources_of,
    tag_bytes,
)


def silence() -> None:
    """Stop libtiff from printing errors and warnings (``TIFFSetErrorHandler(3TIFF)``).

    Where Pillow is linked in another way (Windows), this does nothing.
    """
    extension = find_spec("PIL._imaging")
    if extension is None or extension.origin is None:
        return
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(extension.origin)
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            switch = getattr(library, name)
            switch.argtypes, switch.restype = [ctypes.c_void_p], ctypes.c_void_p
            switch(None)


_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_GREYS = (_WHITE_IS_ZERO, _BLACK_IS_ZERO)
_CFA, _LINEAR_RAW = 32803, 34892
_NONE, _DEFLATES = 1, (8, 32946)
_DNG_VERSION = 50706
_INCH, _CENTIMETRE = 2, 3


# tifffile logs oddities; without a handler they would be printed on stderr.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


silence()


# Deflate expands by this factor at most.
_DEFLATE_RATIO = 1032
_BLOCK = 2**20
_SPARE = 64 * 2**20  # bytes that a strip may hold beyond its samples before it counts as damaged
_STEP = "convert it to an 8- or 16-bit RGB or grey TIFF first"


def decode(data: bytes, max_pixels: int) -> Decoded:
    """Decode the first page of a TIFF of 1 to 16 bits per channel; see ``Decoded`` for shapes.

    Raises:
        Defect: cut off, damaged, too large, camera raw, floating point, CMYK without profile, or another
            colour model.
    """
    # Imported here, because the import takes as long as decoding a JPEG, which does not need it.
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages.first
            pages = len(file.pages)
            return _decode_page(data, page, pages, max_pixels)
    except (tifffile.TiffFileError, IndexError) as error:
        raise damaged("TIFF", "or cut off before its end") from error


def _decode_page(data: bytes, page: Any, pages: int, max_pixels: int) -> Decoded:
    check_size(page.imagewidth, page.imagelength, max_pixels)
    if page.imagedepth != 1:
        raise Defect("a TIFF of a volume is not supported", "save one of its slices")
    _check_kind(page)
    if any(
        start + count > len(data) for start, count in zip(page.dataoffsets, page.databytecounts, strict=False)
    ):
        raise cut_off("TIFF")
    profile = tag_bytes(data, page, ICC)
    if is_linear(profile):
        raise linear_light()
    orientation = int(page.tags[ORIENTATION].value) if ORIENTATION in page.tags else 1
    exif, lost = exif_of(data, page)
    kept = tidy(
        exif,
        tag_bytes(data, page, XMP),
        orientation=orientation if 1 <= orientation <= 8 else 1,
        credentials=CREDENTIALS in page.tags,
    )
    photometric = int(page.photometric)
    notes = [*kept.notes, *not_copied("TIFF tags", lost)]
    notes += storage_notes(page.bitspersample, palette=photometric == _PALETTE)
    if pages > 1:
        notes.append(f"the file has {pages} pages; only the first is kept")
    if has_other_pictures(page):
        notes.append("the file holds further pictures beside its first (SubIFDs); only the first is kept")
    encoding = Encoding(grey=photometric in _GREYS, compressed=int(page.compression) != _NONE)
    alpha: Array | None
    if photometric == _CMYK:
        pixels, alpha, _ = from_pillow(cmyk_to_srgb(_through_pillow(data), profile), 1)
        profile = srgb_profile()
        notes.append("the file is CMYK; it is converted to sRGB")
    elif (stored := _samples(data, page)) is not None:
        pixels, alpha = from_array(stored, kept.orientation)
        if photometric == _WHITE_IS_ZERO:
            np.subtract(np.iinfo(pixels.dtype).max, pixels, out=pixels)
        encoding = replace(encoding, premultiplied=1 in [int(kind) for kind in page.extrasamples])
    else:
        pixels, alpha, _ = from_pillow(_through_pillow(data), 1)
    resources = without_pictures(resources_of(data, page))
    if resources is None:
        notes.append(RESOURCES_NOTE)
    metadata = Metadata(
        icc_profile=profile,
        exif=kept.exif,
        xmp=kept.xmp,
        dpi=_resolution(page),
        aspect=_aspect(page),
        per_cm=int(page.resolutionunit) == _CENTIMETRE,
        iptc=resources or None,
    )
    return Decoded(pixels, alpha, encoding, metadata, tuple(notes))


def _check_kind(page: Any) -> None:
    photometric = int(page.photometric)
    if _DNG_VERSION in page.tags or photometric in (_CFA, _LINEAR_RAW) or page.subfiletype & 1:
        raise Defect("a camera raw file is not supported", "develop it to TIFF or JPEG first")
    if photometric not in (*_GREYS, _RGB, _PALETTE, _CMYK, _YCBCR):
        raise Defect(f"a TIFF of the colour model {page.photometric.name} is not supported", _STEP)
    if page.dtype is None or page.dtype.kind not in "ub" or page.bitspersample > 16:
        described = page.dtype.name if page.dtype is not None else f"{page.bitspersample}-bit"
        hint = " (often linear light)" if described.startswith("float") else ""
        raise Defect(f"a TIFF with {described} samples{hint} is not supported", _STEP)
    if page.bitspersample in range(9, 16) or (
        page.bitspersample == 16 and photometric in (_CMYK, _PALETTE, _YCBCR)
    ):
        model = "CMYK" if photometric == _CMYK else page.photometric.name
        raise Defect(f"a TIFF of {page.bitspersample}-bit {model} is not supported", _STEP)
    colours = 3 if photometric == _RGB else 1
    if photometric in (*_GREYS, _RGB) and page.samplesperpixel not in (
        colours,
        colours + 1,
    ):
        raise Defect(f"a TIFF of {page.samplesperpixel} channels is not supported", _STEP)


def _samples(data: bytes, page: Any) -> Array | None:
    """Return the stored samples (h, w) or (h, w, C) in RGB order, or None if Pillow has to read the file."""
    if page.bitspersample not in (8, 16) or int(page.photometric) not in (*_GREYS, _RGB):
        return None
    if int(page.compression) == _NONE or int(page.compression) in _DEFLATES:
        if int(page.compression) in _DEFLATES:
            _check_inflation(data, page)
        stored: Array = page.asarray()
        if int(page.planarconfig) == 2 and stored.ndim == 3:
            stored = np.moveaxis(stored, 0, -1)
        return stored.reshape(page.imagelength, page.imagewidth, -1)
    if page.bitspersample == 8:
        return None
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    finally:
        cv2.utils.logging.setLogLevel(level)
    channels = page.samplesperpixel
    if (
        decoded is None
        or decoded.dtype != np.uint16
        or decoded.size != page.imagewidth * page.imagelength * channels
    ):
        name = page.compression.name
        raise Defect(
            f"the 16-bit TIFF (compression {name}) is damaged or of a kind that cannot be read", _STEP
        )
    if channels < 3:
        return np.asarray(decoded)
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGRA2RGBA if channels == 4 else cv2.COLOR_BGR2RGB))


def _check_inflation(data: bytes, page: Any) -> None:
    """Refuse strips and tiles that inflate to far more than their pixels: tifffile would keep all of it."""
    most = int(np.prod(page.chunks)) * page.dtype.itemsize + _SPARE
    for start, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        if not _inflates_to(data[start : start + count], most):
            raise damaged("TIFF", "more samples than pixels")


def _inflates_to(data: bytes, most: int) -> bool:
    """Return whether zlib data inflate to at most ``most`` bytes, without keeping them; True for broken data."""
    if len(data) * _DEFLATE_RATIO <= most:
        return True
    engine, size = zlib.decompressobj(), 0
    try:
        while data and size <= most:
            size += len(engine.decompress(data, _BLOCK))
            data = engine.unconsumed_tail
    except zlib.error:
        return True
    return size <= most


def _through_pillow(data: bytes) -> Image.Image:
    """Return the picture as Pillow reads it: upright, alpha not premultiplied."""
    image = TiffImageFile(io.BytesIO(data))
    try:
        image.load()
    except Image.DecompressionBombError as error:
        raise Defect("the compressed TIFF is too large", "save it uncompressed or as PNG first") from error
    return image


def _resolution(page: Any) -> tuple[float, float] | None:
    unit = int(page.resolutionunit)
    if unit not in (_INCH, _CENTIMETRE) or 282 not in page.tags or 283 not in page.tags:
        return None
    across, down = page.resolution
    scale = 2.54 if unit == _CENTIMETRE else 1.0
    return (across * scale, down * scale) if across > 0 and down > 0 else None


def _aspect(page: Any) -> tuple[float, float] | None:
    if int(page.resolutionunit) in (_INCH, _CENTIMETRE) or 282 not in page.tags or 283 not in page.tags:
        return None
    across, down = page.resolution
    return (across, down) if across > 0 and down > 0 and (across, down) != (1, 1) else None


def encode(picture: Picture, encoding: Encoding, metadata: Metadata) -> bytes:
    """Return the picture as a TIFF with 8 or 16 bits per channel, deflated if the source was compressed."""
    samples = picture.colours
    if picture.alpha is not None:
        samples = np.dstack([samples, picture.alpha])
    tags: list[ExtraTag] = [(ORIENTATION, "H", 1, 1, True), *block_tags(metadata.xmp, metadata.iptc)]
    exif = Image.Exif()
    if metadata.exif:
        exif.load(metadata.exif)
        tags += plain_tags(metadata.exif)
    directories = {tag: exif.get_ifd(tag) for tag in (EXIF_IFD, GPS_IFD) if exif.get_ifd(tag)}
    # tifffile would not write these tags. Placeholders with a tag one lower get the real tag and offset afterwards.
    tags += [(tag - 1, "I", 1, 0, True) for tag in directories]
    resolution, unit = metadata.aspect, 1
    if metadata.dpi is not None:
        across, down = metadata.dpi
        scale, unit = (2.54, _CENTIMETRE) if metadata.per_cm else (1.0, _INCH)
        resolution = across / scale, down / scale
    import tifffile

    file = io.BytesIO()
    tifffile.imwrite(
        file,
        samples,
        photometric="minisblack" if picture.grey else "rgb",
        planarconfig=None if samples.ndim == 2 else "contig",
        extrasamples=None
        if picture.alpha is None
        else ["assocalpha" if encoding.premultiplied else "unassalpha"],
        compression="zlib" if encoding.compressed else None,
        predictor=encoding.compressed or None,
        iccprofile=metadata.icc_profile,
        resolution=resolution,
        resolutionunit=unit if resolution is not None else None,
        extratags=tags,
        metadata=None,
        software=False,
    )
    return _with_directories(file.getvalue(), directories, exif) if directories else file.getvalue()


def _with_directories(data: bytes, directories: dict[int, dict[int, Any]], exif: Image.Exif) -> bytes:
    """Return the TIFF with EXIF and GPS directories appended and linked from their placeholders."""
    out = Block(data)
    first = out.unpack("I", 4)
    for tag, content in directories.items():
        if tag == EXIF_IFD and INTEROPERABILITY in content:
            content = {**content, INTEROPERABILITY: exif.get_ifd(INTEROPERABILITY)}
        directory = ImageFileDirectory_v2(prefix=b"II")
        for key, value in content.items():
            directory[key] = value
        out.data += bytes(len(out.data) % 2)
        entry = out.find(first, tag - 1)
        if entry is None:
            continue
        out.set_value(entry, len(out.data))
        out.set_tag(entry, tag)
        out.data += directory.tobytes(len(out.data))
    return bytes(out.data)
