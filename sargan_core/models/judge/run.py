"""A training run of the judge, from photos to weights with card and figures; what ``sargan train judge`` calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import mannwhitneyu
from torch import Tensor, nn

from sargan_core.data.crop_set import CropSet, make_crop_set
from sargan_core.data.crops import Cropper
from sargan_core.data.samples import SYNTH, TRANSFER, Sample
from sargan_core.data.sources import Sources, read_sources
from sargan_core.data.split import SPLIT, Split, read_split, split_by_person
from sargan_core.errors import DataError
from sargan_core.expressions import LABELS
from sargan_core.models.judge.network import TEMPLATE, Judge
from sargan_core.models.judge.task import JudgeData, JudgeTask, JudgeTraining, judge_data, moved_pairs
from sargan_core.photo.files import write_text
from sargan_core.progress import Progress
from sargan_core.training.augment import AugmentSettings
from sargan_core.training.loop import LoopSettings
from sargan_core.training.plan import TrainingPlan, count_parameters, random_crops, seconds_per_step, survey
from sargan_core.training.run_folder import card_head
from sargan_core.training.session import Prepared, TrainingRun
from sargan_core.weights import WeightsRecord, open_weights

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


@dataclass(frozen=True, kw_only=True)
class JudgeRun(TrainingRun):
    """A training run of the judge, on the CPU.

    The people to train on are cut by the landmarks that come with the data; those held out by what is found in
    the photo, as when edits are judged. The probabilities are calibrated on the people held out, and the reported
    calibration error on the other half of them each. A resumed run keeps its own split.

    Attributes:
        loop: length and what is written how often; its number of steps counts, not that of ``training``.
        training: how.
    """

    loop: LoopSettings
    training: JudgeTraining

    weights: ClassVar[str] = "judge.safetensors"

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Build a run from ``dataclasses.asdict`` of one, or of its training alone, as earlier versions wrote."""
        if "training" not in values:
            values = {"data": (), "loop": {"steps": values["steps"]}, "training": values}
        training = values["training"]
        training = JudgeTraining(**{**training, "augment": AugmentSettings(**training["augment"])})
        return super().from_json({**values, "training": training})

    def prepare(self, out: Path, fabric: Fabric, cache: Path | None, progress: Progress) -> Prepared:
        """Crop the photos; see ``TrainingRun.prepare``."""
        sources, split = self._sources(out)
        skipped = list(sources.skipped)

        def cut(samples: Sequence[Sample], *, known_first: bool) -> CropSet:
            cropper = Cropper(
                TEMPLATE,
                landmarks=self.landmarks,
                known_first=known_first,
                cache=cache,
                max_pixels=self.max_pixels,
            )
            pairs = moved_pairs(samples) if known_first else []
            crops, missed = make_crop_set(samples, pairs, cropper, progress)
            skipped.extend(missed)
            return crops

        known, unseen = split.apply(sources.samples)
        train_crops = cut(known, known_first=True)
        test_crops = cut(unseen, known_first=False) if unseen else train_crops
        names = ", ".join(sorted({sample.source for sample in known}))
        described = f"{len(split.train)} people of {names}"
        training = replace(self.training, steps=self.loop.steps)
        task = JudgeTask(training, judge_data(train_crops), judge_data(test_crops), described)

        def finish(folder: Path, progress: Progress) -> None:
            temperature = calibrate(task.judge, torch.from_numpy(test_crops.images), test_crops.labels)
            figures = held_out_figures(task.judge, test_crops)
            task.export(folder / self.weights)
            values = {"temperature": temperature, "figures": [asdict(row) for row in figures]}
            write_text(folder / FIGURES, json.dumps(values, indent=2) + "\n")
            record = open_weights(folder / self.weights)[0]
            write_text(folder / CARD, card(record, figures, training, training.steps))

        return Prepared(tuple(skipped), split, task, finish)

    def plan(self, out: Path, fabric: Fabric) -> TrainingPlan:
        """Return the plan; see ``TrainingRun.plan``."""
        sources, split = self._sources(out)
        training = replace(self.training, steps=self.loop.steps)
        task = JudgeTask(training, random_judge_data(len(split.train)), random_judge_data(1))
        return TrainingPlan(
            survey(sources.samples, split, skipped=sources.skipped),
            size=TEMPLATE.size,
            model="judge",
            recipe=f"batch {training.batch} and {training.mixed} mixed, rate {training.rate:g}, seed {training.seed}",
            parameters={"judge": count_parameters(task.judge)},
            steps=self.loop.steps,
            step_seconds=seconds_per_step(task, self.loop.steps),
        )

    def _sources(self, out: Path) -> tuple[Sources, Split]:
        sources = read_sources(self.folders)
        if len({sample.expression for sample in sources.samples}) < 2:
            raise DataError(f"{self.data[0]}: all photos show one expression; a judge needs several")
        if self.resume:
            return sources, read_split(out / SPLIT)
        return sources, split_by_person(sources.samples, self.test_fraction)


def random_judge_data(people: int) -> JudgeData:
    """Return noise to measure a step on: crops of ``people`` people, of whom one is shown."""
    count = len(LABELS)
    first = torch.zeros(count, dtype=torch.int64)
    names = tuple(f"p{number}" for number in range(max(1, people)))
    chances = torch.ones(count, dtype=torch.float64)
    return JudgeData(random_crops(TEMPLATE.size), torch.arange(count), first, first.bool(), chances, names)


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


Logits = npt.NDArray[np.float64]


BINS = 10
PHOTO = "real photos (neutral, happy)"
TRANSFERRED = "real people, transferred expressions"
RENDERED = "rendered people"


@dataclass(frozen=True)
class JudgeFigures:
    """What a judge reaches on held-out people.

    Attributes:
        kind: which pictures.
        crops: how many.
        people: of how many people.
        accuracy: part whose likeliest expression is the true one.
        recall: per true expression (``expressions.LABELS``), the part judged right; None where there is none.
        calibration_error: expected difference of confidence and accuracy (ten bins), with a temperature that was
            fitted on other people.
        confusion: (7, 7) counts, row = true, column = judged.
        same_person: mean cosine of two pictures of one person with different expressions; None = no such two.
        other_person: mean cosine of two pictures of different people; None = no such two.
        verification: how likely the first is above the second (area under the ROC curve); None = cannot be told.
    """

    kind: str
    crops: int
    people: int
    accuracy: float
    recall: tuple[float | None, ...]
    calibration_error: float
    confusion: tuple[tuple[int, ...], ...]
    same_person: float | None
    other_person: float | None
    verification: float | None


def judged(judge: Judge, crops: Tensor) -> tuple[Logits, npt.NDArray[np.float64]]:
    """Return logits (N, 7) and embeddings (N, D) of uint8 crops (N, 3, S, S)."""
    judge.eval()
    with torch.inference_mode():
        parts = [judge.judge(part.float() / 255) for part in crops.split(128)]
    logits, embeddings = (torch.cat(column).double().numpy() for column in zip(*parts, strict=True))
    return logits, embeddings


def calibrate(judge: Judge, crops: Tensor, labels: npt.NDArray[np.int64]) -> float:
    """Scale the last layer so that probabilities are right on ``crops``; return the temperature it was divided by."""
    temperature = best_temperature(judged(judge, crops)[0], labels)
    last = judge.classes[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.div_(temperature)
        last.bias.div_(temperature)
    return temperature


def best_temperature(logits: Logits, labels: npt.NDArray[np.int64]) -> float:
    """Return the divisor of the logits with the least cross-entropy (Guo et al. 2017), within 0.2 to 5."""

    def loss(log_temperature: float) -> float:
        scores = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(scores[np.arange(len(labels)), labels].mean())

    found = minimize_scalar(loss, bounds=(np.log(0.2), np.log(5.0)), method="bounded")
    return float(np.exp(found.x))


def held_out_figures(judge: Judge, crops: CropSet) -> list[JudgeFigures]:
    """Return the figures on ``crops``, each kind of picture by itself."""
    logits, embeddings = judged(judge, torch.from_numpy(crops.images))
    probabilities = _cross_calibrated(logits, crops.labels, crops.persons)
    kinds = np.select([crops.sources == SYNTH, crops.sources == TRANSFER], [RENDERED, TRANSFERRED], PHOTO)
    figures = []
    for kind in (PHOTO, TRANSFERRED, RENDERED):
        ours = kinds == kind
        if not ours.any():
            continue
        labels, people = crops.labels[ours], crops.persons[ours]
        guess = logits[ours].argmax(1)
        confusion = np.zeros((len(LABELS), len(LABELS)), int)
        np.add.at(confusion, (labels, guess), 1)
        counts = confusion.sum(1)
        same, other = person_cosines(embeddings[ours], labels, people)
        figures.append(
            JudgeFigures(
                kind=kind,
                crops=int(ours.sum()),
                people=len(set(people.tolist())),
                accuracy=float((guess == labels).mean()),
                recall=tuple(
                    float(confusion[row, row] / count) if count else None for row, count in enumerate(counts)
                ),
                calibration_error=calibration_error(probabilities[ours], labels),
                confusion=tuple(tuple(int(value) for value in row) for row in confusion),
                same_person=float(same.mean()) if len(same) else None,
                other_person=float(other.mean()) if len(other) else None,
                verification=verification(same, other),
            )
        )
    return figures


def person_cosines(
    embeddings: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], people: npt.NDArray[np.str_]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the cosines of all pairs of one person with different expressions, and of all pairs of two people."""
    cosine = embeddings @ embeddings.T
    once = np.triu(np.ones_like(cosine, bool), 1)
    one_person = people[:, None] == people[None]
    return cosine[once & one_person & (labels[:, None] != labels[None])], cosine[once & ~one_person]


def verification(same: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float | None:
    """Return the area under the ROC curve: 1 = every pair of one person is above every pair of two, 0.5 = chance."""
    if not len(same) or not len(other):
        return None
    return float(mannwhitneyu(same, other).statistic / (len(same) * len(other)))


def calibration_error(probabilities: Logits, labels: npt.NDArray[np.int64]) -> float:
    """Return the expected calibration error of (N, 7) probabilities over ten equal bins of confidence."""
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == labels
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [
        abs(confidence[place == number].mean() - right[place == number].mean()) * (place == number).mean()
        for number in np.unique(place)
    ]
    return float(sum(gaps))


def _cross_calibrated(
    logits: Logits, labels: npt.NDArray[np.int64], people: npt.NDArray[np.str_]
) -> npt.NDArray[np.float64]:
    """Return probabilities of every crop with a temperature fitted on the other half of the people."""
    order = {person: number for number, person in enumerate(sorted(set(people.tolist())))}
    half = np.array([order[person] % 2 for person in people.tolist()])
    result = np.empty_like(logits)
    for side in (0, 1):
        mine = half == side
        fitted_on = ~mine if (~mine).any() else mine
        temperature = best_temperature(logits[fitted_on], labels[fitted_on])
        result[mine] = softmax(logits[mine] / temperature, axis=1)
    return result
