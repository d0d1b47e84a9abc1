import numpy as np
import pytest

import sargan_core.models.mouths.bank as bank_file
from sargan_core.errors import WeightsError
from sargan_core.faces.face import Template
from sargan_core.faces.teeth import SIZE, Teeth
from sargan_core.models.mouths.bank import MouthBank, load_bank, save_bank
from sargan_core.weights import find_record, write_index


@pytest.fixture(scope="module")
def shipped():
    return load_bank()


def face():
    return np.asarray(Template.from_json(find_record("pixel").template).shape) * 256 - 0.5


def made(light):
    rows = np.full(SIZE[1], 40.0, np.float32)
    picture = np.full((*SIZE, 3), light, np.float32)
    return Teeth(picture, rows, rows + 50, rows + 40)


def test_the_shipped_bank_holds_bright_teeth_with_gaps_between_them(shipped):
    assert len(shipped.teeth) >= 10
    for teeth in shipped.teeth:
        middle = slice(SIZE[1] // 2 - 70, SIZE[1] // 2 + 70)
        row = int(np.median(teeth.upper[middle] + teeth.edge[middle]) / 2)
        line = teeth.picture[row, middle].mean(1)
        assert 0.9 < np.median(line) < 1.7
        assert line.std() > 0.02


def test_a_face_gets_the_same_teeth_whatever_its_size_and_place(shipped):
    assert shipped.choose(face()) is shipped.choose(face() * 3.7 + 100)
    assert shipped.choose(None) is shipped.teeth[0]


def test_different_mouths_get_different_teeth(shipped):
    chosen = set()
    for width in (0.8, 1.0, 1.25):
        points = face()
        points[48:, 0] = 127.5 + width * (points[48:, 0] - 127.5)
        chosen.add(id(shipped.choose(points)))
    assert len(chosen) > 1


def test_the_nearest_is_chosen():
    traits = np.array([[0.5, 0.2, 0.15], [0.6, 0.3, 0.2]], np.float32)
    bank = MouthBank((made(1.0), made(1.1)), traits)
    points = np.zeros((68, 2))
    points[[36, 45, 48, 54, 51, 57, 33]] = [
        [0, 0],
        [1, 0],
        [0, 2],
        [0.6, 2],
        [0.3, 1.9],
        [0.3, 2.2],
        [0.3, 1.7],
    ]
    assert bank.choose(points) is bank.teeth[1]


def test_a_bank_survives_its_file(tmp_path, monkeypatch):
    record = save_bank(tmp_path / "mouths.safetensors", [made(1.0), made(0.5)], np.ones((2, 3), np.float32))
    write_index(tmp_path, (record,))
    monkeypatch.setattr("sargan_core.weights.weights_folder", lambda: tmp_path)
    found = load_bank()
    assert [float(one.picture.mean()) for one in found.teeth] == pytest.approx([1.0, 0.5], abs=0.01)
    assert found.teeth[0].edge == pytest.approx(made(1.0).edge)


def test_a_file_that_is_no_bank_is_one_clear_error(tmp_path, monkeypatch):
    record = save_bank(tmp_path / "mouths.safetensors", [made(1.0)], np.ones((2, 3), np.float32))
    write_index(tmp_path, (record,))
    monkeypatch.setattr("sargan_core.weights.weights_folder", lambda: tmp_path)
    with pytest.raises(WeightsError, match="not a bank of mouths"):
        bank_file.load_bank()
