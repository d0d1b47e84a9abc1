"""Measure what is seen between parted lips: real smiles, transferred expressions and edits of people held out.

    python benchmarks/mouth_detail.py --data DATA --model sargan,pixel

``DATA`` is the folder with the shared sets. Neutral portraits of the London people who are held out are edited at full
strength; their own smiles that show teeth are what the figures are divided by.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sargan_core.data.sources import read_sources
from sargan_core.data.split import split_by_person
from sargan_core.editor import Editor, EditSettings
from sargan_core.evaluation.metrics import mouth_detail
from sargan_core.expressions import Expression, ExpressionMix
from sargan_core.faces.face import Pixels
from sargan_core.models.landmarks.finder import face_finder
from sargan_core.photo.photo import read_photo

KEYS = ("mouth_detail", "mouth_gradient", "teeth_light", "teeth_a", "teeth_b")
OPENED = ("happy", "surprised", "fearful", "angry", "disgusted")
# Height over width of an opening from which a smile shows teeth, by the set's own mesh of 478 points.
SHOWS_TEETH = 0.1


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with london and transfer")
    parser.add_argument("--model", default="sargan,pixel", help="names of sargan models list")
    given = parser.parse_args()
    if not given.data:
        print("nothing measured: give --data")
        return
    london, transfer = given.data / "london", given.data / "transfer"
    sources = read_sources([london])
    _, held_out = split_by_person(sources.samples).apply(sources.samples)
    numbers = sorted({sample.path.stem for sample in held_out})
    finder = face_finder()

    def measured(pixels: Pixels) -> dict[str, float]:
        faces = finder.find(pixels)
        return mouth_detail(pixels, faces[0].landmarks) if faces else {}

    print("| picture | mouths | detail | gradient | L* | a* | b* | detail, x real | gradient, x real |")
    print("|---|---|---|---|---|---|---|---|---|")
    points = np.load(london / "landmarks.npz")
    smiles = dict(zip(points["happy_ids"].tolist(), points["happy_mesh478"], strict=True))
    shown = [number for number in numbers if number in smiles and _opening(smiles[number]) > SHOWS_TEETH]
    real = _row(
        "real smiles with teeth",
        (measured(read_photo(london / "happy" / f"{number}.jpg").pixels) for number in shown),
    )
    for name in OPENED:
        files = [transfer / name / f"{number}_k0.jpg" for number in numbers]
        rows = (measured(read_photo(file).pixels) for file in files if file.exists())
        _row(f"transferred {name}", rows, real)
    for model in given.model.split(","):
        editor = Editor(EditSettings(model=model, check=False))
        for name in OPENED:
            mix = ExpressionMix(((Expression(name), 1.0),))
            photos = (read_photo(london / "neutral" / f"{number}.jpg") for number in numbers)
            _row(
                f"{model} {name}", (measured(editor.edit(photo, mix).photo.pixels) for photo in photos), real
            )


def _opening(mesh: np.ndarray) -> float:
    return float(np.linalg.norm(mesh[14] - mesh[13]) / np.linalg.norm(mesh[308] - mesh[78]))


def _row(
    name: str, found: Iterable[dict[str, float]], real: dict[str, float] | None = None
) -> dict[str, float]:
    figures = [one for one in found if one]
    means = {key: float(np.mean([one[key] for one in figures])) for key in KEYS}
    ratios = [means[key] / (real or means)[key] for key in KEYS[:2]]
    cells = [f"{means[key]:.1f}" for key in KEYS] + [f"{ratio:.2f}" for ratio in ratios]
    print(f"| {name} | {len(figures)} | " + " | ".join(cells) + " |", flush=True)
    return means


if __name__ == "__main__":
    main()
