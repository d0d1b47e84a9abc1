"""MP4 files, encoded by ffmpeg, which runs as a process of its own: how it ended decides whether there is a file."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sargan_core.errors import PhotoError
from sargan_core.files import shown

# Constant rate factor of H.264: 0 keeps every pixel, 51 is worst; 10 is hardly told from the frames.
_RATE_FACTOR = 10
# What ffmpeg says when the system lets it write no further, in the system's own words.
_SYSTEM_ERRORS = ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EIO")
_INSTEAD = "write a .gif or .webp instead"


def write_movie(
    frames: Sequence[npt.NDArray[np.uint8]], path: Path, rate: int, name: Path, comment: str = ""
) -> None:
    """Encode frames as an H.264 movie.

    Args:
        frames: (H, W, 3) uint8 RGB each, all of one size, H and W even.
        path: the file, which is written over; incomplete after an error.
        rate: frames a second.
        name: the file in messages.
        comment: for the movie's metadata.

    Raises:
        OSError: the system let ffmpeg write no further, for instance because the disk is full.
        PhotoError: ffmpeg is missing, was ended, or failed for another reason.
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
        # communicates with both ends at once, and passes over a program that stops reading before the last frame
        done = subprocess.run(command, input=np.stack(frames).tobytes(), capture_output=True, check=False)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PhotoError(f"{shown(name)}: ffmpeg cannot be started ({reason}); {_INSTEAD}") from error
    said = [line.strip() for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    # Not every version counts a last block that had no room as a failure; all of them complain.
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
    """Return the error that an ended ffmpeg stands for."""
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
