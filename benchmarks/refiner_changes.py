"""How much the network of ``sargan`` changes the skin around the lips, on the faces of a folder.

    .venv/bin/python benchmarks/refiner_changes.py --photos PHOTOS

Printed for each expression: median, 90 % and largest of all faces, in 8-bit levels, before the model holds large
changes back. Its limit (``USUAL`` in models/sargan/model.py) lies above the largest on people held out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from batch_photos import photos_below

from sargan_core.expressions import LABELS, ExpressionMix
from sargan_core.faces.align import extract, face_crops
from sargan_core.models.landmarks.finder import face_finder
from sargan_core.models.registry import load_model
from sargan_core.models.sargan.generator import one_hot
from sargan_core.models.sargan.model import USUAL, RefinedModel, change_size


@torch.inference_mode()
def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path)
    given = parser.parse_args()
    if given.photos is None:
        print("nothing measured: give --photos")
        return
    model, finder = load_model("sargan"), face_finder()
    if not isinstance(model, RefinedModel):
        raise SystemExit("the model 'sargan' is no refiner")
    sizes: dict[str, list[float]] = {expression.value: [] for expression in LABELS}
    for _, pixels in photos_below(given.photos):
        for face in finder.find(pixels):
            alignment = model.align(pixels, face)
            crops = face_crops(extract(pixels, alignment), [alignment])
            for expression in LABELS:
                mixes = model.base.still_wanted(crops, [ExpressionMix(((expression, 1.0),))])
                edit = model.window.cut(model.base.edit_all(crops, mixes).image).clamp(0, 1)
                change = model.network.change(edit, one_hot([expression.label], len(LABELS)))[0]
                size = change_size(change, model.get_buffer("around")[expression.label])
                sizes[expression.value].append(255 * float(size))
    print(f"limit: {255 * USUAL:.1f} levels\n")
    print("| expression | faces | median | 90 % | largest |")
    print("|---|---|---|---|---|")
    for name, values in sizes.items():
        figures = " | ".join(f"{value:.1f}" for value in np.quantile(values or [0.0], [0.5, 0.9, 1]))
        print(f"| {name} | {len(values)} | {figures} |")


if __name__ == "__main__":
    main()
