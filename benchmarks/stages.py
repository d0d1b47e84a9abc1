"""Where the time of one photo goes, stage by stage, here and in other checkouts of this project.

    .venv/bin/python benchmarks/stages.py [--other CHECKOUT ...] [--data FOLDER] [--side 1350] [--rounds 4]

One thread, the shipped model with its check, decoding and encoding included. The versions take turns, each time in a
process of its own, so that they meet the same disturbances; the least time of every stage counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
PHOTOS = 4


def measured(folder: Path) -> dict[str, float]:
    """Return the mean milliseconds per photo of each stage of the version that is imported, the least of three."""
    import cv2
    import torch

    from sargan_core.editor import Editor, EditSettings
    from sargan_core.expressions import parse_mix
    from sargan_core.photo.photo import encode_photo, read_photo

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with suppress(ImportError):  # as `sargan batch` does it, in versions that do
        from sargan_core.batch.memory import keep_freed_memory

        keep_freed_memory()
    editor, mix, files = Editor(EditSettings(device="cpu")), parse_mix("surprised"), sorted(folder.iterdir())
    best: dict[str, float] = {}
    for number in range(4):
        total: dict[str, float] = {}
        for file in files:
            started = time.perf_counter()
            photo = read_photo(file)
            reading = time.perf_counter()
            result = editor.edit(photo, mix)
            writing = time.perf_counter()
            encode_photo(result.photo)
            spent = {
                "decode": reading - started,
                **result.seconds,
                "encode": time.perf_counter() - writing,
                "all": time.perf_counter() - started,
            }
            for stage, seconds in spent.items():
                total[stage] = total.get(stage, 0.0) + seconds * 1e3 / len(files)
        if number:  # the first round warms up
            best = {stage: min(value, best.get(stage, value)) for stage, value in total.items()}
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--other", type=Path, nargs="*", default=[], help="checkouts of other versions")
    parser.add_argument("--data", type=Path, help="a folder of portraits")
    parser.add_argument("--side", type=int, default=1350)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--photos", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.photos:
        print(json.dumps(measured(options.photos)))
        return
    from batch_photos import make_photos

    versions = [HERE, *(path.resolve() for path in options.other)]
    best: dict[Path, dict[str, float]] = {path: {} for path in versions}
    with tempfile.TemporaryDirectory() as name:
        make_photos(Path(name), PHOTOS, options.side, options.data)
        for _ in range(options.rounds):
            for path in versions:
                done = subprocess.run(
                    [sys.executable, __file__, "--photos", name],
                    env={**os.environ, "PYTHONPATH": str(path), "OMP_NUM_THREADS": "1"},
                    capture_output=True,
                    text=True,
                    check=True,
                )
                for stage, value in json.loads(done.stdout).items():
                    best[path][stage] = min(value, best[path].get(stage, value))
    print(f"| stage, ms | {' | '.join(path.name for path in versions)} |")
    print("|---|" + "---|" * len(versions))
    for stage in dict.fromkeys(stage for path in reversed(versions) for stage in best[path]):
        row = [f"{best[path][stage]:.0f}" if stage in best[path] else "" for path in versions]
        print(f"| {stage} | {' | '.join(row)} |")


if __name__ == "__main__":
    main()
