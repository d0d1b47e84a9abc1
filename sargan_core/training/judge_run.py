"""A training run of the judge: photos of people in, weights with card and figures out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from sargan_core.data.crop_set import CropSet, make_crop_set
from sargan_core.data.crops import Cropper
from sargan_core.data.samples import Sample, Skipped
from sargan_core.data.sources import read_sources
from sargan_core.data.split import SPLIT, split_by_person, write_split
from sargan_core.errors import DataError
from sargan_core.expressions import LABELS
from sargan_core.models.judge import TEMPLATE
from sargan_core.models.weights import WeightsRecord, open_weights
from sargan_core.progress import Progress
from sargan_core.training.card import card_head
from sargan_core.training.judge import JudgeTask, JudgeTraining
from sargan_core.training.judge_data import judge_data, moved_pairs
from sargan_core.training.judge_figures import JudgeFigures, calibrate, held_out_figures
from sargan_core.training.loop import LoopSettings, train
from sargan_core.training.run_folder import RunFolder, check_unused

WEIGHTS = "judge.safetensors"
CARD = "judge.md"
FIGURES = "figures.json"
LIMITS = (
    "Limits. The people are new to the judge, but their pictures come from the same sources as those it learned from,",
    "and six of the seven expressions on real people were transferred by one method: other photos were not measured,",
    "expect less accuracy and too much confidence there. It learned from the same sources as the expression models, so",
    "its figures compare edits with each other; they measure neither what a person feels nor who somebody is, and must",
    "not be used for either. It never saw an output of this project's models in training. It judges the oval of the",
    "face only, at the size of the crop: fine texture, hair and background do not count.",
)


def train_judge(
    folders: Sequence[Path],
    out: Path,
    training: JudgeTraining,
    loop: LoopSettings,
    *,
    test_fraction: float = 0.2,
    landmarks: str = "auto",
    cache: Path | None = None,
    progress: Progress = lambda done, total: None,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
) -> tuple[Path, tuple[Skipped, ...]]:
    """Train a judge and write it with its card and its figures on people never trained on.

    The people to train on are cut by the landmarks that come with the data; those held out by what is found in
    the photo, as when edits are judged. The probabilities are calibrated on the people held out, and the reported
    calibration error on the other half of them each.

    Args:
        folders: training photos, see ``read_sources``.
        out: run folder; made if it is not there.
        training: how.
        loop: how many steps, and what is written how often; ``resume`` goes on from the folder's checkpoint.
        test_fraction: part of the people that is held out.
        landmarks: what finds landmarks where the data set brings none.
        cache: the crop cache; None = the user's.
        progress: called with (done, total) while cropping.
        on_step: called after every step with its number and losses.

    Returns:
        The weights file, and what was left out and why.

    Raises:
        DataError: no usable photo, or only one expression.
        UsageError: the run folder holds a run already.
    """
    if not loop.resume:
        check_unused(out)
    sources = read_sources(folders)
    skipped = list(sources.skipped)
    if len({sample.expression for sample in sources.samples}) < 2:
        raise DataError(f"{folders[0]}: all photos show one expression; a judge needs several")
    split = split_by_person(sources.samples, test_fraction)
    known, unseen = split.apply(sources.samples)
    by_data = Cropper(TEMPLATE, landmarks=landmarks, known_first=True, cache=cache)
    by_finder = Cropper(TEMPLATE, landmarks=landmarks, cache=cache)
    train_crops = _cut(known, by_data, True, skipped, progress)
    test_crops = _cut(unseen, by_finder, False, skipped, progress) if unseen else train_crops
    names = ", ".join(sorted({sample.source for sample in known}))
    described = f"{len(split.train)} people of {names}"
    task = JudgeTask(training, judge_data(train_crops), judge_data(test_crops), described)
    folder = RunFolder(out)
    folder.write_options(training)
    write_split(split, out / SPLIT)
    train(task, loop, folder, on_step, WEIGHTS)
    temperature = calibrate(task.judge, torch.from_numpy(test_crops.images), test_crops.labels)
    figures = held_out_figures(task.judge, test_crops)
    task.export(out / WEIGHTS)
    values = {"temperature": temperature, "figures": [asdict(row) for row in figures]}
    (out / FIGURES).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    record, _ = open_weights(out / WEIGHTS)
    (out / CARD).write_text(card(record, figures, training, loop.steps), encoding="utf-8")
    return out / WEIGHTS, tuple(skipped)


def _cut(
    samples: Sequence[Sample],
    cropper: Cropper,
    moved: bool,
    skipped: list[Skipped],
    progress: Progress,
) -> CropSet:
    crops, missed = make_crop_set(samples, moved_pairs(samples) if moved else [], cropper, progress)
    skipped += missed
    return crops


def card(record: WeightsRecord, figures: Sequence[JudgeFigures], training: JudgeTraining, steps: int) -> str:
    """Return the model card as Markdown."""
    lines = [
        *card_head(
            record,
            f"{steps} steps of {training.batch} crops and {training.mixed} mixed ones, peak rate {training.rate:g}",
        ),
        "",
        "On people never trained on:",
        "",
        "| pictures | people | crops | accuracy | calibration error | same person | other person | verification AUC |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {row.kind} | {row.people} | {row.crops} | {row.accuracy:.3f} | {row.calibration_error:.3f} | "
            f"{_figure(row.same_person)} | {_figure(row.other_person)} | {_figure(row.verification)} |"
            for row in figures
        ),
    ]
    for row in figures:
        listed = " | ".join(str(label) for label in LABELS)
        lines += ["", f"Confusion, {row.kind}: row = shown, column = judged", "", f"| | {listed} |"]
        lines += ["|---" * (len(LABELS) + 1) + "|"]
        lines += [
            f"| {label} | {' | '.join(str(count) for count in counts)} |"
            for label, counts in zip(LABELS, row.confusion, strict=True)
            if sum(counts)
        ]
    return "\n".join([*lines, "", *LIMITS]) + "\n"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
