"""PNG chunks besides picture, colour and text: which stay true for an edited picture, and in which form.

Source: PNG (third edition), sections 5.4 (safe-to-copy bit), 11.3.2.5 (sBIT) and 11.3.4.1 (bKGD).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from sargan_core.photo.files import shown

_GREY, _PALETTE = 0, 3


_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}


# About the place, the scale and the time of the picture: an edit moves no pixel, and keeps what EXIF says of time too.
_TRUE = {b"tIME", b"oFFs", b"sCAL", b"pCAL", b"sTER", b"vpAg", b"sPLT"}


_COLOURS = {b"bKGD", b"sBIT"}


# Read and written on their own, or of no meaning in a file that is written anew.
_HANDLED = {
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"hIST", b"iDOT", b"acTL", b"fcTL", b"fdAT", b"caBX", b"gAMA",
    b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"iCCP", b"pHYs", b"eXIf", b"tEXt", b"zTXt", b"iTXt",
}  # fmt: skip


Chunks = dict[bytes, list[bytes]]


def _is_safe(kind: bytes) -> bool:
    """Return whether a chunk's name says that it may be copied when the picture changes."""
    return bool(kind[3] & 0x20)


def unsafe_chunks(chunks: Chunks) -> list[str]:
    """Return the names of the chunks that an edit may make false, and nobody here knows."""
    known = _HANDLED | _TRUE | _COLOURS
    return [shown(kind.decode("latin-1")) for kind in chunks if kind not in known and not _is_safe(kind)]


def kept_chunks(chunks: Chunks, header: bytes, has_alpha: bool) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks that stay true, those about colours in the form for the picture as it will be written.

    Args:
        chunks: all chunks of the file.
        header: content of its IHDR chunk.
        has_alpha: the picture has transparency.
    """
    for kind, contents in chunks.items():
        if kind in _HANDLED:
            continue
        if kind == b"bKGD":
            yield from _named(kind, _background(contents[0], header, chunks))
        elif kind == b"sBIT":
            yield kind, _significant(contents[0], header, has_alpha)
        elif kind in _TRUE or _is_safe(kind):
            yield from ((kind, content) for content in contents)


def _named(kind: bytes, content: bytes | None) -> Iterator[tuple[bytes, bytes]]:
    if content is not None:
        yield kind, content


def _background(content: bytes, header: bytes, chunks: Chunks) -> bytes | None:
    """Return the background as 16-bit numbers, of palettes the colour itself; None = it names no colour."""
    bits, colour_type = header[8], header[9]
    if colour_type == _PALETTE:
        colour = chunks.get(b"PLTE", [b""])[0][3 * content[0] : 3 * content[0] + 3] if content else b""
        return struct.pack(">3H", *colour) if len(colour) == 3 else None
    if colour_type == _GREY and bits < 8 and len(content) == 2:
        level = min(int.from_bytes(content, "big"), 2**bits - 1)
        return (level * (255 // (2**bits - 1))).to_bytes(2, "big")
    return content


def _significant(content: bytes, header: bytes, has_alpha: bool) -> bytes:
    """Return the significant bits of each channel, with those of an alpha channel that the file has in another form."""
    separate = header[9] in (4, 6)
    return content + bytes([max(8, header[8])]) if has_alpha and not separate else content


def fitting_chunks(chunks: Sequence[tuple[bytes, bytes]], form: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks that fit a file of a bit depth and colour type, ``form``: two bytes as its header has them."""
    channels = _CHANNELS[form[1]]
    for kind, content in chunks:
        wanted = {b"bKGD": 6 if channels > 2 else 2, b"sBIT": channels}.get(kind)
        if wanted in (None, len(content)):
            yield kind, content
