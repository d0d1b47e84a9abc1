"""Every form of the pixel model on people it never saw: error to the true picture against doing nothing.

    .venv/bin/python benchmarks/pixel_forms.py --data DIR [--data DIR …] [--out runs/forms] [--cache DIR]

Trains what is not in --out yet and prints one Markdown table; each form's sheet lies in its folder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from sargan_core.models.pixel.fit import PixelOptions
from sargan_core.models.pixel.run import FIGURES, PixelRun
from sargan_core.training.session import Session

FORMS = (
    PixelOptions("plain", "shared", "fidelity", 128),
    PixelOptions("plain", "shared", "product", 128),
    PixelOptions("plain", "separate", "product", 128),
    PixelOptions("kernel", "shared", "product", 128),
    PixelOptions("displaced", "shared", "product", 256),
    PixelOptions("displaced", "separate", "product", 256),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, action="append", default=[])
    parser.add_argument("--out", type=Path, default=Path("runs/forms"))
    parser.add_argument("--cache", type=Path)
    arguments = parser.parse_args()
    rows: dict[str, dict[str, float]] = {}
    targets: list[str] = []
    for options in FORMS:
        name = f"{options.form}-{options.channels}-{options.scaling}"
        folder = arguments.out / name
        if not (folder / FIGURES).is_file():
            if not arguments.data:
                print(f"{folder}: not trained yet; name the photos with --data")
                return
            run = PixelRun(data=tuple(map(str, arguments.data)), fit=options)
            Session(run, folder, arguments.cache).run()
        figures = json.loads((folder / FIGURES).read_text())["figures"]
        for figure in figures:
            column = f"{figure['expression']} ({figure['kind']})"
            targets += [column] if column not in targets else []
            # Crops of two sizes have two errors of doing nothing, so the ratio is what compares.
            rows.setdefault(name, {})[column] = figure["error"] / figure["unchanged"]
    print("Error relative to doing nothing (1 = no better):\n")
    print("| form | " + " | ".join(targets) + " |")
    print("|---" * (len(targets) + 1) + "|")
    for name, values in rows.items():
        print(f"| {name} | " + " | ".join(f"{values[target]:.2f}" for target in targets) + " |")


if __name__ == "__main__":
    main()
