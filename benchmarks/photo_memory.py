"""How many bytes a pixel of a photo the reading, editing and writing of it takes at most, by kind of file.

    .venv/bin/python benchmarks/photo_memory.py [--megapixels 12]

One process loads the program; every photo is edited in a fork of it, whose peak of resident memory counts beyond what
it was forked with. Linux only. Small photos give larger figures, because what does not grow with the photo counts too.
"""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # a fork of a process with threads that compute would wait for them

import cv2
import numpy as np
import tifffile
from PIL import Image

from sargan_core.editor import Editor, EditSettings
from sargan_core.expressions import parse_mix
from sargan_core.photo.photo import encode_photo, read_photo

PORTRAIT = Path(__file__).parents[1] / "examples" / "portrait.jpg"
FACE = 700  # side of the portrait in the middle, pixels


def picture(side: int) -> np.ndarray:
    """A photo of ``side`` squared pixels: a portrait on coarse noise; (side, side, 3) uint8."""
    coarse = np.random.default_rng(0).integers(0, 255, (side // 20 + 1, side // 20 + 1, 3)).astype(np.uint8)
    pixels = np.ascontiguousarray(np.kron(coarse, np.ones((20, 20, 1), np.uint8))[:side, :side])
    face, at = np.asarray(Image.open(PORTRAIT).convert("RGB").resize((FACE, FACE))), (side - FACE) // 2
    pixels[at : at + FACE, at : at + FACE] = face
    return pixels


def _deep(pixels: np.ndarray) -> np.ndarray:
    return np.dstack([pixels, np.full(pixels.shape[:2], 200, np.uint8)]).astype(np.uint16) * 257


def _png16(pixels: np.ndarray) -> bytes:
    done, data = cv2.imencode(".png", _deep(pixels), (cv2.IMWRITE_PNG_COMPRESSION, 1))
    assert done
    return data.tobytes()


def _tiff16(pixels: np.ndarray, compression: str | None) -> bytes:
    file = io.BytesIO()
    options = {"photometric": "rgb", "extrasamples": ["unassalpha"], "compression": compression}
    tifffile.imwrite(file, _deep(pixels), metadata=None, **options)
    return file.getvalue()


def _saved(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, kind, **options)
    return file.getvalue()


KINDS: dict[str, Callable[[np.ndarray], bytes]] = {
    "JPEG": lambda p: _saved(p, "JPEG", quality=92),
    "PNG": lambda p: _saved(p, "PNG", compress_level=1),
    "WebP": lambda p: _saved(p, "WEBP", quality=60, method=0),
    "BMP": lambda p: _saved(p, "BMP"),
    "TIFF, LZW": lambda p: _saved(p, "TIFF", compression="tiff_lzw"),
    "PNG, 16 bits, transparent": _png16,
    "TIFF, 16 bits, transparent, deflated": lambda p: _tiff16(p, "zlib"),
    "GIF": lambda p: _saved(Image.fromarray(p).quantize(64), "GIF"),
    "TIFF, 16 bits, transparent": lambda p: _tiff16(p, None),
    "AVIF": lambda p: _saved(p, "AVIF", quality=60, speed=10),
}


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024


def _edit(editor: Editor, data: bytes) -> None:
    encode_photo(editor.edit(read_photo(data), parse_mix("surprised")).photo)


def peak(work: Callable[[], None], data: bytes) -> int:
    """Return the bytes that work on a file takes at most, the file's own among them."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        before = _status("VmRSS") - len(data)
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        work()
        os.write(writer, str(_status("VmHWM") - before).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        answer = stream.read()
    os.waitpid(pid, 0)
    if not answer:
        raise SystemExit("the photo could not be edited")
    return int(answer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--model", default="pixel")
    arguments = parser.parse_args()
    if not Path("/proc/self/clear_refs").exists():
        raise SystemExit("needs Linux")
    side = round((arguments.megapixels * 1e6) ** 0.5)
    editor = Editor(EditSettings(model=arguments.model, device="cpu"))
    small = _saved(Image.open(PORTRAIT), "PNG")
    _edit(editor, small)  # loads everything
    pixels = picture(side)
    for name, make in KINDS.items():
        data = make(pixels)
        taken = peak(lambda data=data: _edit(editor, data), data) / side**2
        print(f"{name:40} {taken:5.1f} bytes a pixel, {len(data) / side**2:.1f} of them the file", flush=True)


if __name__ == "__main__":
    main()
