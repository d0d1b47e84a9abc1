"""What networks that were trained elsewhere see in edits of strangers' photos, and whether people stay themselves.

    sargan batch PHOTOS --expr all --out EDITS
    .venv/bin/python benchmarks/strangers.py --photos PHOTOS --edits EDITS ... --judge J.toml ... [--smallest 60]

Every face with ``--smallest`` pixels and more between the eyes is found in its photo and again in each of its edits.
Told are, for each folder of edits and each judge of expression, the share of faces whose first answer is the expression
that was asked for, per expression and on average (in brackets: of the photos before the edit); for each judge of
identity the mean cosine of the two pictures. Several ``--edits`` compare versions of the code on the same faces.
Nothing may be fitted to these figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from batch_photos import photos_below

from sargan_core.evaluation.judges import FaceJudge, read_judge
from sargan_core.expressions import LABELS, Expression
from sargan_core.faces.align import align, extract
from sargan_core.faces.face import Face
from sargan_core.faces.find import FaceFinder
from sargan_core.models.landmarks.finder import face_finder
from sargan_core.photo.photo import read_photo

ASKED = tuple(label for label in LABELS if label is not Expression.NEUTRAL)

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Answers:
    """What the judges say of one face.

    Attributes:
        first: by judge of expression, the label that comes first.
        embedding: by judge of identity, a vector of length 1.
    """

    first: dict[str, int]
    embedding: dict[str, npt.NDArray[np.float32]]


def ask(judges: Sequence[FaceJudge], pixels: Pixels, face: Face) -> Answers:
    """Show one face to every judge."""
    first, embedding = {}, {}
    for judge in judges:
        verdicts = judge.judge(extract(pixels, align(face, judge.template)))
        if verdicts.probabilities is not None:
            first[judge.name] = int(verdicts.probabilities[0].argmax())
        if verdicts.embeddings is not None:
            embedding[judge.name] = verdicts.embeddings[0]
    return Answers(first, embedding)


def same_face(finder: FaceFinder, pixels: Pixels, face: Face) -> Face:
    """Return the face that is found where ``face`` was, or ``face`` itself where none is found."""
    middle = face.landmarks.mean(0)
    near = [
        (float(np.hypot(*(found.landmarks.mean(0) - middle))), number, found)
        for number, found in enumerate(finder.find(pixels))
    ]
    distance, _, found = min(near, default=(np.inf, 0, face))
    return found if distance < face.eye_distance / 2 else face


def edit_of(photo: Path, photos: Path, edits: Path, expression: Expression) -> Path | None:
    """Return the edit of a photo in the output folder of a batch; None = there is none."""
    place = edits / str(expression) / photo.relative_to(photos)
    return place if place.is_file() else None


def main() -> None:
    """Look at all photos and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--edits", type=Path, action="append")
    parser.add_argument("--judge", type=Path, action="append")
    parser.add_argument("--smallest", type=float, default=60.0, help="pixels between the eyes")
    options = parser.parse_args()
    if not (options.photos and options.edits and options.judge):
        print("nothing measured: give --photos, --edits and --judge")
        return
    judges: list[FaceJudge] = [read_judge(path) for path in options.judge]
    finder = face_finder("auto", "cpu")
    before: list[Answers] = []
    after: dict[tuple[Path, Expression], list[tuple[Answers, Answers]]] = {}
    for path, pixels in photos_below(options.photos):
        faces = [face for face in finder.find(pixels) if face.eye_distance >= options.smallest]
        was = [ask(judges, pixels, face) for face in faces]
        before += was
        for edits in options.edits:
            for expression in ASKED:
                place = edit_of(path, options.photos, edits, expression)
                if place is None or not faces:
                    continue
                edited = read_photo(place).pixels
                seen = [ask(judges, edited, same_face(finder, edited, face)) for face in faces]
                after.setdefault((edits, expression), []).extend(zip(was, seen, strict=True))
    if before:
        tell(options.edits, before, after)


def tell(
    folders: Sequence[Path],
    before: Sequence[Answers],
    after: dict[tuple[Path, Expression], list[tuple[Answers, Answers]]],
) -> None:
    """Print the table."""
    print(f"{len(before)} faces\n")
    print(f"| edits | judge | {' | '.join(map(str, ASKED))} | mean |")
    print("|---" * (len(ASKED) + 3) + "|")
    for folder in folders:
        seen = {expression: after.get((folder, expression), []) for expression in ASKED}
        if not all(seen.values()):
            print(f"nothing measured of {folder}: no edits of each expression")
            continue
        for judge in before[0].first:
            now = [np.mean([b.first[judge] == e.label for _, b in seen[e]]) for e in ASKED]
            was = [np.mean([a.first[judge] == e.label for a in before]) for e in ASKED]
            rows = np.column_stack([[*now, np.mean(now)], [*was, np.mean(was)]])
            cells = [f"{share:.2f} ({still:.2f})" for share, still in rows]
            print(f"| {folder.name} | {judge} | {' | '.join(cells)} |")
        for judge in before[0].embedding:
            cosine = [np.mean([a.embedding[judge] @ b.embedding[judge] for a, b in seen[e]]) for e in ASKED]
            cells = [f"{value:.2f}" for value in [*cosine, np.mean(cosine)]]
            print(f"| {folder.name} | {judge} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
