import numpy as np
import pytest
import torch

from sargan_core.data.crop_set import CropSet
from sargan_core.expressions import LABELS
from sargan_core.models.judge.network import TEMPLATE, build_judge
from sargan_core.models.judge.run import (
    best_temperature,
    calibrate,
    calibration_error,
    held_out_figures,
    judged,
    verification,
)
from sargan_core.models.judge.task import JudgeData, JudgeTask, JudgeTraining, judge_data, mixing_weights
from sargan_core.training.augment import NONE
from sargan_core.training.loop import LoopSettings, train
from sargan_core.training.run_folder import RunFolder
from sargan_core.weights import open_weights

PEOPLE = ("london-1", "london-2", "synth-1", "synth-2", "synth-3")


def crop_set() -> CropSet:
    """Stripes whose direction and width stand for the expression, on a ground whose colour stands for the person."""
    size = TEMPLATE.size
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    images, labels, persons = [], [], []
    for person in PEOPLE:
        colour = rng.uniform(60, 200, 3)
        for label in range(len(LABELS)):
            stripes = np.sin((x * np.cos(label) + y * np.sin(label)) * (0.4 + 0.1 * label))
            images.append(np.clip(colour[:, None, None] + 50 * stripes, 0, 255).astype(np.uint8))
            labels.append(label)
            persons.append(person)
    count = len(images)
    sources = [person.split("-")[0] for person in persons]
    return CropSet(
        TEMPLATE,
        np.stack(images),
        np.full((count, 68, 2), np.nan, np.float32),
        np.array(labels),
        np.ones(count, bool),
        np.array(persons),
        np.array(sources),
        np.array(persons),
        np.zeros((0, 2), np.int64),
    )


@pytest.fixture(scope="module")
def crops() -> CropSet:
    return crop_set()


@pytest.fixture(scope="module")
def data(crops) -> JudgeData:
    return judge_data(crops)


def task(data: JudgeData, steps: int = 20) -> JudgeTask:
    return JudgeTask(JudgeTraining(steps, batch=14, mixed=4, augment=NONE), data, data, "stripes")


def test_expressions_and_kinds_are_drawn_in_their_shares(data):
    chances = data.chances / data.chances.sum()
    assert torch.allclose(chances[data.rendered].sum(), torch.tensor(0.4, dtype=torch.float64))
    by_label = torch.stack([chances[data.labels == label].sum() for label in range(len(LABELS))])
    assert torch.allclose(by_label, torch.full_like(by_label, 1 / len(LABELS)))


def test_a_second_face_covers_a_part_between_nothing_and_everything():
    weights = mixing_weights(200, 32, torch.Generator().manual_seed(0))
    assert weights.min() >= 0
    assert weights.max() <= 1
    shares = weights.mean((1, 2, 3))
    assert shares.min() > 0.05
    assert shares.max() < 0.95


def test_training_learns_both_and_resumes_exactly(data, crops, tmp_path):
    losses: list[dict[str, float]] = []
    whole = RunFolder(tmp_path / "whole")
    halves = RunFolder(tmp_path / "halves")
    often = {"checkpoint_every": 10, "sheet_every": 20}
    trained = task(data)
    train(
        trained,
        LoopSettings(20, **often),
        whole,
        lambda _, values: losses.append(values),
        "judge.safetensors",
    )
    train(task(data), LoopSettings(10, **often), halves, weights="judge.safetensors")
    train(task(data), LoopSettings(20, resume=True, **often), halves, weights="judge.safetensors")
    for name in ("expression", "identity"):
        assert np.mean([row[name] for row in losses[-5:]]) < 0.7 * np.mean([row[name] for row in losses[:3]])
    one, other = (open_weights(folder.path / "judge.safetensors") for folder in (whole, halves))
    assert all(torch.equal(one[1][name], other[1][name]) for name in one[1])
    assert one[0].data == "stripes"

    before = judged(trained.judge, data.crops)[0]
    temperature = calibrate(trained.judge, data.crops, crops.labels)
    after = judged(trained.judge, data.crops)[0]
    assert np.allclose(after, before / temperature, atol=1e-4)
    rows = held_out_figures(build_judge(*one), crops)
    assert [row.people for row in rows] == [2, 3]
    assert all(sum(map(sum, row.confusion)) == row.crops for row in rows)


def test_a_temperature_mends_confidence():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, 3000)
    logits = rng.normal(size=(3000, 7))
    logits[np.arange(3000), labels] += 2
    loud = 4 * logits
    temperature = best_temperature(loud, labels)
    # Normal scores with a shift of 2 have log odds of twice the score.
    assert temperature == pytest.approx(2, rel=0.15)

    def softmax(x: np.ndarray) -> np.ndarray:
        e = np.exp(x - x.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    assert (
        calibration_error(softmax(loud / temperature), labels)
        < 0.03
        < calibration_error(softmax(loud), labels)
    )


def test_verification_counts_the_pairs_in_the_right_order():
    assert verification(np.array([0.9, 0.8]), np.array([0.1, 0.5])) == 1
    assert verification(np.array([0.5]), np.array([0.5])) == 0.5
    assert verification(np.array([0.3]), np.array([0.1, 0.6])) == 0.5
