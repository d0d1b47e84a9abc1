"""How much memory a batch of large photos takes, and whether it depends on how many there are.

    .venv/bin/python benchmarks/batch_memory.py [--few 4] [--many 12] [--side 3464] [--data FOLDER]

Peak memory of `sargan batch` for few and for many photos of 12 megapixels, model sargan, each run a process of its own.
In full: --few 64 --many 640. Ends with an error if a run takes more than 1.5 GB, or many photos much more than few.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from batch_photos import make_photos
from process_memory import used_memory

MOST_MEGABYTES = 1500.0
# How two runs over the same photos differ: what happens to be in memory at the same time.
ALLOWED_SHARE = 0.15
SAMPLE_SECONDS = 0.02


def peak_memory(photos: Path, out: Path) -> tuple[float, float]:
    """Return the peak resident memory in MB and the wall seconds of ``sargan batch`` with all its processes."""
    command = [sys.executable, "-m", "sargan_cli", "batch", str(photos), "--expr", "surprised", "--quiet"]
    started = time.perf_counter()
    with subprocess.Popen(
        [*command, "--out", str(out), "--device", "cpu"], stdout=subprocess.DEVNULL
    ) as process:
        sampled = 0.0
        while True:
            sampled = max(sampled, used_memory(process.pid) or 0.0)
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            time.sleep(SAMPLE_SECONDS)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return max(sampled, usage.ru_maxrss / 1024), time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--few", type=int, default=4)
    parser.add_argument("--many", type=int, default=12)
    parser.add_argument("--side", type=int, default=3464)
    parser.add_argument("--data", type=Path, help="a folder of portraits")
    options = parser.parse_args()
    peaks = []
    for count in (options.few, options.many):
        with tempfile.TemporaryDirectory() as name:
            # Two different photos, the others are links to them.
            make_photos(Path(name, "photos"), count, options.side, options.data, distinct=2)
            peak, seconds = peak_memory(Path(name, "photos"), Path(name, "edited"))
        peaks.append(peak)
        rate = count / seconds
        print(
            f"{count:4} photos of {options.side} x {options.side}: peak {peak:.0f} MB, "
            f"{rate:.2f} photos/s with start-up",
            flush=True,
        )
    if max(peaks) > MOST_MEGABYTES:
        raise SystemExit(f"more than {MOST_MEGABYTES:.0f} MB")
    if peaks[1] > peaks[0] * (1 + ALLOWED_SHARE):
        raise SystemExit("memory grows with the number of photos")


if __name__ == "__main__":
    main()
