"""GIF files: at most 256 colours, so an edited photo is reduced to a new palette.

A picture with few enough colours is written exactly; otherwise the colours of the whole picture are reduced with
dithering. To keep every pixel outside the face, write PNG.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from sargan_core.photo.files import shown
from sargan_core.photo.kinds import Array, Decoded, Defect, Encoding, Metadata, cut_off, damaged
from sargan_core.photo.metadata import CREDENTIALS_NOTE, not_copied
from sargan_core.photo.planes import Picture, check_size, from_pillow, is_grey

# Labels of extensions, and names of programs in them.
_APPLICATION, _COMMENT, _PLAIN_TEXT = b"\xff", b"\xfe", b"\x01"
_PROFILE = b"ICCRGBG1012"
_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_CREDENTIALS = b"C2PA_GIF"


def decode(data: bytes, max_pixels: int) -> Decoded:
    """Decode the first frame of a GIF; see ``Decoded`` for shapes.

    Raises:
        Defect: cut off or too large.
    """
    check_size(int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little"), max_pixels)
    blocks = gif_blocks(data)
    image = GifImageFile(io.BytesIO(data))
    check_size(*image.size, max_pixels)
    image.load()
    pixels, alpha, _ = from_pillow(image, 1)
    grey = is_grey(pixels)
    # 256 colours are enough for all shades of grey.
    exact = grey and alpha is None
    notes = (
        []
        if exact
        else [
            "a GIF holds at most 256 colours, so the edited picture is reduced to a new palette; "
            "PNG keeps it exact"
        ]
    )
    if sum(introducer == 0x2C for introducer, _, _ in blocks) > 1:
        notes.append("the file is an animation; only its first frame is kept")
    programs = {start[2:13]: content for _, start, content in reversed(blocks) if start[:1] == _APPLICATION}
    if any(name.startswith(_CREDENTIALS) for name in programs):
        notes.append(CREDENTIALS_NOTE)
    profile = programs.get(_PROFILE)
    lost = ["text over the picture"] if any(start[:1] == _PLAIN_TEXT for _, start, _ in blocks) else []
    lost += [
        shown(name.decode("latin-1"))
        for name in programs
        if name not in (_PROFILE, *_LOOPS) and not name.startswith(_CREDENTIALS)
    ]
    notes += not_copied("parts of the GIF", lost)
    comments = tuple(content for _, start, content in blocks if start[:1] == _COMMENT and content)
    metadata = Metadata(icc_profile=profile or None, comments=comments)
    return Decoded(pixels, alpha, Encoding(grey=grey), metadata, tuple(notes))


def encode(picture: Picture, metadata: Metadata) -> bytes:
    """Return the picture as a GIF.

    Raises:
        Defect: parts of it are half transparent.
    """
    if picture.grey and picture.alpha is None:
        return _written(Image.fromarray(picture.colours), metadata)
    hidden: Array | None = None
    if picture.alpha is not None:
        hidden = picture.alpha == 0
        if not np.all(hidden | (picture.alpha == 255)):
            raise Defect(
                "the photo has half transparent parts, which GIF cannot hold", "write PNG, WEBP or TIFF"
            )
    most = 256 if hidden is None else 255
    colours = (
        picture.colours if picture.colours.ndim == 3 else np.repeat(picture.colours[..., None], 3, axis=2)
    )
    exact = _indexed(colours, most)
    if exact is None:
        reduced = Image.fromarray(colours).quantize(most, Image.Quantize.MEDIANCUT)
        # Quantising against the palette again is how Pillow dithers.
        reduced = Image.fromarray(colours).quantize(palette=reduced, dither=Image.Dither.FLOYDSTEINBERG)
        indices, palette = np.array(reduced), (reduced.getpalette() or [])[: 3 * most]
    else:
        indices, palette = exact
    options: dict[str, object] = {}
    if hidden is not None:
        indices[hidden] = 255
        # The transparent entry gets the colour of a hidden pixel.
        colour = colours[hidden][0].tolist() if hidden.any() else [0, 0, 0]
        palette = palette + [0] * (765 - len(palette)) + colour
        options["transparency"] = 255
    image = Image.fromarray(indices)
    image.putpalette(palette)
    return _written(image, metadata, **options)


def _written(image: Image.Image, metadata: Metadata, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "GIF", optimize=False, **options)
    return _with_extensions(file.getvalue(), metadata)


def _with_extensions(data: bytes, metadata: Metadata) -> bytes:
    """Return the GIF with its colour profile and comments inserted before the picture."""
    blocks = [b"\x21" + _COMMENT + _sub_blocks(comment) for comment in metadata.comments]
    if metadata.icc_profile:
        # ICC.1:2022, annex B.4.
        blocks.insert(0, b"\x21" + _APPLICATION + b"\x0b" + _PROFILE + _sub_blocks(metadata.icc_profile))
    if not blocks:
        return data
    at = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    # Only version 89a has extensions.
    return b"".join([b"GIF89a", data[6:at], *blocks, data[at:]])


def _sub_blocks(content: bytes) -> bytes:
    parts = [content[at : at + 255] for at in range(0, len(content), 255)]
    return b"".join([*(bytes([len(part)]) + part for part in parts), b"\0"])


def _indexed(colours: Array, most: int) -> tuple[Array, list[int]] | None:
    """Return indices (H, W) and the palette of a picture with at most ``most`` colours, else None."""
    packed = colours.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    known, indices = np.unique(packed, return_inverse=True)
    if len(known) > most:
        return None
    palette = np.stack([known >> 16, known >> 8 & 255, known & 255], axis=1).astype(np.uint8)
    return indices.reshape(packed.shape).astype(np.uint8), palette.reshape(-1).tolist()


def gif_blocks(data: bytes) -> list[tuple[int, bytes, bytes]]:
    """Return the blocks of a GIF as (introducer, first bytes, content): 0x2C is a frame, 0x21 an extension.

    The content of an extension is its data, without the application's name. A frame's content is left empty.

    Raises:
        Defect: the file ends before its trailer, or a block is not where it should be.
    """
    blocks: list[tuple[int, bytes, bytes]] = []
    try:
        at = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
        while data[at] != 0x3B:
            introducer = data[at]
            start = data[at + 1 : at + 16]
            if introducer == 0x2C:
                flags = data[at + 9]
                at += 11 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
            elif introducer == 0x21:
                at += 2
            else:
                raise damaged("GIF", "unknown block")
            parts = []
            while data[at]:
                parts.append(data[at + 1 : at + 1 + data[at]] if introducer == 0x21 else b"")
                at += 1 + data[at]
            at += 1
            named = introducer == 0x21 and start[:1] == b"\xff"
            blocks.append((introducer, start, b"".join(parts[1 if named else 0 :])))
    except IndexError:
        raise cut_off("GIF") from None
    return blocks
