"""A training run of the judge, from photos to weights with card and figures; what ``sargan train judge`` calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar

from lightning_fabric import Fabric
from torch import Tensor

from sargan_core.data.crop_table import make_crop_set
from sargan_core.data.samples import Sample
from sargan_core.data.split import SPLIT, Split, read_split, split_by_person
from sargan_core.errors import DataError
from sargan_core.expressions import LABELS
from sargan_core.models.judge.data import (
    JudgeCrops,
    JudgePhotos,
    judge_crops,
    judge_photos,
    moved_pairs,
    random_judge_crops,
    wide_template,
)
from sargan_core.models.judge.figures import JudgeFigures, calibrate, held_out_figures
from sargan_core.models.judge.network import KIND, TEMPLATE, build_judge, save_judge
from sargan_core.models.judge.task import JudgeTask, JudgeTraining
from sargan_core.outcome import Progress
from sargan_core.photo.files import write_text
from sargan_core.training.loop import LoopSettings
from sargan_core.training.plan import (
    TrainingPlan,
    count_parameters,
    measured_batch,
    seconds_per_step,
    survey,
)
from sargan_core.training.run_folder import card_head
from sargan_core.training.session import Prepared, TrainingRun
from sargan_core.weights import WeightsRecord, open_weights

CARD = "judge.md"
FIGURES = "figures.json"
# Least batch to time a step with, so that some crops are mixed.
FEW = 10
LIMITS = (
    "Limits. It says what a stranger would probably call a face: its labels are spread after what is generally found",
    "when people name posed faces, and codes of face units are weighed after FACS (`models/judge/labels.py`). Nobody",
    "rated these very pictures. Six of the seven expressions on real people were transferred by one method. How often",
    "it agrees with networks of other origin is in docs/check.md. It measures neither what a person feels nor who",
    "somebody is, and must not be used for either. It never saw an output of this project's models in training. It",
    "judges the oval of the face only, at the size of the crop: fine texture, hair and background do not count.",
)


@dataclass(frozen=True, kw_only=True)
class JudgeRun(TrainingRun):
    """A training run of the judge.

    The people to train on are cut by the landmarks that come with the data; those held out by what is found in
    the photo, as when edits are judged. The probabilities are calibrated on the people held out, and the reported
    calibration error on the other half of them each. A resumed run keeps its own split.

    Attributes:
        loop: length, and how often what is written; its number of steps counts, not that of ``training``.
        training: settings.
    """

    loop: LoopSettings
    training: JudgeTraining

    weights: ClassVar[str] = "judge.safetensors"

    def prepare(self, out: Path, fabric: Fabric, cache: Path | None, progress: Progress) -> Prepared:
        """Crop the photos; see ``TrainingRun.prepare``."""
        start = self._start()
        photos, split = self._photos(out)
        skipped = list(photos.skipped)

        def cut(samples: Sequence[Sample], *, known_first: bool) -> JudgeCrops:
            cropper = self.cropper(wide_template(), cache, known_first=known_first)
            pairs = moved_pairs(samples) if known_first else []
            crops, missed = make_crop_set(samples, pairs, cropper, progress)
            skipped.extend(missed)
            return judge_crops(crops, photos.codes)

        known, unseen = split.apply(photos.samples)
        train_crops = cut(known, known_first=True)
        test_crops = cut(unseen, known_first=False) if unseen else train_crops
        names = ", ".join(sorted({sample.source for sample in known}))
        described = f"{len(split.train)} people of {names}"
        training = replace(self.training, steps=self.loop.steps)
        task = JudgeTask(training, train_crops, test_crops, described, fabric.device, start)

        def finish(folder: Path, progress: Progress) -> None:
            judge = task.mean.cpu()
            temperature = calibrate(judge, test_crops)
            figures = held_out_figures(judge, test_crops)
            save_judge(judge, folder / self.weights, data=described)
            values = {"temperature": temperature, "figures": [asdict(row) for row in figures]}
            write_text(folder / FIGURES, json.dumps(values, indent=2) + "\n")
            record = open_weights(folder / self.weights)[0]
            write_text(folder / CARD, card(record, figures, training, training.steps, self.start))

        return Prepared(tuple(skipped), split, task, finish)

    def plan(self, out: Path, fabric: Fabric) -> TrainingPlan:
        """Return the plan; see ``TrainingRun.plan``."""
        self._start()
        photos, split = self._photos(out)
        training = replace(self.training, steps=self.loop.steps)
        few = measured_batch(training.batch, fabric)
        small = replace(training, batch=max(FEW, few))
        noise = random_judge_crops(len(split.train))
        task = JudgeTask(small, noise, random_judge_crops(1), device=fabric.device)
        return TrainingPlan(
            survey(photos.samples, split, skipped=photos.skipped),
            size=TEMPLATE.size,
            model="judge",
            recipe=f"batch {training.batch}, rate {training.rate:g}, seed {training.seed}",
            parameters={"judge": count_parameters(task.mean)},
            steps=self.loop.steps,
            step_seconds=seconds_per_step(task, self.loop.steps, training.batch / small.batch),
        )

    def _start(self) -> dict[str, Tensor] | None:
        opened = self.open_start("a judge", KIND)
        return None if opened is None else build_judge(*opened).state_dict()

    def _photos(self, out: Path) -> tuple[JudgePhotos, Split]:
        photos = judge_photos(self.folders)
        if len({sample.expression for sample in photos.samples}) < 2:
            raise DataError(f"{self.data[0]}: all photos show one expression; a judge needs several")
        if self.resume:
            return photos, read_split(out / SPLIT)
        return photos, split_by_person(photos.samples, self.test_fraction)


def card(
    record: WeightsRecord,
    figures: Sequence[JudgeFigures],
    training: JudgeTraining,
    steps: int,
    start: str = "",
) -> str:
    """Return the model card as Markdown; ``start`` is the file that the weights came from, empty = random ones."""
    from_what = ""
    if start:
        from_what = (
            f"; started from {Path(start).name}, which may have been trained on people that are held out here"
        )
    lines = [
        *card_head(
            record,
            f"{steps} steps of {training.batch} crops, a fifth of them mixed, peak rate {training.rate:g}{from_what}",
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
