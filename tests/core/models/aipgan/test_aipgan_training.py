from dataclasses import replace

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from sargan_core.data.crop_table import CropSet
from sargan_core.faces.face import Template
from sargan_core.faces.landmarks import MIRRORED
from sargan_core.models.aipgan.data import TransferBank, draw_triples, make_bank
from sargan_core.models.aipgan.network import AipganSettings
from sargan_core.models.aipgan.parts import shut_lids
from sargan_core.models.aipgan.recipe import AipganTraining, paired_recipe, paper_recipe
from sargan_core.models.aipgan.task import AipganTask, attention_error, blobs
from sargan_core.models.aipgan.train_parts import fit_shading, lid_patches, train_lids
from sargan_core.models.sargan.generator import DiscriminatorSettings
from sargan_core.training.checks import settings_from_json
from sargan_core.training.loop import LoopSettings, train
from sargan_core.training.run_folder import RunFolder
from sargan_core.weights import find_record

SIZE = 64
TEMPLATE = replace(Template.from_json(find_record("pixel").template), size=SIZE)
SHAPE = np.asarray(TEMPLATE.shape) * SIZE - 0.5
PEOPLE = 5


def smile(amount):
    points = SHAPE.copy()
    points[[48, 60]] += [-amount, -amount]
    points[[54, 64]] += [amount, -amount]
    return points


def drawn(landmarks, tone):
    """A face: skin, eyes and a mouth whose corners lie at the landmarks; smiling cheeks are darker."""
    import cv2

    canvas = np.full((SIZE, SIZE, 3), tone, np.uint8)
    for part, colour in ((slice(36, 42), 250), (slice(42, 48), 250), (slice(48, 60), 60)):
        cv2.fillPoly(canvas, [landmarks[part].round().astype(np.int32)], (colour, colour // 2, colour // 2))
    if landmarks[54, 0] > SHAPE[54, 0] + 0.5:
        for corner, side in ((48, -1), (54, 1)):
            x, y = landmarks[corner].round().astype(int)
            canvas[y - 5 : y + 1, x + 2 * side - 1 : x + 2 * side + 2] = tone // 2
    return canvas.transpose(2, 0, 1)


@pytest.fixture(scope="module")
def crops():
    images, landmarks, labels, persons = [], [], [], []
    for person in range(PEOPLE):
        for amount, label in ((0, 4), (3, 3), (2.5, 3)):
            points = smile(amount)
            images.append(drawn(points, 120 + 20 * person))
            landmarks.append(points)
            labels.append(label)
            persons.append(f"p{person}")
    sources = np.array(["transfer"] * len(images))
    return CropSet(
        template=TEMPLATE,
        images=np.stack(images),
        landmarks=np.asarray(landmarks, np.float32),
        labels=np.asarray(labels),
        persons=np.asarray(persons),
        sources=sources,
        pairs=np.array([(3 * person, 3 * person + other) for person in range(PEOPLE) for other in (1, 2)]),
    )


@pytest.fixture(scope="module")
def shading(crops):
    return fit_shading(crops)


@pytest.fixture(scope="module")
def bank(crops, shading):
    return make_bank(crops, draw_triples(crops, 24), shading)


def small(**changes):
    network = AipganSettings(width=8, size=SIZE, residual=changes.pop("residual", True))
    judge = DiscriminatorSettings(width=8, layers=4, size=SIZE)
    settings = {"batch": 2, "discriminator": judge, "adversarial_from": 99, "consistency_from": 99, **changes}
    return replace(paired_recipe(network), **settings)


def make_task(bank, training, written=None):
    def write(network, path):
        if written is not None:
            written.append(path)

    return AipganTask(training, bank, bank, Fabric(accelerator="cpu"), write)


def test_triples_take_the_same_expression_from_somebody_else(crops):
    triples = draw_triples(crops, 200, seed=3)
    reference, target, truth = triples.T
    assert (crops.persons[reference] != crops.persons[truth]).all()
    assert (crops.persons[target] == crops.persons[truth]).all()
    assert (target != truth).mean() > 0.7
    same = crops.labels[reference] == crops.labels[truth]
    assert same[crops.labels[truth] == 4].mean() > 0.6
    assert np.array_equal(draw_triples(crops, 200, seed=3), triples)


def test_people_on_one_side_only(crops):
    kept = crops.select(np.isin(crops.persons, ["p1", "p3"]))
    assert set(kept.persons) == {"p1", "p3"}
    assert (kept.persons[kept.neutral] == kept.persons).all()
    assert np.array_equal(kept.motions, crops.motions[np.isin(crops.persons, ["p1", "p3"])])


def test_shading_darkens_where_a_smile_does_and_only_with_motion(shading):
    assert torch.allclose(shading(np.zeros((68, 2)), SIZE), torch.ones(1, 1, SIZE, SIZE))
    factor = shading(smile(3) - SHAPE, SIZE)[0, 0]
    x, y = smile(3)[54].round().astype(int)
    assert factor[y - 4 : y, x + 1 : x + 4].mean() < 0.9
    assert abs(float(factor[5:10, 5:10].mean()) - 1) < 0.02


def test_moved_targets_are_nearer_the_truth_than_still_ones(bank):
    still, truth = bank.pictures(bank.triples[:, 1:]).unbind(1)
    moved = torch.from_numpy(bank.moved).float() / 255
    assert (moved - truth).abs().mean() < 0.9 * (still - truth).abs().mean()


def test_mirrored_batches_carry_mirrored_landmarks(bank):
    random = torch.Generator().manual_seed(0)
    batch = bank.draw(40, SIZE, random, moved=False)
    shape = torch.from_numpy((SHAPE + 0.5) / SIZE).float()
    assert (batch.landmarks[:, 36, 0] < 0.5).all()
    assert (batch.landmarks - shape).abs().max() < 0.1
    swapped = batch.landmarks[:, list(MIRRORED)] * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
    assert (swapped - shape).abs().max() < 0.1
    alone = bank.draw(40, SIZE, random, moved=False, self_share=1.0)
    assert torch.equal(alone.target, alone.truth)
    assert torch.equal(alone.reference, alone.truth)


def test_bank_comes_back_from_its_file(bank, tmp_path):
    bank.save(tmp_path / "bank.safetensors")
    again = TransferBank.load(tmp_path / "bank.safetensors")
    assert again.template == bank.template
    for name in ("images", "landmarks", "persons", "neutral", "triples", "moved"):
        assert np.array_equal(getattr(again, name), getattr(bank, name)), name
    assert again.people == PEOPLE


def test_blobs_peak_at_the_landmarks_and_attention_is_judged_by_them():
    points = torch.full((1, 68, 2), 0.25)
    maps = blobs(points, 16)
    assert maps.shape == (1, 68, 16, 16)
    assert maps[0, 0].argmax() in (3 * 16 + 3, 3 * 16 + 4, 4 * 16 + 3, 4 * 16 + 4)
    wanted = maps.amax(1, keepdim=True)
    right, wrong = 10 * (wanted - 0.5), 10 * (0.5 - wanted)
    assert attention_error((right,), points) < 0.2 * attention_error((wrong,), points)


def test_every_term_of_the_paper_is_there(bank):
    network = AipganSettings(width=8, size=SIZE)
    training = replace(paper_recipe(network, batch=2), critic_steps=1)
    training = replace(training, discriminator=DiscriminatorSettings(width=8, layers=4, size=SIZE))
    metrics = make_task(bank, training).step(1)
    wanted = {"pixel", "landmarks", "attention", "intrinsic", "consistency", "g_real", "g_class", "g_person"}
    assert wanted | {"d_real", "d_class", "d_person"} <= set(metrics)
    assert all(torch.isfinite(value) for value in metrics.values())


def test_left_out_ideas_leave_out_their_losses(bank):
    training = small()
    training = replace(training, network=replace(training.network, attention=False, intrinsic=False))
    assert not {"attention", "intrinsic"} & set(make_task(bank, training).step(1))


def test_training_learns(bank):
    task = make_task(bank, small(batch=4, squared_until=99))
    first = [float(task.step(step)["landmarks"]) for step in range(1, 4)]
    last = [float(task.step(step)["landmarks"]) for step in range(4, 24)][-3:]
    assert np.mean(last) < 0.8 * np.mean(first)


def test_a_resumed_run_goes_on_exactly(bank, tmp_path):
    training = small(adversarial_from=2, consistency_from=2)
    loop = LoopSettings(steps=4, log_every=1, sheet_every=4, checkpoint_every=2)
    written = []
    whole = make_task(bank, training, written)
    train(whole, loop, RunFolder(tmp_path / "whole"))
    train(make_task(bank, training), replace(loop, steps=2), RunFolder(tmp_path / "parts"))
    parts = make_task(bank, training)
    train(parts, replace(loop, resume=True), RunFolder(tmp_path / "parts"))
    for one, other in zip(whole.network.parameters(), parts.network.parameters(), strict=True):
        assert torch.equal(one, other)
    assert written
    assert whole.sheet().dtype == torch.uint8


def test_settings_survive_json():
    from dataclasses import asdict

    training = small(rate=3e-4)
    assert settings_from_json(AipganTraining, asdict(training)) == training


def test_shut_eyes_are_told_from_open_ones(crops, monkeypatch):
    from sargan_core.models.aipgan import train_parts as lids

    monkeypatch.setattr(lids, "SHUT", 40)
    monkeypatch.setattr(lids, "OPEN", 40)
    monkeypatch.setattr(lids, "STEPS", 150)
    patches, answers = lid_patches(crops, seed=1)
    assert patches.shape == (160, 2, 24, 32)
    assert 0.1 < answers.mean() < 0.5
    network = train_lids(patches, answers)
    with torch.no_grad():
        right = (network(patches) > 0).float() == answers
    assert right.float().mean() > 0.9
    points = shut_lids(SHAPE, np.array([1.0, 0.0]))
    assert abs(points[41, 1] - points[37, 1]) < 1e-9
    assert np.array_equal(points[42:48], SHAPE[42:48])
