"""One odd file, what must come of it, and the portrait that all of them hold."""

from __future__ import annotations

import resource
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from photo_samples import pillow
from PIL import Image

PORTRAIT = Path(__file__).parents[2] / "examples" / "portrait.jpg"
SIDE = 176
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF", "GIF")
SUFFIX = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "TIFF": ".tif",
    "BMP": ".bmp",
    "AVIF": ".avif",
    "GIF": ".gif",
}
# What a run over all files may take of the CPU: the clock would count what other programs do as well.
SECONDS = 240
DONE, NO_FACE, UNREADABLE = "done", "no_face", "unreadable"


@dataclass(frozen=True)
class Case:
    """One file and what must come of it.

    Attributes:
        name: file name; bytes where it is no text.
        data: content, or None where the maker put something else there.
        outcome: how an edit of it must end; None = either a photo or a refusal is right.
        words: what the message must contain.
        kind: format that is read from it.
    """

    name: str | bytes
    data: bytes | None
    outcome: str | None = DONE
    words: str = ""
    kind: str = ""


def limit() -> None:
    """In a process about to start: what hangs or works without end is ended, and its code says so."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))
    signal.alarm(10 * SECONDS)


def portrait(side: int = SIDE) -> np.ndarray:
    """The example portrait as (side, side, 3) uint8."""
    return np.asarray(Image.open(PORTRAIT).convert("RGB").resize((side, side), Image.Resampling.LANCZOS))


def plain(kind: str, pixels: np.ndarray | None = None, **options: object) -> bytes:
    """The portrait in one format."""
    if kind == "GIF":
        return pillow(
            Image.fromarray(portrait() if pixels is None else pixels).quantize(255), "GIF", **options
        )
    quality = {"quality": 92} if kind in ("JPEG", "WEBP", "AVIF") else {}
    return pillow(portrait() if pixels is None else pixels, kind, **quality, **options)
