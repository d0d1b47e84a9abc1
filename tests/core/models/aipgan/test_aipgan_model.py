from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from safetensors.torch import load_file

from sargan_core.editor import Editor, EditSettings
from sargan_core.errors import NoFaceError, UsageError, WeightsError
from sargan_core.expressions import parse_mix
from sargan_core.models.aipgan.model import AipganModel, TransferSettings, build_aipgan, save_aipgan
from sargan_core.models.aipgan.network import AipganNetwork, AipganSettings
from sargan_core.models.aipgan.parts import LidsNetwork, eye_patches, neutral_landmarks
from sargan_core.photo.photo import Photo, read_photo
from sargan_core.weights import open_weights

PORTRAIT = Path(__file__).parents[4] / "examples" / "portrait.jpg"
NETWORK = AipganSettings(width=8, size=64, residual=True)


@pytest.fixture(scope="module")
def editor():
    return Editor(EditSettings(model="aipgan", device="cpu", check=False))


@pytest.fixture(scope="module")
def smiling():
    return Photo(skimage.data.astronaut(), name="photos/astronaut.png")


@pytest.fixture(scope="module")
def portrait():
    return read_photo(PORTRAIT)


def test_strength_nothing_returns_the_photos_own_pixels(editor, smiling, portrait):
    reference = editor.reference(smiling).scaled(0)
    assert reference.is_identity
    assert np.array_equal(editor.edit(portrait, reference).photo.pixels, portrait.pixels)


def test_a_face_like_itself_stays_as_it_is(editor, smiling, portrait):
    for photo in (smiling, portrait):
        edited = editor.edit(photo, editor.reference(photo)).photo.pixels
        assert np.abs(edited.astype(int) - photo.pixels).mean() < 0.05
        assert np.abs(edited.astype(int) - photo.pixels).max() <= 6


def test_a_smile_is_taken_over_and_the_rest_is_left_alone(editor, smiling, portrait):
    reference = editor.reference(smiling)
    assert str(reference) == "like astronaut.png"
    result = editor.edit(portrait, reference)
    (face,) = result.faces
    before, after = face.face.landmarks, editor.find(result.photo)[0].landmarks
    scale = np.linalg.norm(before[36] - before[45])

    def width(points):
        return np.linalg.norm(points[48] - points[54]) / scale

    assert width(after) > width(before) + 0.02
    changed = (result.photo.pixels != portrait.pixels).any(2)
    x, y, w, h = face.face.box
    far = np.ones_like(changed)
    far[max(0, int(y - h)) : int(y + 2 * h), max(0, int(x - w)) : int(x + 2 * w)] = False
    assert changed.any()
    assert not changed[far].any()


def test_more_strength_moves_more(editor, smiling, portrait):
    prepared, reference = editor.prepare(portrait), editor.reference(smiling)
    flows = [editor.infer([prepared], reference.scaled(s))[0].flow.abs().max() for s in (0.25, 0.5, 1.0, 1.5)]
    assert all(one < other for one, other in pairwise(flows))


def test_neutral_landmarks_of_a_smile_are_narrower(editor, smiling):
    (face,) = editor.find(smiling)
    still = neutral_landmarks(editor.model.neutral, smiling.pixels, face)
    own = face.landmarks
    assert np.linalg.norm(still[48] - still[54]) < np.linalg.norm(own[48] - own[54])
    assert np.abs(still[27:31] - own[27:31]).max() < 0.05 * np.linalg.norm(own[36] - own[45])


def test_open_eyes_are_not_taken_for_shut_ones_and_both_look_alike(editor, smiling):
    (face,) = editor.find(smiling)
    patches = eye_patches(smiling.pixels, face.landmarks.astype(np.float64))
    assert torch.sigmoid(editor.model.lids(patches)).max() < 0.5
    mirrored = np.ascontiguousarray(smiling.pixels[:, ::-1])
    from sargan_core.faces.landmarks import MIRRORED

    points = face.landmarks[list(MIRRORED)].astype(np.float64)
    points[:, 0] = mirrored.shape[1] - 1 - points[:, 0]
    assert (eye_patches(mirrored, points) - patches.flip(0)).abs().mean() < 0.01


def test_each_model_says_which_kind_of_target_it_takes(editor, smiling, portrait):
    with pytest.raises(UsageError, match="--model pixel"):
        editor.edit(portrait, parse_mix("happy"))
    pixel = Editor(EditSettings(model="pixel", device="cpu", check=False))
    with pytest.raises(UsageError, match="--model units"):
        pixel.reference(smiling)
    with pytest.raises(UsageError, match="--model units"):
        pixel.edit(portrait, editor.reference(smiling))


def test_references_without_a_face_or_without_that_face(editor, smiling):
    empty = Photo(np.zeros((64, 64, 3), np.uint8), name="empty.png")
    with pytest.raises(NoFaceError, match="no face found"):
        editor.reference(empty)
    with pytest.raises(UsageError, match="no face 3, only 1"):
        editor.reference(smiling, 3)
    two = Photo(np.concatenate([smiling.pixels, smiling.pixels[:, ::-1]], axis=1), name="two.png")
    left, right = editor.reference(two, 1), editor.reference(two, 2)
    assert not torch.equal(left.crops.image, right.crops.image)


def test_a_face_without_landmarks_stays_and_such_a_reference_is_refused(editor, smiling, portrait):
    prepared, reference = editor.prepare(portrait), editor.reference(smiling)
    blind = replace(prepared.crops, landmarks=torch.full((1, 68, 2), torch.nan))
    edited = editor.model.edit(blind, [reference])
    assert torch.equal(edited.image, blind.image)
    hidden = replace(reference, crops=replace(reference.crops, landmarks=blind.landmarks))
    with pytest.raises(NoFaceError, match="no landmarks"):
        editor.model.edit(prepared.crops, [hidden])


@pytest.fixture(scope="module")
def painter(editor):
    torch.manual_seed(0)
    model = editor.model
    settings = TransferSettings("displaced", NETWORK)
    return AipganModel(
        settings, model.template, model.neutral, model.lids, model.shading, AipganNetwork(NETWORK)
    ).eval()


def test_weights_come_back_as_they_were_saved(painter, tmp_path):
    record = save_aipgan(painter, tmp_path / "mine.safetensors", data="nobody")
    assert record.name == "mine"
    again = build_aipgan(*open_weights(tmp_path / "mine.safetensors"))
    assert again.settings == painter.settings
    assert again.template == painter.template
    state = again.state_dict()
    for key, value in painter.state_dict().items():
        if "network." in key and ".landmarks." not in key and ".intrinsic." not in key:
            assert torch.allclose(value, state[key], atol=2e-3), key
    names = set(load_file(tmp_path / "mine.safetensors"))
    assert not any("landmarks" in name or "intrinsic" in name for name in names)


def test_a_painter_adds_to_the_motion_but_not_to_a_face_like_itself(painter, editor, smiling, portrait):
    prepared, reference = editor.prepare(portrait), editor.reference(smiling)
    with torch.inference_mode():
        plain = editor.model.edit(prepared.crops, [reference])
        painted = painter.edit(prepared.crops, [reference])
        same = painter.edit(reference.crops, [reference])
    assert torch.equal(plain.flow, painted.flow)
    assert (plain.image - painted.image).abs().max() > 0.01
    assert (same.image - reference.crops.image).abs().max() < 0.02


def test_weights_that_do_not_fit_are_refused(painter, tmp_path):
    path = tmp_path / "mine.safetensors"
    save_aipgan(painter, path)
    record, tensors = open_weights(path)
    with pytest.raises(WeightsError, match=r"do not fit aipgan \(missing: lids"):
        build_aipgan(record, {name: value for name, value in tensors.items() if "lids" not in name})
    with pytest.raises(WeightsError, match="no form 'melted'"):
        build_aipgan(replace(record, settings={**record.settings, "form": "melted"}), tensors)
    with pytest.raises(WeightsError, match="not understood"):
        build_aipgan(replace(record, settings={}), tensors)


def test_the_painted_form_paints_the_whole_crop(editor, smiling, portrait):
    torch.manual_seed(0)
    network = AipganSettings(width=8, size=64)
    settings = TransferSettings("painted", network)
    parts = editor.model
    model = AipganModel(
        settings, parts.template, parts.neutral, parts.lids, None, AipganNetwork(network)
    ).eval()
    crops = editor.prepare(portrait).crops
    with torch.inference_mode():
        edited = model.edit(crops, [editor.reference(smiling).scaled(0.5)])
    assert edited.flow.abs().max() == 0
    assert (edited.image - crops.image).abs().mean() > 0.02


def test_shut_eyes_network_is_tiny():
    assert sum(value.numel() for value in LidsNetwork().parameters()) < 3000
