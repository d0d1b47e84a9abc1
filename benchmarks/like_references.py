"""How much of the expression of reference photos arrives on other faces, and whether they stay themselves.

    .venv/bin/python benchmarks/like_references.py --reference R.jpg ... --photo P.jpg ... --judge J.toml ...
        [--model units ...] [--least 0.5] [--sheet FOLDER]

Each judge of expression looks at the reference and at every result: the share is the probability that the result has of
what the judge sees most in the reference, divided by the reference's own. References that it is not sure of (--least),
and those that it calls neutral, are left out. Judges of identity compare the result with the photo. Nothing may be
fitted to these figures.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

from sargan_core.editor import Editor, EditSettings
from sargan_core.evaluation.judges import FaceJudge, read_judge
from sargan_core.expressions import LABELS, Expression
from sargan_core.faces.align import align, extract
from sargan_core.faces.face import Face
from sargan_core.photo.photo import Photo, read_photo


def largest(editor: Editor, photo: Photo) -> Face:
    """Return the largest face of a photo."""
    return max(editor.find(photo), key=lambda face: face.box[2] * face.box[3])


def verdicts(
    judges: list[FaceJudge], photo: Photo, face: Face
) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """Return the probabilities (7,) of each judge of expression, and the embedding of that of identity."""
    seen, embedding = {}, None
    for judge in judges:
        verdict = judge.judge(extract(photo.pixels, align(face, judge.template)))
        if verdict.probabilities is not None:
            seen[judge.name] = verdict.probabilities[0]
        if verdict.embeddings is not None:
            embedding = verdict.embeddings[0]
    return seen, embedding


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--reference", type=Path, nargs="+")
    parser.add_argument("--photo", type=Path, nargs="+")
    parser.add_argument("--judge", type=Path, nargs="+")
    parser.add_argument("--model", nargs="+", default=["units", "aipgan"])
    parser.add_argument("--least", type=float, default=0.5)
    parser.add_argument("--sheet", type=Path, help="a folder for the results")
    options = parser.parse_args()
    if not (options.reference and options.photo and options.judge):
        print("nothing measured: give --reference, --photo and --judge")
        return
    judges = [read_judge(path) for path in options.judge]
    for name in options.model:
        editor = Editor(EditSettings(model=name, check=False))
        photos = [read_photo(path) for path in options.photo]
        faces = [largest(editor, photo) for photo in photos]
        before = [verdicts(judges, photo, face) for photo, face in zip(photos, faces, strict=True)]
        shares, identities, seconds = defaultdict(list), [], []
        for path in options.reference:
            photo = read_photo(path)
            seen, _ = verdicts(judges, photo, largest(editor, photo))
            wanted = {
                judge: int(row.argmax())
                for judge, row in seen.items()
                if row.max() >= options.least and LABELS[int(row.argmax())] is not Expression.NEUTRAL
            }
            if not wanted:
                continue
            reference = editor.reference(photo)
            made = defaultdict(list)
            for target, face, (_, was) in zip(photos, faces, before, strict=True):
                started = time.perf_counter()
                result = editor.edit(target, reference, [face]).photo
                seconds.append(time.perf_counter() - started)
                found = editor.find(result)
                nearest = min(found, key=lambda one: abs(one.box[0] - face.box[0]), default=face)
                after, embedding = verdicts(judges, result, nearest)
                for judge, label in wanted.items():
                    made[judge].append(float(after[judge][label]))
                if was is not None and embedding is not None:
                    identities.append(float(was @ embedding))
                if options.sheet:
                    options.sheet.mkdir(parents=True, exist_ok=True)
                    file = options.sheet / f"{name}-{path.stem}-{Path(target.name).stem}.jpg"
                    cv2.imwrite(str(file), result.pixels[..., ::-1])
            for judge, label in wanted.items():
                still = np.mean([row[judge][label] for row, _ in before])
                shares[LABELS[label]].append(np.mean(made[judge]) / seen[judge][label])
                print(
                    f"{name}: {path.name}: {judge} sees {LABELS[label]} with {seen[judge][label]:.2f}, in the results "
                    f"with {np.mean(made[judge]):.2f}, in the photos with {still:.2f}",
                    flush=True,
                )
        listed = ", ".join(f"{label} {np.mean(values):.2f}" for label, values in sorted(shares.items()))
        every = np.mean([share for values in shares.values() for share in values])
        print(
            f"{name}: share {every:.2f} ({listed}); identity {np.mean(identities):.2f} "
            f"(lowest {np.min(identities):.2f}); {np.median(seconds):.2f} s an edit"
        )


if __name__ == "__main__":
    main()
