import cv2
import numpy as np
import pytest
import skimage.data

from sargan_core.errors import UsageError, WeightsError
from sargan_core.faces.face import Face
from sargan_core.faces.find import MIN_EYE_DISTANCE, face_warnings, select_faces
from sargan_core.models.landmarks.fan import FILE, FanLandmarks, weights_path
from sargan_core.models.landmarks.finder import face_finder


@pytest.fixture(scope="module")
def finder():
    return face_finder("builtin")


@pytest.fixture(scope="module")
def astronaut():
    return skimage.data.astronaut()


def test_one_face_with_points_in_order(finder, astronaut):
    (face,) = finder.find(astronaut)
    left, right, nose, mouth_left, mouth_right = face.points
    assert left[0] < nose[0] < right[0]
    assert left[1] < nose[1] < mouth_left[1]
    assert mouth_left[0] < mouth_right[0]
    assert face.landmarks is not None
    # The chin is below the mouth, the mouth below the nose, the brows above the eyes.
    landmarks = face.landmarks
    assert (
        landmarks[8, 1] > landmarks[57, 1] > landmarks[33, 1] > landmarks[36:48, 1].mean() > landmarks[19, 1]
    )


def test_no_face_gives_an_empty_list(finder):
    assert finder.find(np.full((300, 400, 3), 128, np.uint8)) == []


@pytest.mark.parametrize("side", [400, 960, 1350, 1920, 2400])
def test_a_face_just_large_enough_to_edit_is_found_in_a_photo_of_any_size(finder, astronaut, side):
    (face,) = finder.find(astronaut)
    scale = 1.04 * MIN_EYE_DISTANCE / face.eye_distance
    small = cv2.resize(astronaut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    photo = np.full((side, side, 3), 110, np.uint8)
    top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 3
    photo[top : top + small.shape[0], left : left + small.shape[1]] = small
    (found,) = finder.find(photo)
    assert found.eye_distance == pytest.approx(scale * face.eye_distance, rel=0.1)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turned_photos_are_found_in_the_photos_own_coordinates(finder, astronaut, turns):
    (upright,) = finder.find(astronaut)
    (turned,) = finder.find(np.ascontiguousarray(np.rot90(astronaut, turns)))
    side = astronaut.shape[0] - 1
    expected = upright.landmarks.astype(np.float64)
    for _ in range(turns):
        expected = np.stack([expected[:, 1], side - expected[:, 0]], axis=1)
    assert np.abs(turned.landmarks - expected).mean() < 4


def test_faces_are_numbered_from_left_to_right(finder, astronaut):
    two = np.concatenate([astronaut, astronaut[:, ::-1]], axis=1)
    faces = finder.find(np.ascontiguousarray(two))
    assert [face.number for face in faces] == [1, 2]
    assert faces[0].box[0] < 512 < faces[1].box[0]
    assert [face.number for face in select_faces(faces, "2")] == [2]
    assert len(select_faces(faces, "all")) == 2
    assert len(select_faces(faces, "largest")) == 1
    with pytest.raises(UsageError, match="no face 3"):
        select_faces(faces, "1,3")
    with pytest.raises(UsageError, match="largest"):
        select_faces(faces, "left")


def test_coordinates_do_not_depend_on_the_photos_size(finder, astronaut):
    (small,) = finder.find(astronaut)
    (large,) = finder.find(np.repeat(np.repeat(astronaut, 4, 0), 4, 1))
    assert np.abs((large.landmarks + 0.5) / 4 - 0.5 - small.landmarks).mean() < 1.5


def test_small_faces_carry_a_warning(finder, astronaut):
    small = np.ascontiguousarray(astronaut[::3, ::3])
    (face,) = finder.find(small)
    assert any("small" in warning for warning in face.warnings)


def test_sixteen_bits_find_the_same(finder, astronaut):
    (one,) = finder.find(astronaut)
    (other,) = finder.find(astronaut.astype(np.uint16) * 257)
    assert np.abs(one.landmarks - other.landmarks).max() < 0.05


def test_unknown_landmarks_are_a_usage_error():
    with pytest.raises(UsageError, match="builtin"):
        face_finder("dlib")


def test_fan_without_weights_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="models fetch fan"):
        FanLandmarks()


def test_fan_refuses_a_damaged_file(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weights_path().parent.mkdir(parents=True)
    weights_path().write_bytes(b"PK not a checkpoint")
    with pytest.raises(WeightsError, match="damaged"):
        FanLandmarks()


def test_fan_runs_through_face_alignment(tmp_path, monkeypatch, astronaut):
    import torch
    from face_alignment.models import FAN

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / FILE
    path.parent.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(FAN(4).state_dict(), path)
    monkeypatch.setattr(
        "sargan_core.models.landmarks.fan.SHA256_PREFIX", ""
    )  # these are not the weights that it names
    (face,) = face_finder("detector").find(astronaut)
    points = FanLandmarks().landmarks(astronaut, face)
    assert points.shape == (68, 2)
    assert np.isfinite(points).all()
    # A random network points anywhere, but only inside the window it was shown.
    x, y, width, height = face.box
    assert (points > [x - 2 * width, y - 2 * height]).all()
    assert (points < [x + 3 * width, y + 3 * height]).all()


@pytest.mark.parametrize(("nose", "turned"), [(150, False), (160, False), (195, True), (105, True)])
def test_a_nose_beside_the_eyes_middle_is_a_profile(nose, turned):
    points = np.array([[100, 100], [200, 100], [nose, 150], [120, 200], [180, 200]], np.float32)
    warnings = face_warnings(Face((80, 60, 140, 180), 0.9, points))
    assert any("side" in warning for warning in warnings) == turned


@pytest.mark.parametrize("side", [1200, 1900, 2600])
def test_beside_a_large_face_a_small_one_that_can_be_edited_is_found(side):
    portrait = skimage.data.astronaut()[0:260, 90:350]
    eyes = face_finder("detector").find(portrait)[0].eye_distance
    photo = np.full((side, side, 3), 128, np.uint8)
    large = cv2.resize(portrait, (side // 2, side // 2), interpolation=cv2.INTER_CUBIC)
    width = round(260 * MIN_EYE_DISTANCE * 1.05 / eyes)
    small = cv2.resize(portrait, (width, width), interpolation=cv2.INTER_AREA)
    photo[: side // 2, : side // 2] = large
    photo[-width - 20 : -20, -width - 20 : -20] = small
    faces = face_finder("detector").find(photo)
    assert len(faces) == 2
    assert faces[1].eye_distance == pytest.approx(MIN_EYE_DISTANCE * 1.05, rel=0.15)
