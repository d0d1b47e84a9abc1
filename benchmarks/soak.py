"""Whether memory stays flat: one batch over very many small photos, its memory sampled while it runs.

    .venv/bin/python benchmarks/soak.py [--photos 300] [--side 256]

The full soak is --photos 5000. Ends with an error if memory grows between the second fifth of the run and the last.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from batch_photos import make_photos
from process_memory import used_memory

# What a run may grow by: the manifest's history, caches that fill once, the allocator's mood.
ALLOWED_SHARE, ALLOWED_MEGABYTES = 0.05, 16.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--data", type=Path, help="a folder of portraits")
    options = parser.parse_args()
    if used_memory(os.getpid()) is None:
        print("this system does not tell the memory of a process (/proc); nothing was measured")
        return
    with tempfile.TemporaryDirectory() as name:
        photos, out = Path(name, "photos"), Path(name, "edited")
        make_photos(photos, options.photos, options.side, options.data)
        command = [
            sys.executable,
            "-m",
            "sargan_cli",
            "batch",
            str(photos),
            "--expr",
            "happy",
            "--out",
            str(out),
        ]
        samples: list[tuple[int, float]] = []
        started = time.perf_counter()
        with subprocess.Popen(
            [*command, "--quiet", "--device", "cpu"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            assert process.stdout is not None
            for done, _ in enumerate(process.stdout, start=1):
                if (memory := used_memory(process.pid)) is not None:
                    samples.append((done, memory))
        seconds = time.perf_counter() - started
        if process.returncode or len(samples) < 0.9 * options.photos:
            raise SystemExit(f"the batch ended with {process.returncode} after {len(samples)} results")
    memory = np.array([value for _, value in samples])
    fifth = len(memory) // 5
    early, late = (float(np.median(part)) for part in (memory[fifth : 2 * fifth], memory[-fifth:]))
    print(
        f"{options.photos} photos of {options.side} x {options.side}: {options.photos / seconds:.1f} photos/s"
    )
    shown = ", ".join(f"{value:.0f}" for value in memory[:: max(1, len(memory) // 10)])
    print(f"resident memory along the run, MB: {shown}; peak {memory.max():.0f}")
    print(f"second fifth {early:.0f} MB, last fifth {late:.0f} MB")
    if late > early * (1 + ALLOWED_SHARE) + ALLOWED_MEGABYTES:
        raise SystemExit("memory grows with the number of photos")


if __name__ == "__main__":
    main()
