"""How often the judge of edits agrees with networks that were trained elsewhere.

    .venv/bin/python benchmarks/judge_agreement.py --photos FOLDER --judge OTHER.toml [--judge …] [--smallest 30]

FOLDER: photos, or what ``sargan batch --expr all`` made of photos of people that no model was trained on (the end of
each name, or its folder, then says which expression was wanted). Every face is shown to the shipped judge and to the
others; told are, per other judge: how often both put the same expression first, how often where the other is sure (0.6
or more), and the mean probability of the wanted expression by each. Measuring only: nothing is chosen by these figures.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from batch_photos import photos_below

from sargan_core.errors import UsageError
from sargan_core.evaluation.judges import FaceJudge, ShippedJudge, read_judge
from sargan_core.expressions import LABELS, Expression, parse_expression
from sargan_core.faces.align import align, extract
from sargan_core.models.landmarks.finder import face_finder

SURE = 0.6


@dataclass(frozen=True)
class Seen:
    """One face.

    Attributes:
        wanted: what it was to show; None = nobody said.
        rows: (J, 7) probabilities, the shipped judge's first.
    """

    wanted: Expression | None
    rows: npt.NDArray[np.float64]


def wanted_of(path: Path) -> Expression | None:
    """Return the expression that the picture's folder or the end of its name says."""
    for word in (path.parent.name, path.stem.rsplit("-", 1)[-1], path.stem.rsplit("_", 1)[-1]):
        try:
            return parse_expression(word)
        except UsageError:
            continue
    return None


def look(folder: Path, judges: list[FaceJudge], smallest: float) -> list[Seen]:
    """Return every face of the folder with ``smallest`` pixels and more between the eyes."""
    finder = face_finder("auto", "cpu")
    seen = []
    for path, pixels in photos_below(folder):
        for face in finder.find(pixels):
            if face.eye_distance < smallest:
                continue
            rows = []
            for judge in judges:
                verdicts = judge.judge(extract(pixels, align(face, judge.template)))
                assert verdicts.probabilities is not None
                rows.append(verdicts.probabilities[0].astype(np.float64))
            seen.append(Seen(wanted_of(path), np.stack(rows)))
    return seen


def main() -> None:
    """Look at all photos and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, action="append")
    parser.add_argument("--judge", type=Path, action="append")
    parser.add_argument("--smallest", type=float, default=30.0, help="pixels between the eyes")
    options = parser.parse_args()
    if not (options.photos and options.judge):
        print("nothing measured: give --photos and --judge")
        return
    others = [read_judge(path) for path in options.judge]
    judges: list[FaceJudge] = [ShippedJudge(), *others]
    print(
        "| pictures | faces | other judge | same first | where it is sure "
        "| both others, where they agree | they agree |"
    )
    print("|---|---|---|---|---|---|---|")
    tables = []
    for folder in options.photos:
        seen = look(folder, judges, options.smallest)
        if not seen:
            continue
        rows = np.stack([face.rows for face in seen])
        first = rows.argmax(2)
        united = (first[:, 1:] == first[:, 1:2]).all(1)
        agreed = (first[united, 0] == first[united, 1]).mean() if united.any() else float("nan")
        for number, judge in enumerate(others, start=1):
            same = first[:, 0] == first[:, number]
            sure = rows[:, number].max(1) >= SURE
            print(f"| {folder.name} | {len(seen)} | {judge.name} | {same.mean():.2f} | "
                  f"{same[sure].mean():.2f} ({sure.sum()}) | {agreed:.2f} ({united.sum()}) | "
                  f"{united.mean():.2f} |", flush=True)  # fmt: skip
        tables.append((folder.name, seen))
    names = [judge.name for judge in judges]
    for name, seen in tables:
        if all(face.wanted is None for face in seen):
            continue
        print(f"\n{name}: wanted expression first / its mean probability\n")
        print(f"| wanted | faces | {' | '.join(names)} |")
        print("|---" * (len(names) + 2) + "|")
        for label in LABELS:
            ours = np.array([face.rows for face in seen if face.wanted is label])
            if len(ours):
                first = (ours.argmax(2) == label.label).mean(0)
                mean = ours[:, :, label.label].mean(0)
                cells = [f"{a:.2f} / {b:.2f}" for a, b in zip(first, mean, strict=True)]
                print(f"| {label} | {len(ours)} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
