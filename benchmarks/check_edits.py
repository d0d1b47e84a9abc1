"""What the self-check of edits costs, how often it raises a false alarm and how often a true one.

    .venv/bin/python benchmarks/check_edits.py [--data DATA] [--models pixel,sargan] [--people 25]

Cost: the check's share of an edit of scikit-image's astronaut, both timed inside the same run. The rest needs DATA,
photos of labelled people as for ``sargan train``; only the people that training holds out are used:

- edits of their neutral photos to the six other expressions: warnings here are false alarms (mostly: an edit may fail);
- true pictures of the same person with another expression, as if a perfect model had made them: false alarms;
- the photo as it was, said to be an edit: "did nothing" should be told;
- the face of another person put into the photo, whole and half transparent: "another person" should be told;
- a scrambled face (blocks turned upside down): "another person" should be told.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch

from sargan_core.check import EditChecker, FaceCheck
from sargan_core.data.crops import Cropper
from sargan_core.data.samples import SYNTH, pairs
from sargan_core.data.sources import read_sources
from sargan_core.data.split import split_by_person
from sargan_core.editor import Editor, EditSettings
from sargan_core.expressions import LABELS, Expression, ExpressionMix
from sargan_core.faces.align import Alignment, align, extract
from sargan_core.faces.face import EditedCrops, Face, Template
from sargan_core.faces.paste import paste
from sargan_core.models.judge.network import TEMPLATE
from sargan_core.photo.photo import Photo, read_photo

SIDES = (512, 1350, 3464)
TARGETS = {label: ExpressionMix(((label, 1.0),)) for label in LABELS if label is not Expression.NEUTRAL}
CROP = Template(256, TEMPLATE.kind, TEMPLATE.left_eye, TEMPLATE.right_eye, TEMPLATE.mouth)


def cost(models: Sequence[str]) -> None:
    """Print the check's share of the time of an edit."""
    for model in models:
        editor = Editor(EditSettings(model=model, device="cpu", check=True))
        for side in SIDES:
            photo = Photo(cv2.resize(skimage.data.astronaut(), (side, side), interpolation=cv2.INTER_CUBIC))
            runs = [editor.edit(photo, TARGETS[Expression.SAD]).seconds for _ in range(6)][1:]
            check = float(np.median([run["check"] for run in runs]))
            rest = float(np.median([sum(run.values()) - run["check"] for run in runs]))
            print(f"{model}, {side} x {side}: check {1000 * check:.1f} ms, the rest of the edit {1000 * rest:.0f} ms,"
                  f" ratio {check / rest:.3f}", flush=True)  # fmt: skip


def row(name: str, checks: Sequence[FaceCheck]) -> None:
    """Print one line of the table."""
    if not checks:
        return
    figures = np.array([(check.before, check.reached, check.identity) for check in checks])
    nothing = np.mean([any("does not look" in text for text in check.warnings) for check in checks])
    person = np.mean([any("person" in text for text in check.warnings) for check in checks])
    low = np.percentile(figures[:, 2], [1, 3, 50])
    rise = np.percentile(figures[:, 1], [3, 10, 50])
    print(f"| {name} | {len(checks)} | {figures[:, 0].mean():.2f} | {figures[:, 1].mean():.2f} |"
          f" {rise[0]:.2f} / {rise[1]:.2f} / {rise[2]:.2f} |"
          f" {low[0]:.2f} / {low[1]:.2f} / {low[2]:.2f} | {nothing:.3f} | {person:.3f} |", flush=True)  # fmt: skip


def alarms(data: Path, models: Sequence[str], count: int) -> None:
    """Print how often edits and controls raise which warning."""
    samples = read_sources([data]).samples
    held_out = split_by_person(samples).apply(samples)[1]
    cropper = Cropper(CROP)
    checker = EditChecker()
    columns = (
        *("what", "edits", "before", "reached", "reached: 3 % / 10 % / 50 %", "identity: 1 % / 3 % / 50 %"),
        *("told: did nothing", "told: another person"),
    )
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for kind in ("real", "rendered"):
        ours = [sample for sample in held_out if (sample.source == SYNTH) == (kind == "rendered")]
        neutral = {}
        for sample in ours:
            if sample.expression is Expression.NEUTRAL:
                neutral.setdefault(sample.person, sample)
        chosen = list(neutral.values())[:: max(1, len(neutral) // count)][:count]
        faces = {sample: cropper.face(sample) for sample in chosen}
        photos = {sample: read_photo(sample.path) for sample in chosen}
        for model in models:
            editor = Editor(EditSettings(model=model, device="cpu", check=True))
            checks = []
            for sample in chosen:
                for result in editor.edit_each(photos[sample], list(TARGETS.values()), [faces[sample]]):
                    checks += [edit.check for edit in result.faces if edit.check is not None]
            row(f"{kind}: edits with {model}", checks)
        true, same, swapped, mixed, scrambled = [], [], [], [], []
        partners = [pair for pair in pairs(ours) if pair.still and pair.source in faces]
        for pair in partners:
            before = checker.look(photos[pair.source].pixels, [faces[pair.source]])
            true += checker.compare(
                before, read_photo(pair.target.path).pixels, TARGETS[pair.target.expression]
            )
        for number, sample in enumerate(chosen):
            pixels, face = photos[sample].pixels, faces[sample]
            before = checker.look(pixels, [face])
            other = chosen[(number + 1) % len(chosen)]
            for target in TARGETS.values():
                same += checker.compare(before, pixels, target)
            for made, kept in ((swapped, 0.0), (mixed, 0.5)):
                edited = swap(pixels, face, photos[other].pixels, faces[other], kept)
                made += checker.compare(before, edited, TARGETS[Expression.HAPPY])
            scrambled += checker.compare(before, scramble(pixels, face), TARGETS[Expression.HAPPY])
        row(f"{kind}: true pictures", true)
        row(f"{kind}: nothing done", same)
        row(f"{kind}: another's face", swapped)
        row(f"{kind}: half another's face", mixed)
        row(f"{kind}: scrambled", scrambled)


def swap(pixels: np.ndarray, face: Face, others: np.ndarray, other: Face, kept: float) -> np.ndarray:
    """Return the photo with another person's face where its own was."""
    own = align(face, CROP)
    crop, foreign = extract(pixels, own), extract(others, align(other, CROP))
    edited = torch.lerp(foreign, crop, kept)
    return paste(pixels, own, crop, EditedCrops(edited, keep=torch.zeros_like(crop[:, :1]))).pixels


def scramble(pixels: np.ndarray, face: Face) -> np.ndarray:
    """Return the photo with the face's blocks of an eighth of the crop upside down."""
    own: Alignment = align(face, CROP)
    crop = extract(pixels, own)
    side = CROP.size // 8
    blocks = crop.unflatten(2, (8, side)).flip(3).flatten(2, 3)
    return paste(pixels, own, crop, EditedCrops(blocks, keep=torch.zeros_like(crop[:, :1]))).pixels


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--models", default="pixel")
    parser.add_argument("--people", type=int, default=25, help="real and rendered people each")
    parser.add_argument("--no-cost", action="store_true")
    arguments = parser.parse_args()
    models = arguments.models.split(",")
    if not arguments.no_cost:
        cost(models)
    if arguments.data is None:
        print("no --data: false and true alarms are not measured")
        return
    alarms(arguments.data, models, arguments.people)


if __name__ == "__main__":
    main()
