from pathlib import Path

import numpy as np
import pytest
import torch

from sargan_core.editor import Editor, EditSettings
from sargan_core.errors import WeightsError
from sargan_core.expressions import parse_mix
from sargan_core.models.mouths.bank import NAME as OTHER
from sargan_core.models.occlusion.data import SIDE, Base, view
from sargan_core.models.occlusion.fit import Recipe, train
from sargan_core.models.occlusion.network import OcclusionNetwork, load_occlusion, save_occlusion
from sargan_core.models.occlusion.objects import MAKERS
from sargan_core.models.occlusion.scene import Scene
from sargan_core.photo.photo import Photo, read_photo
from sargan_core.weights import write_index

PORTRAIT = Path(__file__).parents[4] / "examples" / "portrait.jpg"
NOTE = "something is in front of mouth or chin"


@pytest.fixture(scope="module")
def editor():
    return Editor(EditSettings(model="pixel", device="cpu", check=False))


@pytest.fixture(scope="module")
def portrait():
    return read_photo(PORTRAIT)


@pytest.fixture(scope="module")
def landmarks(editor, portrait):
    return editor.find(portrait)[0].landmarks


def with_board(photo, x0, y0, x1, y1):
    """Return the photo with a green board laid over a part of it."""
    pixels = photo.pixels.copy()
    pixels[y0:y1, x0:x1] = [20, 120, 60]
    return Photo(pixels, name="covered.png")


def test_nothing_is_seen_before_a_bare_face(editor, portrait):
    assert editor.prepare(portrait).covers == (None,)


@pytest.fixture(scope="module")
def barred(portrait, landmarks):
    """Return a portrait with a bar across the brows, and where the bar is."""
    (left, right), y = landmarks[[17, 26], 0].astype(int), int(landmarks[17:27, 1].mean())
    half = max(4, (right - left) // 25)
    place = np.s_[y - half : y + half, left:right]
    return with_board(portrait, 0, y - half, portrait.pixels.shape[1], y + half), place


@pytest.mark.parametrize("name", ["angry", "surprised"])
def test_a_bar_across_the_brows_stays_as_it_is(editor, barred, landmarks, name):
    photo, place = barred
    result = editor.edit(photo, parse_mix(name))
    change = np.abs(result.photo.pixels.astype(int) - photo.pixels)
    assert change[place].max() <= 2
    assert not any(NOTE in warning for warning in result.faces[0].warnings)
    (x0, y0), (x1, y1) = landmarks[48:68].min(0).astype(int), landmarks[48:68].max(0).astype(int)
    assert change[y0:y1, x0:x1].max() > 20


def test_a_covered_mouth_is_left_as_it_is_and_the_edit_says_so(editor, portrait, landmarks):
    more = int(np.linalg.norm(landmarks[54] - landmarks[48]) / 5)
    (x0, y0), (x1, y1) = (
        landmarks[48:68].min(0).astype(int) - more,
        landmarks[48:68].max(0).astype(int) + more,
    )
    photo = with_board(portrait, x0, y0, x1, y1)
    result = editor.edit(photo, parse_mix("happy"))
    assert any(NOTE in warning for warning in result.faces[0].warnings)
    change = np.abs(result.photo.pixels.astype(int) - photo.pixels)
    assert change[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].max() <= 2
    assert change.max() > 8


def test_the_answer_does_not_depend_on_the_number_of_threads(editor, barred):
    photo = barred[0]
    count = torch.get_num_threads()
    covers = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            covers.append(editor.prepare(photo).covers[0])
    finally:
        torch.set_num_threads(count)
    assert torch.equal(covers[0].distance, covers[1].distance)


def test_views_are_repeatable_and_say_where_the_picture_was_covered():
    random = np.random.default_rng(3)
    points = np.asarray(
        [[0.2 + 0.035 * i, 0.6] for i in range(17)]
        + [[0.3 + 0.04 * i, 0.35] for i in range(10)]
        + [[0.5, 0.45]] * 9
        + [[x + dx, 0.4] for x in (0.38, 0.6) for dx in (-0.04, -0.02, 0.02, 0.04, 0.02, -0.02)]
        + [[0.4 + 0.01 * (i % 20), 0.63 + 0.01 * (i % 3)] for i in range(20)]
    )
    base = Base(random.integers(90, 110, (SIDE, SIDE, 3)).astype(np.uint8), points * SIDE)
    views = [[view(np.random.default_rng(seed), base) for seed in range(12)] for _ in range(2)]
    for (picture, label), (again, too) in zip(*views, strict=True):
        assert np.array_equal(picture, again)
        assert np.array_equal(label, too)
        assert picture.shape == (96, 96, 3)
    covered = [bool(label.any()) for _, label in views[0]]
    assert any(covered)
    assert not all(covered)


@pytest.mark.parametrize("maker", [maker for maker, _ in MAKERS], ids=lambda maker: maker.__name__)
def test_every_object_is_seen_where_it_is_said_to_be(maker, landmarks):
    points = (landmarks - landmarks.mean(0)) / np.ptp(landmarks[:, 0]) * 50 + 48
    scene = Scene(np.full((96, 96, 3), 0.5, np.float32), points.astype(np.float64))
    shown = np.zeros((96, 96))
    for seed in range(8):
        for layer in maker(np.random.default_rng(seed), scene):
            assert np.isfinite(layer.colour).all()
            assert layer.label.min() >= 0
            assert layer.label.max() <= 1
            shown = np.maximum(shown, layer.label)
    assert shown.max() > 0.9


def test_training_can_go_on_from_weights():
    pictures, labels = (
        torch.zeros(4, 3, 32, 32, dtype=torch.uint8),
        torch.zeros(4, 1, 32, 32, dtype=torch.uint8),
    )
    start = load_occlusion()
    before = start.head.bias.detach().clone()
    network = train(pictures, labels, Recipe(steps=1, batch=2, rate=1e-5), start=start)
    assert torch.allclose(network.head.bias, before, atol=1e-3)


def test_a_network_survives_its_file(tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = OcclusionNetwork().eval()
    write_index(tmp_path, (save_occlusion(network, tmp_path / "occlusion.safetensors"),))
    monkeypatch.setattr("sargan_core.weights.weights_folder", lambda: tmp_path)
    crop = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(load_occlusion()(crop), network(crop), atol=0.02)


def test_weights_of_something_else_are_one_clear_error(monkeypatch):
    monkeypatch.setattr("sargan_core.models.occlusion.network.NAME", OTHER)
    with pytest.raises(WeightsError, match="do not fit"):
        load_occlusion()
