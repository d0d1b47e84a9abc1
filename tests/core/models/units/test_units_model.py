from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from safetensors.torch import load_file

from sargan_core.editor import Editor, EditSettings
from sargan_core.errors import NoFaceError, WeightsError
from sargan_core.expressions import LABELS, Expression, parse_mix
from sargan_core.faces.landmarks import MIRRORED
from sargan_core.models.units.file import build_units, save_units
from sargan_core.models.units.prototypes import completed, prototype_code
from sargan_core.photo.photo import Photo, read_photo
from sargan_core.units import (
    CODE_NAMES,
    MIRRORED_CODE,
    MIRRORED_SIGN,
    OF_MOUTH,
    UNITS,
    code_json,
    parse_units,
)
from sargan_core.weights import find_record, open_weights, weights_folder

PORTRAIT = Path(__file__).parents[4] / "examples" / "portrait.jpg"


@pytest.fixture(scope="module")
def editor():
    return Editor(EditSettings(model="units", device="cpu", check=False))


@pytest.fixture(scope="module")
def smiling():
    return Photo(skimage.data.astronaut(), name="photos/astronaut.png")


@pytest.fixture(scope="module")
def portrait():
    return read_photo(PORTRAIT)


def flow_of(editor, photo, target):
    return editor.infer([editor.prepare(photo)], target)[0].flow


@pytest.mark.parametrize("text", ["corner_pull=0", "jaw_side=0,brow_up=0"])
def test_a_code_of_zero_returns_the_photos_own_pixels(editor, portrait, text):
    assert np.array_equal(editor.edit(portrait, parse_units(text)).photo.pixels, portrait.pixels)


def test_strength_nothing_returns_the_photos_own_pixels(editor, smiling, portrait):
    for target in (
        editor.reference(smiling),
        parse_units("corner_pull=1", parse_mix("sad")),
        parse_mix("happy"),
    ):
        assert np.array_equal(editor.edit(portrait, target.scaled(0)).photo.pixels, portrait.pixels)


def test_a_face_like_itself_stays_as_it_is(editor, smiling):
    reference = editor.reference(smiling)
    # Irises are found again, to a fraction of a pixel.
    assert flow_of(editor, smiling, reference).abs().max() < 0.6


def test_the_code_of_a_smile_names_a_smile(editor, smiling):
    code = dict(zip(CODE_NAMES, editor.reference(smiling).code, strict=True))
    smile = sum(code[f"{unit}_{side}"] for unit in ("corner_pull", "smile_teeth") for side in "LR")
    assert smile > 0.8
    assert smile > 2 * sum(code[f"corner_down_{side}"] for side in "LR")


def test_the_mirror_image_has_the_mirrored_code(editor, smiling):
    (face,) = editor.find(smiling)
    image, points = editor.prepare(smiling, [face]).crops.image, None
    points = editor.prepare(smiling, [face]).crops.landmarks[0].double().numpy()
    side = image.shape[-1]
    straight = editor.model.read(image, points).code
    other = editor.model.read(image.flip(3), points[list(MIRRORED)] * [-1, 1] + [side - 1, 0]).code
    assert np.abs(other - straight[list(MIRRORED_CODE)] * MIRRORED_SIGN).max() < 0.1


def test_more_of_a_unit_moves_more(editor, portrait):
    moved = [flow_of(editor, portrait, parse_units(f"corner_pull={w}")).abs().max() for w in (0.3, 0.6, 1.2)]
    assert 0.5 < moved[0] < moved[1] < moved[2]


def test_a_side_is_the_persons_own(editor, portrait):
    flow = flow_of(editor, portrait, parse_units("corner_pull_L=1"))[0].abs().sum(0)
    half = flow.shape[1] // 2
    # The person's left is on the right of the picture.
    assert flow[:, half:].sum() > 3 * flow[:, :half].sum()


def test_what_is_far_from_the_face_stays_bit_for_bit(editor, portrait):
    result = editor.edit(portrait, parse_units("jaw_open=0.6,brow_inner_up=1"))
    changed = (result.photo.pixels != portrait.pixels).any(2)
    x, y, w, h = result.faces[0].face.box
    far = np.ones_like(changed)
    far[max(0, int(y - h)) : int(y + 2 * h), max(0, int(x - w)) : int(x + 2 * w)] = False
    assert changed.any()
    assert not changed[far].any()


def test_expressions_by_name_and_units_go_together(editor, portrait):
    alone = flow_of(editor, portrait, parse_units("brow_up_L=1"))
    named = flow_of(editor, portrait, parse_mix("happy"))
    both = flow_of(editor, portrait, parse_units("brow_up_L=1", parse_mix("happy")))
    top, bottom = slice(0, 96), slice(150, 260)
    assert (both[..., top, :] - alone[..., top, :]).abs().max() < alone.abs().max() + named.abs().max()
    assert (both[..., bottom, :] - named[..., bottom, :]).abs().mean() < 0.3 * named[
        ..., bottom, :
    ].abs().mean()


def test_by_name_a_smile_is_not_made_smaller(editor, smiling):
    model = editor.model
    code = np.array(editor.reference(smiling).code)
    happy = model._named(code, parse_mix("happy"))
    smile = [
        CODE_NAMES.index(name)
        for name in ("corner_pull_L", "corner_pull_R", "smile_teeth_L", "smile_teeth_R")
    ]
    assert (happy[smile] >= -1e-9).all()
    assert (2 * code + model._named(2 * code, parse_mix("happy")) >= code)[smile].all()
    assert (model._named(code, parse_mix("surprised"))[smile] < 0).any()
    resting = np.zeros_like(code)
    assert np.allclose(code + model._named(code, parse_mix("neutral")), resting, atol=0.2)


def test_of_a_covered_mouth_nothing_is_read(editor, smiling, portrait):
    covered = smiling.pixels.copy()
    points = editor.find(smiling)[0].landmarks
    more = int(np.linalg.norm(points[54] - points[48]) / 5)
    (x0, y0), (x1, y1) = points[48:68].min(0).astype(int) - more, points[48:68].max(0).astype(int) + more
    covered[y0:y1, x0:x1] = [20, 120, 60]
    reference = editor.reference(Photo(covered, name="covered.png"))
    code = dict(zip(CODE_NAMES, reference.code, strict=True))
    assert {name for name, weight in code.items() if np.isnan(weight)} == {
        name for unit in UNITS if unit.name in OF_MOUTH for name in unit.parts
    }
    assert "corner_pull_L" not in code_json(reference.code)
    (face,) = editor.edit(portrait, reference).faces
    assert any("covers the mouth of covered.png" in warning for warning in face.warnings)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("expression", [label for label in LABELS if label is not Expression.NEUTRAL])
def test_what_a_reference_hides_is_that_of_the_expression_it_shows(editor, expression, share):
    posed = editor.model.knowledge.posed
    whole = share * prototype_code(expression, posed[LABELS.index(expression)])
    hidden = np.array(
        [any(name in unit.parts for unit in UNITS if unit.name in OF_MOUTH) for name in CODE_NAMES]
    )
    own = np.zeros_like(whole)
    found = completed(np.where(hidden, np.nan, whole), own, posed)
    assert found == pytest.approx(whole, abs=1e-6)
    assert np.array_equal(completed(whole, own, posed), whole)


def test_what_a_face_like_no_expression_hides_stays_as_the_other_face_has_it(editor):
    odd = np.zeros(len(CODE_NAMES))
    odd[CODE_NAMES.index("lid_close_L")] = 1.0
    odd[CODE_NAMES.index("jaw_open")] = np.nan
    own = np.full(len(CODE_NAMES), 0.3)
    found = completed(odd, own, editor.model.knowledge.posed)
    assert found == pytest.approx(np.nan_to_num(odd, nan=0.3))


def test_a_reference_without_landmarks_is_refused_and_such_a_face_stays(editor, smiling, portrait):
    blind = Editor(EditSettings(model="units", landmarks="detector", check=False))
    with pytest.raises(NoFaceError, match="no landmarks"):
        blind.reference(smiling)
    assert np.array_equal(blind.edit(portrait, parse_units("jaw_open=0.5")).photo.pixels, portrait.pixels)


def test_the_file_comes_back_as_it_was_written(editor, smiling, tmp_path):
    path = tmp_path / "mine.safetensors"
    save_units(editor.model, path)
    record, tensors = open_weights(path)
    crops = editor.reference(smiling).crops
    again = build_units(record, tensors).eval()
    assert np.allclose(again.read_code(crops, "x"), editor.model.read_code(crops, "x"), atol=1e-4)


@pytest.fixture(scope="module")
def shipped():
    record = find_record("units")
    return record, load_file(weights_folder() / record.file)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tensors: tensors.pop("head.mean"),
        lambda tensors: tensors.update({"head.skin": tensors["head.skin"][:-1]}),
        lambda tensors: tensors.update({"head.offsets": tensors["head.offsets"][:50]}),
        lambda tensors: tensors.update({"head.landmarks": tensors["head.landmarks"] + 30_000}),
        lambda tensors: tensors.update({"knowledge.spread": torch.full((54,), torch.nan)}),
        lambda tensors: tensors.update({"encoder.head.bias": torch.zeros(3)}),
        lambda tensors: tensors.update({"more": torch.zeros(1)}),
    ],
)
def test_a_file_that_does_not_fit_is_refused(shipped, spoil):
    record, tensors = shipped
    tensors = dict(tensors)
    spoil(tensors)
    with pytest.raises(WeightsError):
        build_units(record, tensors)


@pytest.mark.parametrize("width", [None, 0, 10**9, "32", 2.5])
def test_a_width_that_no_encoder_has_is_refused(shipped, width):
    record, tensors = shipped
    with pytest.raises(WeightsError):
        build_units(replace(record, settings={"width": width}), tensors)
