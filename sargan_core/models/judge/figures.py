"""Results of a judge on people it was not trained on, and the calibration of its probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import mannwhitneyu
from torch import Tensor, nn

from sargan_core.data.rendered import UNITS
from sargan_core.data.samples import SYNTH, TRANSFER
from sargan_core.expressions import LABELS
from sargan_core.models.judge.data import JudgeCrops
from sargan_core.models.judge.network import Judge

Logits = npt.NDArray[np.float64]
BINS = 10
PHOTO = "real photos (neutral, happy)"
TRANSFERRED = "real people, transferred expressions"
RENDERED = "rendered people"
SINGLE = "rendered people, face units"


@dataclass(frozen=True)
class JudgeFigures:
    """Results of a judge on held-out people.

    Attributes:
        kind: of the pictures.
        crops: number of crops.
        people: number of people.
        accuracy: fraction of crops whose likeliest expression is the true one.
        recall: the same per true expression, in label order; None where there is none.
        calibration_error: expected difference of confidence and accuracy (ten bins), with a temperature that was
            fitted on other people.
        confusion: (7, 7) counts, row = true, column = judged.
        same_person: mean cosine of two pictures of one person with different expressions; None = no such two.
        other_person: mean cosine of two pictures of different people; None = no such two.
        verification: probability that the first is above the second (area under the ROC curve); None = unknown.
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


def calibrate(judge: Judge, crops: JudgeCrops) -> float:
    """Calibrate the last layer on ``crops``; return the temperature that it was divided by."""
    temperature = best_temperature(judged(judge, crops.inner)[0], crops.shown)
    last = judge.classes[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.div_(temperature)
        last.bias.div_(temperature)
    return temperature


def best_temperature(logits: Logits, labels: npt.NDArray[np.float64]) -> float:
    """Return the divisor of the logits with the least cross-entropy (Guo et al. 2017), within 0.2 to 5.

    Args:
        logits: (N, 7).
        labels: (N, 7) probabilities.
    """

    def loss(log_temperature: float) -> float:
        scores = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float((labels * scores).sum(1).mean())

    found = minimize_scalar(loss, bounds=(np.log(0.2), np.log(5.0)), method="bounded")
    return float(np.exp(found.x))


def held_out_figures(judge: Judge, crops: JudgeCrops) -> list[JudgeFigures]:
    """Return the figures on ``crops``, each kind of picture by itself.

    Args:
        judge: the judge.
        crops: of people it was not trained on; the likeliest of ``shown`` counts as the true expression.
    """
    shown = crops.shown
    logits, embeddings = judged(judge, crops.inner)
    probabilities = _cross_calibrated(logits, shown, crops.persons)
    kinds = np.select(
        [crops.sources == SYNTH, crops.sources == TRANSFER, crops.sources == UNITS],
        [RENDERED, TRANSFERRED, SINGLE],
        PHOTO,
    )
    figures = []
    for kind in (PHOTO, TRANSFERRED, RENDERED, SINGLE):
        ours = kinds == kind
        if not ours.any():
            continue
        labels, people = shown[ours].argmax(1), crops.persons[ours]
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
                calibration_error=calibration_error(probabilities[ours], shown[ours]),
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


def calibration_error(probabilities: Logits, labels: npt.NDArray[np.float64]) -> float:
    """Return the expected calibration error of (N, 7) probabilities over ten equal bins of confidence.

    Args:
        probabilities: of the judge.
        labels: (N, 7) probability that strangers would name each expression; one-hot where the truth is known.
    """
    confidence = probabilities.max(1)
    right = labels[np.arange(len(labels)), probabilities.argmax(1)]
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [
        abs(confidence[place == number].mean() - right[place == number].mean()) * (place == number).mean()
        for number in np.unique(place)
    ]
    return float(sum(gaps))


def _cross_calibrated(
    logits: Logits, labels: npt.NDArray[np.float64], people: npt.NDArray[np.str_]
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
