import numpy as np
import pytest

from sargan_core.models.registry import load_model
from sargan_core.models.units.displacement import moved_surface, placed_vertices
from sargan_core.models.units.face_model import Pose, rotation_of
from sargan_core.models.units.fit import Expected, Fit, fit_face, fit_pose
from sargan_core.units import CODE_NAMES, LARGEST, LOWEST


@pytest.fixture(scope="module")
def head():
    return load_model("units").head


def posed(head, yaw=0.0, pitch=0.0, roll=0.0, size=288):
    return Pose(rotation_of(yaw, pitch, roll), size / 2.6, np.full(2, size / 2))


def a_code(**units):
    return np.array([units.get(name, units.get(name[:-2], 0.0)) for name in CODE_NAMES])


def angles_of(rotation):
    """Yaw, pitch and roll in degrees; R = Z(-roll) X(pitch) Y(-yaw), so column 1 is that of Z X, row 2 that of X Y."""
    roll = np.arctan2(rotation[0, 1], rotation[1, 1])
    pitch = np.arcsin(np.clip(rotation[2, 1], -1.0, 1.0))
    yaw = np.arctan2(rotation[2, 0], rotation[2, 2])
    return np.degrees([yaw, pitch, roll])


@pytest.mark.parametrize("angles", [(0, 0, 0), (40, -10, 5), (-35, 15, -12)])
def test_angles_come_back_from_the_rotation(angles):
    rotation = rotation_of(*angles)
    assert np.allclose(angles_of(rotation), angles)
    assert np.allclose(rotation @ rotation.T, np.eye(3))


def test_conventions_of_the_angles(head):
    nose, chin = head.model.landmarks[30], head.model.landmarks[8]
    frontal = posed(head).project(head.model.mean)
    assert posed(head, yaw=30).project(head.model.mean)[nose, 0] < frontal[nose, 0] - 5
    assert posed(head, pitch=20).project(head.model.mean)[nose, 1] > frontal[nose, 1]
    assert posed(head, roll=20).project(head.model.mean)[chin, 0] < frontal[chin, 0] - 5


def test_the_pose_of_projected_points_is_found(head):
    points = head.model.points[0]
    true = posed(head, 33, -8, 4)
    found = fit_pose(points, true.project(points), np.ones(68))
    assert np.allclose(found.rotation, true.rotation, atol=1e-4)
    assert found.scale == pytest.approx(true.scale, rel=1e-4)


def test_a_turned_smiling_person_is_found_again(head):
    rng = np.random.default_rng(0)
    identity, code = rng.normal(0, 0.7, 24), a_code(corner_pull=0.9, jaw_open=0.4, brow_inner_up_L=1.2)
    true = posed(head, 28, 6, -3)
    mean, modes, offsets = head.model.points
    landmarks = true.project(mean + np.tensordot(identity, modes[:24], 1) + np.tensordot(code, offsets, 1))
    free = Expected(np.zeros(54), np.full(54, 1.0), np.array(LOWEST), np.array(LARGEST) * 1.15)
    fit = fit_face(head.model, landmarks, free)
    assert fit.error < 0.02
    assert fit.code[CODE_NAMES.index("brow_inner_up_L")] > 0.35
    assert fit.code[CODE_NAMES.index("brow_inner_up_R")] < 0.2
    assert abs(angles_of(fit.pose.rotation)[0] - 28) < 4


def test_vertices_are_placed_so_that_landmarks_lie_where_they_were_found(head):
    fit = Fit(posed(head), np.zeros(24), np.zeros(54), 0.0)
    seen = fit.pose.project(head.model.mean)[head.model.landmarks]
    found = seen + np.random.default_rng(0).normal(0, 2, (68, 2))
    placed = placed_vertices(head.model, fit, head.model.shape(fit.identity, fit.code), found, 288)[
        head.model.landmarks
    ]
    assert np.abs(placed - found).mean() < 0.5 * np.abs(seen - found).mean()


def surface(head, yaw, code, size=288):
    pose = posed(head, yaw, size=size)
    before = pose.project(head.model.mean)
    moved = head.model.shape(np.zeros(24), code)
    places = head.appearance.places
    return moved_surface(
        head.model, head.skin, places, before, pose.project(moved), pose.depth(moved), size
    ), pose


def test_a_code_of_zero_moves_nothing(head):
    still, _ = surface(head, 20, np.zeros(54))
    assert np.abs(still.flow).max() < 1e-4
    assert still.share.max() == 1


def test_pixels_of_a_moved_point_came_from_where_it_was(head):
    code = a_code(corner_pull=1.0)
    moved, pose = surface(head, 25, code)
    corner = head.model.landmarks[54]
    was = pose.project(head.model.mean)[corner]
    now = pose.project(head.model.shape(np.zeros(24), code))[corner]
    x, y = np.round(now).astype(int)
    around = moved.flow[:, y - 2 : y + 3, x - 2 : x + 3].mean((1, 2))
    assert np.linalg.norm(now - was) > 4
    assert np.linalg.norm(around - (was - now)) < 0.35 * np.linalg.norm(now - was)


def test_an_open_mouth_and_open_eyes_are_no_skin(head):
    opened, pose = surface(head, 0, a_code(jaw_open=0.9))
    points = pose.project(head.model.shape(np.zeros(24), a_code(jaw_open=0.9)))[head.model.landmarks]
    for middle in (points[60:68].mean(0), points[36:42].mean(0), points[42:48].mean(0)):
        x, y = np.round(middle).astype(int)
        assert opened.share[y, x] == 0
    x, y = np.round(points[30]).astype(int)
    assert opened.share[y, x] == 1
