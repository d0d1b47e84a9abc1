"""PNG files.

Decoders get only the chunks of the picture itself. All others are read and written here, so that gamma, text and
profiles stay as they are. Pillow reads 16-bit colour as 8 bits, so OpenCV reads it.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable

import cv2
import numpy as np
from PIL.PngImagePlugin import PngImageFile

from sargan_core.photo.files import shown
from sargan_core.photo.kinds import Array, Decoded, Defect, Encoding, Metadata, cut_off, damaged
from sargan_core.photo.metadata import PROFILE_NOTE, not_copied, storage_notes, tidy
from sargan_core.photo.planes import (
    Picture,
    check_size,
    from_array,
    from_pillow,
    is_linear,
    linear_light,
    to_pillow,
)
from sargan_core.photo.png_chunks import (
    PNG_SIGNATURE,
    check_samples,
    fitting_chunks,
    inflate,
    insert_png_chunks,
    kept_chunks,
    png_chunk,
    png_chunks,
    unsafe_chunks,
)

_COLOUR_CHUNKS = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI")
_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
_XMP_KEY = b"XML:com.adobe.xmp"
_INFLATED = {_XMP_KEY, b"Raw profile type exif", b"Raw profile type APP1", b"Raw profile type xmp"}
_GREY, _RGB, _PALETTE, _GREY_ALPHA = 0, 2, 3, 4
_INCH = 0.0254  # metres


def decode(data: bytes, max_pixels: int) -> Decoded:
    """Decode a PNG of 1 to 16 bits per channel; see ``Decoded`` for shapes.

    Palettes and transparent colours become RGB and alpha. Of an animation, the picture that still viewers
    show is read.

    Raises:
        Defect: cut off, damaged, too large, or linear light.
    """
    header = data[16:29]
    if len(header) < 13:
        raise cut_off("PNG")
    if data[8:16] != b"\0\0\0\x0dIHDR":
        raise damaged("PNG", "no header where it must be")
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    check_size(width, height, max_pixels)
    chunks: dict[bytes, list[bytes]] = {}
    for kind, content in png_chunks(data):
        chunks.setdefault(kind, []).append(content)
    # Decoders use the last header, but the first one was checked.
    if len(chunks[b"IHDR"]) > 1:
        raise damaged("PNG", "two headers")
    if b"IDAT" not in chunks:
        raise damaged("PNG", "no picture in it")
    bits, colour_type = header[8], header[9]
    profile = _profile(chunks)
    bad_profile = b"iCCP" in chunks and profile is None
    # gAMA holds 100000 divided by the exponent; a profile or an sRGB chunk overrides it.
    gamma = int.from_bytes(chunks.get(b"gAMA", [b""])[0], "big")
    if is_linear(profile) or (profile is None and b"sRGB" not in chunks and 95000 < gamma < 105000):
        raise linear_light()
    texts, exif, xmp, bad = _texts(chunks)
    kept = tidy(exif, xmp, credentials=b"caBX" in chunks)
    notes = [*kept.notes, *bad, *storage_notes(bits, palette=colour_type == _PALETTE)]
    if bad_profile:
        notes.append(PROFILE_NOTE)
    notes += not_copied("PNG chunks", unsafe_chunks(chunks))
    if b"acTL" in chunks:
        notes.append("the file is an animation; only its first picture is kept")

    of_palette = [b"PLTE", b"tRNS"] if colour_type == _PALETTE else []
    shown = [b"IHDR", *of_palette, b"IDAT", b"IEND"]
    bare = PNG_SIGNATURE + b"".join(png_chunk(kind, part) for kind in shown for part in chunks.get(kind, []))
    if bits == 16 and colour_type != _GREY:
        check_samples(header, chunks[b"IDAT"])
        pixels, alpha = _decode_deep(bare, colour_type, kept.orientation)
        grey = colour_type == _GREY_ALPHA
    else:
        image = PngImageFile(io.BytesIO(bare))
        if image.mode.startswith("I"):
            pixels, alpha = from_array(np.asarray(image).astype(np.uint16, copy=False), kept.orientation)
            grey = True
        else:
            pixels, alpha, grey = from_pillow(image, kept.orientation)
    if colour_type in (_GREY, _RGB) and b"tRNS" in chunks:
        alpha = _keyed(pixels, chunks[b"tRNS"][0], bits, colour_type)
    metadata = Metadata(
        icc_profile=profile,
        exif=kept.exif,
        xmp=kept.xmp,
        dpi=_resolution(chunks, 1),
        aspect=_resolution(chunks, 0),
        colour_chunks=tuple((kind, chunks[kind][0]) for kind in _COLOUR_CHUNKS if kind in chunks),
        text_chunks=texts,
        other_chunks=tuple(kept_chunks(chunks, header, alpha is not None)),
    )
    return Decoded(pixels, alpha, Encoding(grey=grey), metadata, tuple(notes))


def _decode_deep(bare: bytes, colour_type: int, orientation: int) -> tuple[Array, Array | None]:
    stored = cv2.imdecode(np.frombuffer(bare, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16:
        raise damaged("PNG")
    if colour_type == _GREY_ALPHA:
        stored = stored[..., 2:]
    return from_array(stored, orientation, bgr=True)


def _keyed(pixels: Array, key: bytes, bits: int, colour_type: int) -> Array:
    """Return alpha (H, W): transparent where the pixels have the file's transparent colour, else opaque."""
    samples = np.frombuffer(key[: 6 if colour_type == _RGB else 2], ">u2").astype(np.uint16)
    if bits < 8:
        samples = samples * np.uint16(255 // (2**bits - 1))
    alpha = np.full(pixels.shape[:2], np.iinfo(pixels.dtype).max, pixels.dtype)
    key_colour = np.broadcast_to(samples, 3)
    alpha[np.all(pixels == key_colour, axis=2)] = 0
    return alpha


def _profile(chunks: dict[bytes, list[bytes]]) -> bytes | None:
    if b"iCCP" not in chunks:
        return None
    return inflate(chunks[b"iCCP"][0].partition(b"\0")[2][1:])


def _resolution(chunks: dict[bytes, list[bytes]], unit: int) -> tuple[float, float] | None:
    """Return pixels per inch (unit 1) or a density without unit (unit 0), across and down; None if not given so."""
    content = chunks.get(b"pHYs", [b""])[0]
    if len(content) != 9 or content[8] != unit:
        return None
    scale = _INCH if unit else 1
    return int.from_bytes(content[:4], "big") * scale, int.from_bytes(content[4:8], "big") * scale


def _texts(
    chunks: dict[bytes, list[bytes]],
) -> tuple[tuple[tuple[bytes, bytes], ...], bytes | None, bytes | None, tuple[str, ...]]:
    """Return the text chunks to keep, the EXIF block and XMP packet from any chunk, and notes of damage."""
    lost: list[str] = []
    kept: list[tuple[bytes, bytes]] = []
    exif = chunks.get(b"eXIf", [None])[0]
    xmp: bytes | None = None
    seen: set[bytes] = set()
    for kind in _TEXT_CHUNKS:
        for content in chunks.get(kind, []):
            key = content.partition(b"\0")[0]
            # Only the first of several counts: inflating a thousand could take very long.
            if key in _INFLATED and key in seen:
                continue
            seen.add(key)
            if key == _XMP_KEY:
                packet = _text(kind, content)
                xmp = xmp or packet
                lost += [] if packet is not None else ["XMP"]
            elif key in _INFLATED:
                # ImageMagick's form of EXIF and XMP; written in the standard form.
                raw = _raw_profile(_text(kind, content))
                if key.endswith(b"xmp"):
                    xmp = xmp or raw
                elif raw is not None and raw.startswith(b"Exif\0\0"):
                    exif = exif or raw
                lost += [] if raw is not None else [shown(key.decode("latin-1"))]
            else:
                kept.append((kind, content))
    return tuple(kept), exif, xmp, not_copied("damaged text chunks", lost)


def _text(kind: bytes, content: bytes) -> bytes | None:
    rest = content.partition(b"\0")[2]
    if kind == b"tEXt":
        return rest
    if kind == b"zTXt":
        return inflate(rest[1:])
    parts = rest[2:].split(b"\0", 2)
    if len(parts) != 3:
        return None
    return inflate(parts[2]) if rest[0] else parts[2]


def _raw_profile(text: bytes | None) -> bytes | None:
    # A line with the name, a line with the length, then hexadecimal digits.
    parts = (text or b"").split(maxsplit=2)
    try:
        return bytes.fromhex(parts[2].decode("ascii")) if len(parts) == 3 else None
    except (ValueError, UnicodeDecodeError):
        return None


def encode(picture: Picture, metadata: Metadata) -> bytes:
    """Return the picture as a PNG.

    Raises:
        Defect: the encoder failed.
    """
    if picture.colours.dtype == np.uint16 and picture.grey and picture.alpha is not None:
        data = _encode_deep_grey(np.dstack([picture.colours, picture.alpha]))
    elif picture.colours.dtype == np.uint16 and not picture.grey:
        data = _encode_deep(picture)
    else:
        file = io.BytesIO()
        to_pillow(picture).save(file, "PNG")
        data = file.getvalue()
    return insert_png_chunks(data, [*_chunks(metadata), *fitting_chunks(metadata.other_chunks, data[24:26])])


def _encode_deep(picture: Picture) -> bytes:
    if picture.alpha is None:
        bgr = cv2.cvtColor(picture.colours, cv2.COLOR_RGB2BGR)
    else:
        bgr = cv2.cvtColor(picture.colours, cv2.COLOR_RGB2BGRA)
        bgr[..., 3] = picture.alpha
    done, buffer = cv2.imencode(".png", bgr)
    if not done:
        raise Defect("the picture cannot be written as a 16-bit PNG", "write TIFF instead")
    return bytes(buffer.tobytes())


def _encode_deep_grey(samples: Array) -> bytes:
    """Return 16-bit grey and alpha (H, W, 2) as a PNG, which neither Pillow nor OpenCV can write."""
    height, width = samples.shape[:2]
    rows = samples.astype(">u2").view(np.uint8).reshape(height, -1)
    filtered = np.full((height, 1 + rows.shape[1]), 2, np.uint8)  # filter 2: difference to the row above
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 16, _GREY_ALPHA, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.data)), (b"IEND", b""))
    return PNG_SIGNATURE + b"".join(png_chunk(kind, content) for kind, content in chunks)


def _chunks(metadata: Metadata) -> Iterable[tuple[bytes, bytes]]:
    for kind, content in metadata.colour_chunks:
        # A file must not hold both an sRGB chunk and a profile.
        if not (kind == b"sRGB" and metadata.icc_profile):
            yield kind, content
    if metadata.icc_profile:
        yield b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc_profile)
    density, scale = (metadata.dpi, _INCH) if metadata.dpi is not None else (metadata.aspect, 1)
    if density is not None:
        across, down = (min(max(1, round(value / scale)), 2**31 - 1) for value in density)
        yield b"pHYs", struct.pack(">IIB", across, down, metadata.dpi is not None)
    if metadata.exif:
        yield b"eXIf", metadata.exif
    if metadata.xmp:
        yield b"iTXt", _XMP_KEY + b"\0\0\0\0\0" + metadata.xmp
    yield from metadata.text_chunks
