"""Edit photos in every way that changes pixels and keep a checksum of every result, manifest and JSON line.

For a change of the code that must not change what comes out: write the sums before, compare after.

    python benchmarks/sums.py --data FOLDER --write before.json
    python benchmarks/sums.py --data FOLDER --compare before.json

FOLDER holds photos of faces. Odd files (grey, 16 bit, alpha, cut off, no face, not a picture) are made from them and
from examples/. Every call is a call of the command line, in this process. Exit codes and what is said on stderr are
kept too. Times and what depends on them are left out of manifests and JSON lines; reports are left out altogether.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import re
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
from PIL import Image

from sargan_cli.__main__ import main as main_of_sargan

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "portrait.jpg"
NAMES = ("angry", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
# Members of JSON lines that differ from run to run and say nothing about the result.
TIMES = {"seconds", "finished", "input_stamp", "output_stamp", "options_sha256", "format", "version"}


def made_photos(folder: Path, photos: list[Path]) -> None:
    """Write small copies of ``photos`` and odd files into ``folder``."""
    for photo in photos:
        Image.open(photo).convert("RGB").resize((640, 640), Image.Resampling.LANCZOS).save(
            folder / f"{photo.stem}.png"
        )
    face = Image.open(EXAMPLE).convert("RGB")
    face.save(folder / "odd-444.jpg", quality=92, subsampling=0)
    face.convert("L").save(folder / "odd-grey.jpg", quality=92)
    face.convert("L").convert("RGB").save(folder / "odd-grey-rgb.png")
    alpha = face.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(face.size))
    alpha.save(folder / "odd-alpha.png")
    alpha.save(folder / "odd-alpha.webp", lossless=True)
    Image.fromarray(np.asarray(face.convert("L"), dtype=np.uint16) * 257).save(folder / "odd-16.png")
    face.save(folder / "odd.tif", compression="tiff_lzw")
    face.save(folder / "odd.bmp")
    face.save(folder / "odd.gif")
    face.save(folder / "odd.avif", quality=90)
    face.convert("CMYK").save(folder / "odd-cmyk.jpg")
    face.rotate(90, expand=True).save(folder / "odd-turned.jpg", exif=_orientation(6), quality=95)
    face.crop((0, 0, 60, 60)).save(folder / "odd-no-face.png")
    (folder / "odd-cut.jpg").write_bytes(EXAMPLE.read_bytes()[:9000])
    (folder / "odd-text.jpg").write_text("not a picture")
    double = Image.new("RGB", (2 * face.width, face.height))
    double.paste(face, (0, 0))
    double.paste(face.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (face.width, 0))
    double.save(folder / "odd-two.png")


def _orientation(value: int) -> bytes:
    exif = Image.Exif()
    exif[274] = value
    return exif.tobytes()


def calls(photos: list[str]) -> dict[str, list[str]]:
    """Return command lines by name, relative to the folder they run in."""
    one, two = photos[0], photos[1]
    table: dict[str, list[str]] = {
        f"batch {model}": [
            "batch",
            "in",
            "--expr",
            "all",
            "--model",
            model,
            "--out",
            f"{model}-all",
            "--json",
        ]
        for model in ("sargan", "pixel", "pixel-plain")
    }
    table |= {
        f"like {reference}": ["batch", "in", "--like", f"in/{reference}", "--out", f"like-{number}", "--json"]
        for number, reference in enumerate((two, "odd-444.jpg"))
    }
    table |= {
        f"format {kind}": f"batch in/{one} in/odd-alpha.png --expr happy --format {kind} --out {kind} --report".split()
        for kind in ("jpg", "png", "webp", "tiff", "bmp", "avif", "gif")
    }
    variants = {
        "mix": ["--expr", "happy:0.6,surprised:0.4"],
        "weak": ["--expr", "sad", "--strength", "0.4"],
        "zero": ["--expr", "sad", "--strength", "0"],
        "strong": ["--expr", "angry", "--strength", "1.7"],
        "alias": ["--expr", "HA"],
        "strip": ["--expr", "happy", "--metadata", "strip"],
        "no mark": ["--expr", "happy", "--no-provenance"],
        "no check": ["--expr", "happy", "--no-check"],
        "detector": ["--expr", "happy", "--landmarks", "detector"],
        "plain detector": ["--expr", "happy", "--model", "pixel-plain", "--landmarks", "detector"],
        "bf16": ["--expr", "surprised", "--precision", "bf16"],
        "grid": ["--grid"],
        "animate": ["--expr", "happy", "--animate", "out/loop.gif"],
        "animate webp": ["--expr", "happy", "--animate", "out/loop.webp"],
        "unknown": ["--expr", "bored"],
        "small": ["--expr", "happy", "--max-pixels", "1000"],
    }
    table |= {
        f"edit {name}": ["edit", f"in/{one}", "--json", *words]
        + ([] if "--animate" in words else ["-o", f"out/{name.replace(' ', '-')}.png"])
        for name, words in variants.items()
    }
    table["edit two"] = [
        "edit",
        "in/odd-two.png",
        "--expr",
        "happy",
        "--faces",
        "2",
        "-o",
        "out/two.png",
        "--json",
    ]
    table["edit many"] = [
        "edit",
        *(f"in/{name}" for name in photos),
        "in/odd-text.jpg",
        "--expr",
        "sad",
        "-o",
        "many/",
    ]
    table["series"] = ["batch", f"in/{one}", "--expr", "happy", "--strength", "0.5,1", "--out", "series"]
    table["again"] = ["batch", f"in/{one}", "--expr", "happy", "--strength", "0.5,1", "--out", "series"]
    table["plan"] = ["batch", "in", "--expr", "all", "--dry-run"]
    table["detect"] = ["detect", *(f"in/{name}" for name in photos), "--json"]
    table["draw"] = ["detect", f"in/{one}", "--draw", "out/drawn.png"]
    table["models"] = ["models", "list"]
    return table


def call(words: list[str]) -> str:
    """Run one command line in this process; return exit code, stdout and stderr."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main_of_sargan(words)
        out.flush()
    text = out.buffer.getvalue().decode("utf-8", "replace")  # type: ignore[attr-defined]
    # Notes of several threads come in any order; those with times are left out.
    timed = re.compile(r"\d+(\.\d+)? ?s\b|time went to")
    notes = sorted(line for line in err.getvalue().splitlines() if not timed.search(line))
    return "\n".join([f"exit {code}", without_times(text), *notes])


def without_times(text: str) -> str:
    """Return a text with ``TIMES`` taken out of those of its lines that are JSON objects."""
    return "\n".join(_without_times(line) for line in text.splitlines())


def _without_times(line: str) -> str:
    try:
        value = json.loads(line)
    except ValueError:
        return line
    if not isinstance(value, dict):
        return line
    return json.dumps({key: item for key, item in value.items() if key not in TIMES})


def sums(folder: Path, photos: list[Path]) -> dict[str, str]:
    """Return checksums by name of every call's answer and every file that came of it."""
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    made_photos(folder / "in", photos)
    before = Path.cwd()
    os.chdir(folder)
    results: dict[str, str] = {}
    try:
        for name, words in calls([f"{photo.stem}.png" for photo in photos]).items():
            results[f"answer: {name}"] = _sum(call(words).encode())
    finally:
        os.chdir(before)
    for file in sorted(folder.rglob("*")):
        # Pages hold times, and their small copies are named after them.
        other = file.suffix in (".html", ".lock") or file.parent.name == ".sargan-thumbnails"
        if file.is_file() and file.parent.name != "in" and not other:
            content = file.read_bytes()
            if file.suffix == ".jsonl":
                content = without_times(content.decode("utf-8", "replace")).encode()
            results[f"file: {file.relative_to(folder)}"] = _sum(content)
    return results


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--data", type=Path, help="folder of photos of faces; without one only examples/ is used"
    )
    parser.add_argument("--write", type=Path)
    parser.add_argument("--compare", type=Path)
    options = parser.parse_args()
    photos = sorted(options.data.glob("*.jpg")) if options.data else []
    with tempfile.TemporaryDirectory() as folder:
        # The made files carry the time, by which a batch tells changed photos.
        found = sums(Path(folder).resolve(), photos or [EXAMPLE, EXAMPLE.parent / "portrait.jpg"])
    print(f"{len(found)} sums")
    if options.write:
        options.write.write_text(json.dumps(found, indent=1))
    if not options.compare:
        return 0
    known = json.loads(options.compare.read_text())
    differing = [name for name in sorted(known | found) if known.get(name) != found.get(name)]
    for name in differing:
        state = "gone" if name not in found else "new" if name not in known else "differs"
        print(f"{state}: {name}")
    print(f"{len(differing)} of {len(known | found)} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
