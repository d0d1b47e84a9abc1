"""Animation of an edit: the strength rises from nothing to full and falls back, as GIF, MP4 or WebP."""

from __future__ import annotations

import errno
import math
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt

from sargan_core.errors import PhotoError, UsageError
from sargan_core.photo.files import replacing, shown, write_atomically
from sargan_core.photo.metadata import DIGITAL_SOURCE_TYPE, Provenance, mark
from sargan_core.photo.planes import bounded

if TYPE_CHECKING:
    from sargan_core.editor import Editor, FaceEdit
    from sargan_core.models.base import Target
    from sargan_core.photo.photo import Photo


Rgb8 = npt.NDArray[np.uint8]

SUFFIXES = (".gif", ".mp4", ".webp")
# Longest side of a frame in pixels, enough for browsers and slides; a full-size file would have 100 MB.
SIDE = 800
# Frames from the original to full strength.
STEPS = 12
FRAMES_A_SECOND = 16
# Frames without motion at either end, for comparison.
HOLD = 10
# Constant rate factor of H.264, 0 (lossless) to 51 (worst); at 10 no difference is visible.
_RATE_FACTOR = 10
# Errors of the system that ffmpeg reports in the system's own words.
_SYSTEM_ERRORS = ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EIO")
_INSTEAD = "write a .gif or .webp instead"


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
    """Return a loop of edits of a photo: the original, rising strength, full strength, falling strength.

    Args:
        editor: does the edits, on the faces of its settings.
        photo: the original, which is the first frame.
        target: the edit at full strength.

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
    """Write a loop to a file, in the format of its ending; the file appears whole or not at all.

    Args:
        animation: what to write.
        path: ``.gif``, ``.mp4`` or ``.webp``.
        overwrite: replace an existing file.
        provenance: the mark, written as XMP (WebP) or as a comment (GIF, MP4); None leaves it out.

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
    # In memory, because Pillow's writer would write to a full disk once more when it is deleted.
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
    pixels = bounded(photo.pixels, SIDE)[0]
    # Colour planes of videos usually have half the size, so both sides must be even.
    height, width = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
    return pixels[:height, :width]


def write_movie(
    frames: Sequence[npt.NDArray[np.uint8]], path: Path, rate: int, name: Path, comment: str = ""
) -> None:
    """Encode frames as an H.264 movie.

    Args:
        frames: (H, W, 3) uint8 RGB each, all of one size, H and W even.
        path: the file, which is overwritten; incomplete after an error.
        rate: frames per second.
        name: the file's name in messages.
        comment: for the movie's metadata.

    Raises:
        OSError: the file cannot be written, for instance because the disk is full.
        PhotoError: ffmpeg is missing, was killed, or failed for another reason.
    """
    height, width = frames[0].shape[:2]
    command = [
        _program(name),
        *("-hide_banner", "-loglevel", "error", "-y"),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(rate), "-i", "-"),
        *("-an", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", str(_RATE_FACTOR)),
        *(("-metadata", f"comment={comment}") if comment else ()),
        *("-movflags", "+faststart", "-f", "mp4", f"file:{path.absolute()}"),
    ]
    try:
        # This reads and writes at the same time, and accepts that ffmpeg stops reading before the last frame.
        done = subprocess.run(command, input=np.stack(frames).tobytes(), capture_output=True, check=False)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PhotoError(f"{shown(name)}: ffmpeg cannot be started ({reason}); {_INSTEAD}") from error
    said = [line.strip() for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    # Some versions of ffmpeg exit with 0 if only the last block did not fit on the disk, but all print an error.
    if done.returncode or said:
        raise _failure(done.returncode, said, name)


def _program(name: Path) -> str:
    from imageio_ffmpeg import get_ffmpeg_exe

    try:
        return str(get_ffmpeg_exe())
    except RuntimeError as error:
        raise PhotoError(
            f"{shown(name)}: there is no ffmpeg; install it or set IMAGEIO_FFMPEG_EXE, or {_INSTEAD}"
        ) from error


def _failure(code: int, said: Sequence[str], name: Path) -> Exception:
    """Return the error to raise for a failed ffmpeg."""
    numbers = [getattr(errno, symbol) for symbol in _SYSTEM_ERRORS if hasattr(errno, symbol)]
    for number in numbers:
        if any(os.strerror(number) in line for line in said):
            return OSError(number, os.strerror(number))
    if code < 0 and -code == getattr(signal, "SIGXFSZ", None):  # the limit of a file's size
        return OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    if code < 0:
        return PhotoError(f"{shown(name)}: ffmpeg was ended by signal {-code}; try again, or {_INSTEAD}")
    reason = said[0] if said else f"exit code {code}"
    return PhotoError(f"{shown(name)}: ffmpeg failed ({shown(reason)[:200]}); {_INSTEAD}")
