"""Animation of an edit: the strength rises from nothing to full and falls back, as GIF, MP4 or WebP."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt

from sargan_core.errors import UsageError
from sargan_core.files import replacing, shown, write_atomically
from sargan_core.movie import write_movie
from sargan_core.provenance import DIGITAL_SOURCE_TYPE, Provenance, mark
from sargan_core.sheet import bounded_8bit

if TYPE_CHECKING:
    from sargan_core.editor import Editor, FaceEdit
    from sargan_core.models.base import Target
    from sargan_core.photo import Photo

Rgb8 = npt.NDArray[np.uint8]

SUFFIXES = (".gif", ".mp4", ".webp")
# Longest side of a frame: what a browser or a slide shows; a photo at full size would make a file of 100 MB.
SIDE = 800
STEPS = 12
FRAMES_A_SECOND = 16
# Frames at rest at either end, so that the eye can compare.
HOLD = 10


@dataclass(frozen=True)
class Animation:
    """The frames of one loop.

    Attributes:
        frames: (H, W, 3) uint8 RGB each, H and W even, in playing order.
        faces: the edited faces at full strength.
    """

    frames: tuple[Rgb8, ...]
    faces: tuple[FaceEdit, ...]


def strength_ramp(editor: Editor, photo: Photo, target: Target) -> Animation:
    """Edit a photo at rising strength and return a loop: rest, rise, hold, fall.

    Args:
        editor: does the edits, on the faces of its settings.
        photo: the original; it is the first frame as it is.
        target: the mix at full strength.

    Raises:
        NoFaceError, UsageError: as ``Editor.edit``.
    """
    result = editor.edit(photo, target)
    faces = [edit.face for edit in result.faces]
    rise = [_frame(photo)]
    # One full-size result at a time: a dozen of a large photo would fill the memory.
    for fraction in ease(STEPS)[1:-1]:
        rise.append(_frame(editor.edit(photo, target.scaled(fraction), faces).photo))
    rise.append(_frame(result.photo))
    frames = [rise[0]] * HOLD + rise[1:] + [rise[-1]] * HOLD + rise[-2:0:-1]
    return Animation(tuple(frames), result.faces)


def ease(steps: int) -> list[float]:
    """Return ``steps`` fractions from 0 to 1 that start and end slowly (half a cosine)."""
    return [0.5 - 0.5 * math.cos(math.pi * step / (steps - 1)) for step in range(steps)]


def check_suffix(path: Path) -> None:
    """Raise UsageError unless ``path`` ends like a format that can be written."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path}: animations are written as {', '.join(SUFFIXES)}; change the ending")


def write_animation(
    animation: Animation, path: Path, *, overwrite: bool = False, provenance: Provenance | None = None
) -> None:
    """Write a loop to ``path``, in the format of its ending; it appears whole or not at all.

    Args:
        animation: what to write.
        path: ``.gif``, ``.mp4`` or ``.webp``.
        overwrite: replace an existing file.
        provenance: the mark, as XMP (WebP) or in the file's comment (GIF, MP4); None leaves it out.

    Raises:
        UsageError: another ending.
        OutputExistsError: ``path`` exists and ``overwrite`` is off.
        PhotoError: it cannot be written.
    """
    check_suffix(path)
    suffix = path.suffix.lower()
    if suffix == ".mp4":
        comment = _comment(provenance) if provenance is not None else ""
        with replacing(path, overwrite=overwrite) as temporary:
            write_movie(animation.frames, temporary, FRAMES_A_SECOND, path, comment)
        return
    # In memory: a writer that meets a full disk would try again, and complain, when it is collected.
    data = iio.imwrite("<bytes>", np.stack(animation.frames), extension=suffix, **_writer(suffix, provenance))
    write_atomically(path, data, overwrite=overwrite)


def _writer(suffix: str, provenance: Provenance | None) -> dict[str, Any]:
    """Return imageio's settings for GIF or WebP."""
    comment = _comment(provenance) if provenance is not None else ""
    options: dict[str, Any] = {"plugin": "pillow", "duration": 1000 / FRAMES_A_SECOND, "loop": 0}
    if suffix == ".webp":
        return {**options, "quality": 88, "xmp": mark(None, provenance) if provenance is not None else b""}
    return {**options, **({"comment": comment.encode()} if comment else {})}


def _comment(provenance: Provenance) -> str:
    return shown(
        f"{DIGITAL_SOURCE_TYPE} sargan {provenance.version}, model {provenance.model}, "
        f"expression {provenance.expression}, strength {provenance.strength:g}"
    )


def _frame(photo: Photo) -> Rgb8:
    pixels = bounded_8bit(photo.pixels, SIDE)
    # The common video encoding halves the colour planes, so both sides must be even.
    height, width = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
    return pixels[:height, :width]
