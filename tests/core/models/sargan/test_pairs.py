"""Training data as arrays: drawing, selecting, packing, and how a crop set becomes pairs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from tiny_sargan import tiny_pairs

from sargan_core.data.crop_table import CropSet
from sargan_core.errors import DataError
from sargan_core.expressions import Expression
from sargan_core.models.sargan.data import (
    CropPairs,
    Photos,
    crop_pairs,
    prepare,
    sargan_template,
    sheet_samples,
)

NEUTRAL, HAPPY = Expression.NEUTRAL.label, Expression.HAPPY.label


def test_people_held_out_are_in_no_pair_of_training():
    data = tiny_pairs()
    training, test = data.training(), data.test()
    assert set(training.persons) == {"p1", "p2", "p3"}
    assert set(test.persons) == {"p0"}
    assert len(training.pairs) + len(test.pairs) == len(data.pairs)
    whole = data.select(np.arange(len(data)))
    for part in (training, whole):
        for source, target in part.pairs.tolist():
            assert part.persons[source] == part.persons[target]


def test_draws_follow_the_odds():
    data = tiny_pairs()
    odds = np.zeros(len(data.pairs), np.float32)
    odds[5] = 1
    batch = replace(data, odds=odds).draw(3, torch.Generator().manual_seed(0), torch.device("cpu"))
    source, target = data.pairs[5].tolist()
    assert torch.equal(batch.source, data.pictures(source).expand(3, -1, -1, -1))
    assert torch.equal(batch.target, data.pictures(target).expand(3, -1, -1, -1))
    assert batch.target_label.tolist() == [int(data.labels[target])] * 3


def test_packing_keeps_everything(tmp_path: Path):
    data = tiny_pairs()
    data.save(tmp_path / "pack.safetensors")
    loaded = CropPairs.load(tmp_path / "pack.safetensors")
    assert loaded.template == data.template
    for name in ("images", "persons", "held_out", "labels", "pairs", "odds", "trust", "mask", "landmarks"):
        assert np.array_equal(getattr(loaded, name), getattr(data, name)), name


def test_packs_of_earlier_versions_are_read(tmp_path: Path):
    data, file = tiny_pairs(), tmp_path / "pack.safetensors"
    arrays = {name: getattr(data, name) for name in ("labels", "pairs", "odds", "trust", "mask")}
    described = {"template": data.template.to_json(), "persons": data.persons.tolist(), "held_out": ["p0"]}
    texts = {name: json.dumps(value) for name, value in described.items()}
    save_file({"crops": data.images, **arrays}, file, texts)
    loaded = CropPairs.load(file)
    assert np.array_equal(loaded.images, data.images)
    assert len(loaded.test()) == 7


def test_a_pack_of_another_size_is_refused(tmp_path: Path):
    tiny_pairs().save(tmp_path / "pack.safetensors")
    assert prepare(Photos([tmp_path / "pack.safetensors"]), sargan_template(32))[0].template.size == 32
    with pytest.raises(DataError, match="--size 32"):
        prepare(Photos([tmp_path / "pack.safetensors"]), sargan_template(64))


def test_broken_packs_are_named(tmp_path: Path):
    (tmp_path / "pack.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"pack\.safetensors"):
        CropPairs.load(tmp_path / "pack.safetensors")


def test_arrays_that_do_not_fit_are_refused():
    data = tiny_pairs()
    with pytest.raises(DataError, match="labels"):
        replace(data, labels=data.labels[:-1])
    with pytest.raises(DataError, match="crop 999"):
        replace(data, pairs=np.array([[0, 999]]))


def crop_set() -> CropSet:
    """One real person with a still and a loose pair, one rendered person."""
    labels = [NEUTRAL, HAPPY, HAPPY, NEUTRAL, HAPPY]
    count = len(labels)
    return CropSet(
        template=sargan_template(32),
        images=np.zeros((count, 3, 32, 32), np.uint8),
        landmarks=np.full((count, 68, 2), np.nan, np.float32),
        labels=np.array(labels, np.int64),
        own=np.array([True, False, False, True, False]),
        persons=np.array(["london-1"] * 3 + ["synth-1"] * 2),
        sources=np.array(["london", "transfer", "london", "synth", "synth"]),
        paths=np.array([f"{index}.jpg" for index in range(count)]),
        pairs=np.array([[0, 1], [0, 2], [3, 4]], np.int64),
    )


def test_pairs_that_move_are_trusted_less_and_rendered_people_drawn_less():
    data = crop_pairs(crop_set())
    rows = {tuple(pair): index for index, pair in enumerate(data.pairs.tolist())}
    assert data.trust[rows[0, 1]] == 1
    assert data.trust[rows[0, 2]] < 1
    assert data.odds[rows[0, 1]] == data.odds[rows[0, 2]]
    assert data.odds[rows[3, 4]] < data.odds[rows[0, 1]] + data.odds[rows[0, 2]]


def test_every_own_crop_teaches_to_leave_it_alone():
    data = crop_pairs(crop_set())
    same = [tuple(pair) for pair in data.pairs.tolist() if pair[0] == pair[1]]
    assert same == [(0, 0), (3, 3)]


def test_sheets_show_different_people_and_a_smile():
    samples = sheet_samples(tiny_pairs(), 6)
    assert len(set(samples.persons[:4])) == 4
    assert samples.labels.tolist() == [NEUTRAL] * 4 + [HAPPY] * 2
