"""GIF files: at most 256 colours, so an edited photo is reduced to a new palette.

A picture of few enough colours is written exactly; otherwise the colours are reduced with dithering, in the
whole picture. Whoever wants every pixel outside the face untouched writes PNG.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from sargan_core.photo.containers import gif_blocks
from sargan_core.photo.kinds import Array, Decoded, Defect, Encoding, Metadata
from sargan_core.photo.metadata import CREDENTIALS_NOTE
from sargan_core.photo.planes import Picture, check_size, from_pillow


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
    notes = [
        "a GIF holds at most 256 colours, so the edited picture is reduced to a new palette; "
        "PNG keeps it exact"
    ]
    if sum(introducer == 0x2C for introducer, _ in blocks) > 1:
        notes.append("the file is an animation; only its first frame is kept")
    if any(introducer == 0x21 and b"C2PA_GIF" in start for introducer, start in blocks):
        notes.append(CREDENTIALS_NOTE)
    return Decoded(pixels, alpha, Encoding(), Metadata(), tuple(notes))


def encode(picture: Picture) -> bytes:
    """Return the picture as a GIF.

    Raises:
        Defect: parts of it are half transparent.
    """
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
        # The transparent entry gets a colour that is under the transparency.
        colour = colours[hidden][0].tolist() if hidden.any() else [0, 0, 0]
        palette = palette + [0] * (765 - len(palette)) + colour
        options["transparency"] = 255
    image = Image.fromarray(indices)
    image.putpalette(palette)
    file = io.BytesIO()
    image.save(file, "GIF", optimize=False, **options)
    return file.getvalue()


def _indexed(colours: Array, most: int) -> tuple[Array, list[int]] | None:
    """Return indices (H, W) and the palette of a picture of few enough colours, else None."""
    packed = colours.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    known, indices = np.unique(packed, return_inverse=True)
    if len(known) > most:
        return None
    palette = np.stack([known >> 16, known >> 8 & 255, known & 255], axis=1).astype(np.uint8)
    return indices.reshape(packed.shape).astype(np.uint8), palette.reshape(-1).tolist()
