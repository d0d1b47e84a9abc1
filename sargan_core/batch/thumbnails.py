"""Small copies of photos that browsers cannot show."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from PIL import Image

from sargan_core.errors import PhotoError
from sargan_core.faces.find import bounded
from sargan_core.files import shown, write_atomically
from sargan_core.photo import Photo, encode_photo, read_photo

# The leading dot keeps the folder out of the inputs of the next batch.
THUMBNAILS = ".sargan-thumbnails"
SIDE = 720

_SHOWN = frozenset((".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".avif", ".bmp"))


@dataclass(frozen=True)
class Thumbnail:
    """A small JPEG copy of a photo.

    Attributes:
        path: where it lies.
        scale: its size divided by the photo's.
    """

    path: Path
    scale: float


def shown_by_browsers(path: Path) -> bool:
    """Return whether browsers can show the format that the file's name says."""
    return path.suffix.lower() in _SHOWN


def thumbnail(photo: Path, folder: Path) -> Thumbnail | None:
    """Return a copy of a photo that browsers can show, made unless it is there; None if the photo cannot be read.

    Args:
        photo: any photo.
        folder: where copies lie; made if missing. A photo that changes gets a new copy.

    Raises:
        PhotoError: the copy cannot be written.
    """
    try:
        status = photo.stat()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(photo) as header:
                longest = max(header.size)
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    key = f"{photo}\n{status.st_size}\n{status.st_mtime_ns}".encode("utf-8", "surrogatepass")
    place = folder / f"{sha256(key).hexdigest()[:24]}.jpg"
    if not place.exists():
        try:
            pixels, _ = bounded(read_photo(photo).pixels, SIDE)
        except PhotoError:
            return None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PhotoError(
                f"{shown(folder)}: cannot be made ({error.strerror or error}); move what lies there away"
            ) from error
        write_atomically(place, encode_photo(Photo(pixels, name=photo.name), "JPEG"), overwrite=True)
    return Thumbnail(place, min(1.0, SIDE / longest))
