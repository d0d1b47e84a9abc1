import shutil

import numpy as np
import pytest
import skimage.data
import torch

from sargan_core.check import EditChecker, face_check
from sargan_core.editor import Editor, EditSettings
from sargan_core.errors import WeightsError
from sargan_core.expressions import LABELS, Expression, parse_mix
from sargan_core.faces.face import FaceCrops
from sargan_core.models.base import Reference
from sargan_core.models.landmarks.finder import face_finder
from sargan_core.outcome import face_json, worst_face_json
from sargan_core.photo.photo import Photo
from sargan_core.weights import weights_folder


def certain(expression: str, share: float = 0.94) -> np.ndarray:
    """Probabilities of a judge that sees one expression."""
    probabilities = np.full(len(LABELS), (1 - share) / (len(LABELS) - 1))
    probabilities[Expression(expression).label] = share
    return probabilities


def reference(shown: np.ndarray, strength: float = 1.0) -> Reference:
    crops = FaceCrops(torch.zeros(1, 3, 8, 8), torch.zeros(1, 68, 2))
    return Reference(crops, "friend.jpg", strength, tuple(shown.tolist()))


@pytest.fixture(scope="module")
def checker():
    return EditChecker()


@pytest.fixture(scope="module")
def two_faces():
    astronaut = skimage.data.astronaut()[:300, 60:360]
    pixels = np.ascontiguousarray(np.concatenate([astronaut, astronaut[:, ::-1]], 1))
    return pixels, face_finder("auto", "cpu").find(pixels)


def test_an_edit_that_reached_its_expression_gives_no_warning():
    check = face_check(parse_mix("happy"), certain("neutral"), certain("happy"), 0.8)
    assert check.expression == "happy"
    assert check.reached == pytest.approx(0.94)
    assert check.before == pytest.approx(0.01)
    assert check.warnings == ()


def test_an_edit_that_did_nothing_is_told():
    (warning,) = face_check(parse_mix("happy"), certain("neutral"), certain("neutral"), 0.99).warnings
    assert "happy" in warning
    assert "--strength" in warning


@pytest.mark.parametrize(
    ("mix", "before"), [("happy:0.4", "neutral"), ("happy", "happy"), ("happy:0.3,sad:0.3", "neutral")]
)
def test_no_such_warning_for_slight_edits_or_faces_that_showed_it_before(mix, before):
    assert face_check(parse_mix(mix), certain(before), certain(before), 0.99).warnings == ()


def test_a_face_that_became_another_is_told():
    (warning,) = face_check(parse_mix("sad"), certain("neutral"), certain("sad"), 0.05).warnings
    assert "person" in warning


def test_a_mix_is_reached_by_any_of_its_expressions():
    blend = (certain("happy") + certain("surprised")) / 2
    check = face_check(parse_mix("happy:0.5,surprised:0.5,sad:0"), certain("neutral"), blend, 0.8)
    assert check.reached == pytest.approx(blend[Expression("happy").label] * 2)


def test_a_reference_is_reached_by_the_same_distribution():
    wink = (certain("happy") + certain("sad")) / 2
    check = face_check(reference(wink), certain("angry"), wink, 0.8)
    assert check.reached == pytest.approx(1.0)
    assert check.before < 0.2
    assert face_check(reference(wink), certain("angry"), certain("angry"), 0.9).warnings


def test_an_untouched_photo_is_the_same_face_with_the_same_expression(checker, two_faces):
    pixels, faces = two_faces
    assert len(faces) == 2
    checks = checker.compare(checker.look(pixels, faces), pixels, parse_mix("happy"))
    for check in checks:
        assert check.identity == pytest.approx(1.0, abs=1e-5)
        assert check.reached == check.before
        assert check.expression == "happy"  # she smiles


def test_all_faces_at_once_are_as_one_by_one(checker, two_faces):
    pixels, faces = two_faces
    edited, target = np.roll(pixels, 6, axis=0), parse_mix("sad")
    together = checker.compare(checker.look(pixels, faces), edited, target)
    for face, check in zip(faces, together, strict=True):
        (alone,) = checker.compare(checker.look(pixels, [face]), edited, target)
        assert (check.expression, check.warnings) == (alone.expression, alone.warnings)
        for one, other in ((check.reached, alone.reached), (check.before, alone.before)):
            assert one == pytest.approx(other, abs=1e-4)
        assert check.identity == pytest.approx(alone.identity, abs=1e-4)


def test_five_points_are_enough(checker, two_faces):
    pixels, _ = two_faces
    faces = face_finder("detector", "cpu").find(pixels)
    assert all(face.landmarks is None for face in faces)
    checks = checker.compare(checker.look(pixels, faces), pixels, parse_mix("happy"))
    assert [check.expression for check in checks] == ["happy", "happy"]


def test_sixteen_bits_are_judged_like_eight(checker, two_faces):
    pixels, faces = two_faces
    deep = checker.look(pixels.astype(np.uint16) * 257, faces)
    assert np.allclose(deep.probabilities, checker.look(pixels, faces).probabilities, atol=1e-3)


def test_a_broken_face_is_told(checker, two_faces):
    pixels, faces = two_faces
    broken = pixels.copy()
    x, y, width, height = (int(value) for value in faces[0].box)
    face = broken[y : y + height, x : x + width]
    broken[y : y + height, x : x + width] = face[::-1]  # upside down
    checks = checker.compare(checker.look(pixels, faces), broken, parse_mix("sad"))
    assert checks[0].identity < 0.5 < checks[1].identity
    assert any("person" in warning for warning in checks[0].warnings)


def test_edits_are_checked_unless_nothing_is_asked_for():
    photo = Photo(skimage.data.astronaut(), name="astronaut.png")
    editor = Editor(EditSettings(model="pixel", device="cpu"))
    angry, nothing = editor.edit_each(photo, [parse_mix("angry"), parse_mix("angry:0")])
    (edit,) = angry.faces
    assert edit.check is not None
    assert edit.check.reached > edit.check.before
    assert edit.check.identity > 0.55
    assert set(edit.check.warnings) <= set(edit.warnings)
    assert angry.seconds["check"] > 0
    assert face_json(edit)["check"].keys() == {"expression", "reached", "before", "identity"}
    assert nothing.faces[0].check is None
    worst = worst_face_json([edit, nothing.faces[0]])
    assert worst["check"] == face_json(edit)["check"]


def test_without_the_check_the_judge_is_not_needed(tmp_path, monkeypatch):
    home = tmp_path / "weights"
    shutil.copytree(weights_folder(), home)
    (home / "judge.safetensors").unlink()
    monkeypatch.setenv("SARGAN_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=r"judge\.safetensors.*--no-check"):
        Editor(EditSettings(model="pixel", device="cpu"))
    photo = Photo(skimage.data.astronaut(), name="astronaut.png")
    result = Editor(EditSettings(model="pixel", device="cpu", check=False)).edit(photo, parse_mix("angry"))
    assert result.faces[0].check is None
    assert "check" not in face_json(result.faces[0])
    assert "check" not in result.seconds
