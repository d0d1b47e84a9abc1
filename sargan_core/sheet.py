"""Contact sheet: a photo with all seven expressions side by side, labelled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from sargan_core.expressions import TABLE, Expression, ExpressionMix
from sargan_core.photo.planes import bounded

if TYPE_CHECKING:
    from sargan_core.editor import Editor, FaceEdit
    from sargan_core.faces.face import Face, Pixels
    from sargan_core.photo.photo import Photo

Rgb8 = npt.NDArray[np.uint8]

COLUMNS = 4
# Longest side of one picture on the sheet, in pixels; smaller pictures are not enlarged.
CELL = 480
GAP = 12
LABEL = 30
PAPER = 255
INK = (32, 32, 32)
# Room around the faces, as a fraction of the box around all of them.
MARGIN = 0.6
ORIGINAL = "original"
# Neutral first, then by name.
ORDER: tuple[Expression, ...] = (
    Expression.NEUTRAL,
    *sorted((record.expression for record in TABLE if record.expression is not Expression.NEUTRAL), key=str),
)


@dataclass(frozen=True)
class Sheet:
    """A finished contact sheet.

    Attributes:
        photo: the sheet, in the colour space of the original, without its metadata.
        edits: each expression with its edited faces, in the order of the sheet.
    """

    photo: Photo
    edits: tuple[tuple[Expression, tuple[FaceEdit, ...]], ...]


def expression_sheet(editor: Editor, photo: Photo, strength: float = 1.0) -> Sheet:
    """Return the original and its seven edits side by side, cropped around the edited faces.

    Args:
        editor: does the edits, on the faces of its settings.
        photo: the original.
        strength: of every expression, 0 to 2.

    Raises:
        NoFaceError, UsageError: as ``Editor.edit``.
    """
    window = 0, 0, photo.width, photo.height
    faces: list[Face] | None = None
    pictures = []
    edits = []
    # One full-size result at a time: seven of a large photo would fill the memory.
    for expression in ORDER:
        result = editor.edit(photo, ExpressionMix(((expression, strength),)), faces)
        if faces is None:
            faces = [edit.face for edit in result.faces]
            window = face_window(photo.pixels.shape, [face.box for face in faces])
        edits.append((expression, result.faces))
        pictures.append((expression.value, _cut(result.photo.pixels, window)))
    original = (ORIGINAL, _cut(photo.pixels, window))
    pixels = contact_sheet([original, *pictures])
    sheet = replace(photo, pixels=pixels, alpha=None, metadata=photo.metadata.stripped(), notes=())
    return Sheet(sheet, tuple(edits))


def face_window(
    shape: tuple[int, ...], boxes: Sequence[tuple[float, float, float, float]]
) -> tuple[int, int, int, int]:
    """Return the part of a photo that a sheet shows: all boxes with some room around them.

    Args:
        shape: height and width of the photo.
        boxes: x, y, width, height in photo pixels.

    Returns:
        x0, y0, x1, y1 in whole photo pixels, x1 and y1 exclusive; the whole photo if there are no boxes.
    """
    height, width = shape[:2]
    if not boxes:
        return 0, 0, width, height
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right, bottom = max(box[0] + box[2] for box in boxes), max(box[1] + box[3] for box in boxes)
    across, down = (right - left) * MARGIN, (bottom - top) * MARGIN
    x0, y0 = max(0, math.floor(left - across)), max(0, math.floor(top - down))
    x1, y1 = min(width, math.ceil(right + across)), min(height, math.ceil(bottom + down))
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def contact_sheet(pictures: Sequence[tuple[str, Rgb8]], columns: int = COLUMNS) -> Rgb8:
    """Return labelled pictures in rows on white.

    Args:
        pictures: label and (H, W, 3) uint8 RGB picture, all of one size, at least one.
        columns: pictures in a row.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = pictures[0][1].shape[:2]
    columns = min(columns, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    size = (columns * (width + GAP) + GAP, rows * (height + LABEL + GAP) + GAP)
    sheet = Image.new("RGB", size, (PAPER, PAPER, PAPER))
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(18)
    for index, (label, picture) in enumerate(pictures):
        x = GAP + index % columns * (width + GAP)
        y = GAP + index // columns * (height + LABEL + GAP)
        sheet.paste(Image.fromarray(picture), (x, y))
        pen.text((x + width / 2, y + height + LABEL / 2), label, font=font, fill=INK, anchor="mm")
    return np.asarray(sheet)


def _cut(pixels: Pixels, window: tuple[int, int, int, int]) -> Rgb8:
    x0, y0, x1, y1 = window
    return bounded(pixels[y0:y1, x0:x1], CELL)[0]
