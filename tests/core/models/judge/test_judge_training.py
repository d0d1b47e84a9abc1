from pathlib import Path

import numpy as np
import pytest
import torch

from sargan_core.data.crop_table import CropSet
from sargan_core.data.rendered import UNITS, read_units, read_with_units, unit_folders
from sargan_core.errors import DataError, WeightsError
from sargan_core.expressions import LABELS, Expression
from sargan_core.models.judge.data import MARGIN, judge_crops, judge_photos, wide_template
from sargan_core.models.judge.figures import (
    best_temperature,
    calibrate,
    calibration_error,
    held_out_figures,
    judged,
    verification,
)
from sargan_core.models.judge.labels import TYPICAL, code_labels, named_rows
from sargan_core.models.judge.network import TEMPLATE, Judge, build_judge
from sargan_core.models.judge.run import JudgeRun
from sargan_core.models.judge.task import JudgeLesson, JudgeTask, JudgeTraining, judge_views
from sargan_core.training.loop import LoopSettings, train
from sargan_core.training.run_folder import RunFolder
from sargan_core.weights import open_weights, weights_folder

PEOPLE = ("london-1", "london-2", "synth-1", "synth-2", "transfer-3", "units-4")
NAMES = tuple(
    part for unit in TYPICAL for part in ((f"{unit}_L", f"{unit}_R") if unit.startswith("brow") else (unit,))
)


def crop_set() -> CropSet:
    """Stripes whose direction and width stand for the expression, on a ground whose colour stands for the person."""
    size = wide_template().size
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
    return CropSet(
        template=wide_template(),
        images=np.stack(images),
        labels=np.array(labels),
        persons=np.array(persons),
        sources=np.array([person.split("-")[0] for person in persons]),
        paths=np.array([f"{person}/{label}.jpg" for person, label in zip(persons, labels, strict=True)]),
    )


@pytest.fixture(scope="module")
def crops() -> CropSet:
    return crop_set()


def code(**units: float) -> np.ndarray:
    """A code (1, U) of whole units."""
    values = np.zeros((1, len(NAMES)))
    for unit, weight in units.items():
        for name in (unit, f"{unit}_L", f"{unit}_R"):
            if name in NAMES:
                values[0, NAMES.index(name)] = weight
    return values


def test_probabilities_for_names_and_codes_are_probabilities():
    rng = np.random.default_rng(0)
    for rows in (named_rows(), code_labels(rng.uniform(0, 1.5, (50, len(NAMES))), NAMES)):
        assert (rows >= 0).all()
        assert np.allclose(rows.sum(1), 1)
    assert (named_rows().argmax(1) == np.arange(len(LABELS))).all()


@pytest.mark.parametrize(
    ("units", "expression"),
    [
        ({}, "neutral"),
        ({"brow_inner_up": 0.1}, "neutral"),
        ({"corner_pull": 1, "cheek_raise": 0.5}, "happy"),
        ({"brow_up": 1.1, "brow_inner_up": 1.2, "lid_wide": 1, "jaw_open": 0.6}, "surprised"),
        (
            {"brow_inner_up": 1.2, "brow_down": 0.3, "lid_wide": 1.1, "lip_stretch": 0.6, "neck_tight": 0.5},
            "fearful",
        ),
        ({"brow_down": 1.1, "lid_wide": 0.4, "lip_press": 0.6, "nostril_wide": 0.7}, "angry"),
        ({"nose_wrinkle": 1, "upper_lip_up": 0.8, "brow_down": 0.4}, "disgusted"),
        ({"brow_inner_up": 1.2, "corner_down": 0.7, "chin_raise": 0.3}, "sad"),
    ],
)
def test_codes_of_face_units_are_called_what_facs_calls_them(units, expression):
    (row,) = code_labels(code(**units), NAMES)
    assert LABELS[int(row.argmax())] is Expression(expression)


def test_half_a_code_is_less_certain_and_two_at_once_are_two():
    full, half = (code_labels(code(corner_pull=weight), NAMES)[0].max() for weight in (1.0, 0.6))
    assert half < full < 1
    (both,) = code_labels(code(brow_down=1.1, brow_inner_up=1.2, corner_down=0.7, lip_press=0.6), NAMES)
    assert both.max() < 0.7


def test_rendered_units_are_told_by_their_code_and_weak_transfers_as_weaker(crops):
    paths = [Path(str(path)) for path in crops.paths]
    codes = {path: np.eye(7)[3] for path, source in zip(paths, crops.sources, strict=True) if source == UNITS}
    shown = judge_crops(crops, codes).shown
    assert (shown[crops.sources == UNITS].argmax(1) == 3).all()
    posed, moved = (
        shown[(crops.sources == source) & (crops.labels == Expression.ANGRY.label)]
        for source in ("synth", "transfer")
    )
    assert moved[0, Expression.ANGRY.label] < posed[0, Expression.ANGRY.label]
    assert moved[0, Expression.NEUTRAL.label] > posed[0, Expression.NEUTRAL.label]
    drawn = judge_crops(crops, codes).chances
    assert drawn.sum() == pytest.approx(1)
    assert drawn[crops.sources == UNITS].sum() == pytest.approx(0.36)
    assert (
        np.ptp([drawn[(crops.sources == "synth") & (crops.labels == label)].sum() for label in range(7)])
        < 1e-9
    )


def test_a_folder_of_units_is_read_and_a_damaged_one_is_said(tmp_path):
    assert unit_folders([tmp_path]) == []
    count = 4
    arrays = {
        "names": np.array([f"u0_{number}.jpg" for number in range(count)]),
        "id": np.array(["u0", "u1"]),
        "identity": np.array([0, 0, 1, 1]),
        "code": np.repeat(code(corner_pull=1), count, 0),
        "code_names": np.array(NAMES),
        "landmarks": np.full((count, 68, 2), 10.5, np.float32),
        "jaw_contour": np.full((count, 17, 2), 20.5, np.float32),
        "visible": np.zeros((count, 68), bool),
        "pose": np.zeros((count, 3)),
    }
    np.savez(tmp_path / "units.npz", **arrays)
    units = read_units(tmp_path)
    assert set(units.persons) == {"units-u0", "units-u1"}
    assert (units.landmarks[:, :17] == 20).all()
    assert (units.landmarks[:, 17:] == 10).all()
    assert units.visible[:, 60:].all()
    photos = judge_photos([tmp_path])
    assert len(photos.samples) == len(photos.codes) == count
    assert all(LABELS[int(row.argmax())] is Expression.HAPPY for row in photos.codes.values())
    # The folder above will do, and its pictures are not told as left out for want of a name.
    inside = tmp_path / "all" / "units"
    (inside / "images").mkdir(parents=True)
    (inside / "images" / "u0_0.jpg").write_bytes(b"picture")
    (tmp_path / "all" / "happy").mkdir()
    (tmp_path / "all" / "happy" / "a.jpg").write_bytes(b"picture")
    np.savez(inside / "units.npz", **arrays)
    sources, sets = read_with_units([tmp_path / "all"])
    assert (len(sources.samples), len(sources.skipped), len(sets)) == (1, 0, 1)
    (tmp_path / "units.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"units\.npz"):
        read_units(tmp_path)


def test_views_are_pictures_of_the_judges_size():
    torch.manual_seed(0)
    crops = torch.rand(6, 3, wide_template().size, wide_template().size)
    views = judge_views(crops, TEMPLATE.size)
    assert views.shape == (6, 3, TEMPLATE.size, TEMPLATE.size)
    assert views.min() >= 0
    assert views.max() <= 1


def test_a_second_face_changes_picture_and_person_alike(crops):
    torch.manual_seed(0)
    lesson = JudgeLesson(judge_crops(crops, {}), batch=10, mixed=0.4)
    views = torch.rand(10, 3, TEMPLATE.size, TEMPLATE.size)
    shares = torch.eye(10)
    mixed, both = lesson._mix(views, shares)
    assert torch.equal(mixed[4:], views[4:])
    assert torch.equal(both[4:], shares[4:])
    assert torch.allclose(both.sum(1), torch.ones(10))
    assert ((both[:4] > 0.02).sum(1) == 2).all()


def test_training_learns_both_and_resumes_exactly(crops, tmp_path, monkeypatch):
    # So few steps learn nothing through views that are spoilt.
    monkeypatch.setattr(
        "sargan_core.models.judge.task.judge_views",
        lambda crops, size: crops[..., MARGIN:-MARGIN, MARGIN:-MARGIN],
    )
    known = judge_crops(crops, {})

    def task(steps: int = 24) -> JudgeTask:
        return JudgeTask(JudgeTraining(steps, batch=16), known, known, "stripes")

    losses: list[dict[str, float]] = []
    whole, halves = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "halves")
    often = {"checkpoint_every": 12, "sheet_every": 24}
    name = "judge.safetensors"
    train(task(), LoopSettings(24, **often), whole, lambda _, values: losses.append(values), name)
    train(task(), LoopSettings(12, **often), halves, weights=name)
    train(task(), LoopSettings(24, resume=True, **often), halves, weights=name)
    for part in ("expression", "identity"):
        assert np.mean([row[part] for row in losses[-5:]]) < np.mean([row[part] for row in losses[:3]])
    one, other = (open_weights(folder.path / name) for folder in (whole, halves))
    assert all(torch.equal(one[1][key], other[1][key]) for key in one[1])
    assert one[0].data == "stripes"

    judge = build_judge(*one)
    before = judged(judge, known.inner)[0]
    temperature = calibrate(judge, known)
    assert np.allclose(judged(judge, known.inner)[0], before / temperature, atol=1e-4)
    rows = held_out_figures(judge, known)
    assert [row.people for row in rows] == [2, 1, 2, 1]
    assert all(sum(map(sum, row.confusion)) == row.crops for row in rows)


def test_a_training_starts_from_the_weights_that_it_is_given(crops):
    known = judge_crops(crops, {})
    given = {name: value.clone() for name, value in Judge().state_dict().items()}
    task = JudgeTask(JudgeTraining(2, batch=16), known, known, start=given)
    assert all(torch.equal(task.lesson.judge.state_dict()[name], value) for name, value in given.items())
    # Every person's direction is where her pictures are.
    task.lesson.judge.eval()
    with torch.inference_mode():
        cosine = task.lesson.judge.embed(known.inner.float() / 255) @ task.lesson.people.T
    assert (cosine.argmax(1) == task.lesson.person).float().mean() > 0.5


def test_weights_of_another_network_are_no_start(tmp_path):
    run = JudgeRun(
        data=(str(tmp_path),),
        training=JudgeTraining(2),
        loop=LoopSettings(2),
        start=str(weights_folder() / "landmarks.safetensors"),
    )
    with pytest.raises(WeightsError, match="not a judge"):
        run.plan(tmp_path, run.fabric())


def test_a_temperature_mends_confidence():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, 3000)
    logits = rng.normal(size=(3000, 7))
    logits[np.arange(3000), labels] += 2
    loud = 4 * logits
    truth = np.eye(7)[labels]
    temperature = best_temperature(loud, truth)
    # Normal scores with a shift of 2 have log odds of twice the score.
    assert temperature == pytest.approx(2, rel=0.15)

    def softmax(x: np.ndarray) -> np.ndarray:
        e = np.exp(x - x.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    assert (
        calibration_error(softmax(loud / temperature), truth) < 0.03 < calibration_error(softmax(loud), truth)
    )


def test_doubt_in_the_labels_is_no_fault_of_a_judge_that_doubts():
    labels = np.tile([0.7, 0.3, 0, 0, 0, 0, 0], (40, 1))
    assert calibration_error(labels, labels) < 1e-9
    assert calibration_error(np.tile([0.98, 0.02, 0, 0, 0, 0, 0], (40, 1)), labels) > 0.2


def test_verification_counts_the_pairs_in_the_right_order():
    assert verification(np.array([0.9, 0.8]), np.array([0.1, 0.5])) == 1
    assert verification(np.array([0.5]), np.array([0.5])) == 0.5
    assert verification(np.array([0.3]), np.array([0.1, 0.6])) == 0.5
