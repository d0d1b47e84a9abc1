"""How long and how much memory one edit takes: start-up, a 1350 px photo, 12 and 50 megapixels.

    .venv/bin/python benchmarks/edit_photo.py [--photo FILE]

Every figure is of a process of its own, as a user would start it. Without --photo the photo is scikit-image's
astronaut, enlarged.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

SIZES = {"1350 x 1350": (1350, 1350), "12 megapixels": (3464, 3464), "50 megapixels": (7072, 7072)}


def measured(command: list[str]) -> tuple[float, float, str]:
    """Return wall seconds, peak memory in MB and stdout of a command."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed with status {status}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024, output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photo", type=Path, help="a portrait to enlarge instead of the astronaut")
    parser.add_argument("--model", default="pixel")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    tool = [sys.executable, "-m", "sargan_cli"]
    times = [measured([*tool, "--help"])[0] for _ in range(5)]
    print(f"sargan --help: {min(times):.2f} s best, {np.median(times):.2f} s median of 5")
    portrait = Image.open(arguments.photo) if arguments.photo else Image.fromarray(skimage.data.astronaut())
    with tempfile.TemporaryDirectory() as folder:
        for name, size in SIZES.items():
            source, target = Path(folder, "photo.jpg"), Path(folder, "edited.jpg")
            portrait.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(source, quality=92)
            command = [
                *tool,
                "edit",
                str(source),
                "--expr",
                "surprised",
                "-o",
                str(target),
                "--overwrite",
                "--json",
            ]
            runs = [measured([*command, "--model", arguments.model]) for _ in range(arguments.repeats)]
            wall, memory, output = min(runs)
            stages = json.loads(output)["seconds"]
            listed = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in stages.items())
            print(f"{name}: {wall:.2f} s wall best of {len(runs)}, {memory:.0f} MB peak; {listed}")


if __name__ == "__main__":
    main()
