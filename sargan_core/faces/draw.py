"""Draw found faces into a photo: boxes, points and numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from sargan_core.faces.face import Face, Pixels

BOX = (255, 214, 10)
POINTS = (0, 229, 255)
LANDMARKS = (124, 255, 107)
LABEL_TEXT = (0, 0, 0)

# Line width and height of the numbers, as fractions of the photo's longest side, so that all sizes look alike.
LINE = 1 / 400
TEXT = 1 / 36
# In a crowd the numbers shrink with the faces, as long as they can be read.
TEXT_OF_FACE = 0.3
SMALLEST_TEXT = 1 / 80
SMALLEST_TEXT_PIXELS = 12


def draw_faces(pixels: Pixels, faces: Sequence[Face]) -> Pixels:
    """Return a copy of a photo with a box, its points and its number for each face.

    Args:
        pixels: (H, W, 3) uint8 or uint16 RGB.
        faces: coordinates in pixels of that photo, (x, y), pixel centres at integers.

    Returns:
        (H, W, 3) of the same dtype; pixels that nothing was drawn on are unchanged.
    """
    height, width = pixels.shape[:2]
    overlay = Image.new("RGBA", (width, height))
    pen = ImageDraw.Draw(overlay)
    line = max(1, round(max(height, width) * LINE))
    for face in faces:
        x, y, box_width, box_height = face.box
        pen.rectangle((x, y, x + box_width, y + box_height), outline=BOX, width=line)
        # Points must not hide the eye that they mark.
        radius = min(line * 1.5, max(0.5, face.eye_distance / 20))
        if face.landmarks is not None:
            _dots(pen, face.landmarks, radius * 0.7, LANDMARKS)
        _dots(pen, face.points, radius, POINTS)
    # Numbers come last, so that no other face's box crosses them.
    for face in faces:
        _number(pen, face, (width, height), line)
    return _composite(pixels, np.asarray(overlay))


def _dots(
    pen: ImageDraw.ImageDraw, points: npt.NDArray[np.float32], radius: float, colour: tuple[int, int, int]
) -> None:
    for x, y in points.tolist():
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _number(pen: ImageDraw.ImageDraw, face: Face, size: tuple[int, int], line: int) -> None:
    """Write the number on a tab above the box's left corner, moved into the photo where there is no room."""
    side = max(size)
    wanted = min(side * TEXT, face.box[3] * TEXT_OF_FACE)
    font = ImageFont.load_default(max(SMALLEST_TEXT_PIXELS, side * SMALLEST_TEXT, wanted))
    text = str(face.number)
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    padding = 1.5 * line
    width, height = right - left + 2 * padding, bottom - top + 2 * padding
    x = min(max(face.box[0], 0), max(0, size[0] - width))
    y = min(max(face.box[1] - height, 0), max(0, size[1] - height))
    pen.rectangle((x, y, x + width, y + height), fill=BOX)
    pen.text((x + padding - left, y + padding - top), text, font=font, fill=LABEL_TEXT)


def _composite(pixels: Pixels, overlay: npt.NDArray[np.uint8]) -> Pixels:
    drawn = overlay[..., 3] > 0
    peak = np.iinfo(pixels.dtype).max
    colour = overlay[drawn].astype(np.float64) / 255
    opacity = colour[:, 3:]
    result: Pixels = pixels.copy()
    mixed = colour[:, :3] * peak * opacity + pixels[drawn] * (1 - opacity)
    result[drawn] = np.rint(mixed).astype(pixels.dtype)
    return result
