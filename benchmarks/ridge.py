"""How long the closed form takes: the shared pixel model fitted to pairs held in memory.

.venv/bin/python benchmarks/ridge.py [--pairs 200] [--size 128] [--repeats 5]
"""

from __future__ import annotations

import argparse
import time

import torch

from sargan_core.models.pixel.ridge import RidgeSums


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    source = torch.rand(options.pairs, 3, options.size, options.size)
    target = 0.8 * source + 0.1
    for channels, name in ((1, "shared"), (3, "separate")):
        times = []
        for _ in range(options.repeats):
            started = time.perf_counter()
            sums = RidgeSums((channels, options.size, options.size))
            for one, other in zip(source, target, strict=True):
                sums.add(one, other)
            sums.solve(0.4)
            times.append(time.perf_counter() - started)
        print(f"{name}: {options.pairs} pairs of {options.size} px fitted in {min(times):.3f} s (best)")


if __name__ == "__main__":
    main()
