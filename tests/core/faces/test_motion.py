import numpy as np
import torch

from sargan_core.faces.eyes import EYES, between_lids, eye_openings
from sargan_core.faces.face import Template
from sargan_core.faces.motion import Seen, carry, motion_field, settled, sound, with_seen_lids
from sargan_core.faces.mouth import lip_gap
from sargan_core.weights import find_record

SIZE = 128
SHAPE = np.asarray(Template.from_json(find_record("pixel").template).shape) * SIZE - 0.5


def opened(amount):
    points = SHAPE.copy()
    points[[55, 56, 57, 58, 59, 65, 66, 67]] += [0, amount]
    points[6:11] += [0, amount * 0.8]
    return points


def shut(eye):
    points = SHAPE.copy()
    for upper, lower in ((eye[1], eye[5]), (eye[2], eye[4])):
        points[upper] = points[lower]
    return points


def at(field, points):
    rounded = np.round(points).astype(int)
    return field[0][:, rounded[:, 1], rounded[:, 0]].T.numpy()


def test_nothing_moves_where_nothing_has_to():
    assert motion_field(SHAPE, SHAPE, SIZE).abs().max() < 1e-3


def test_what_lay_at_the_landmarks_is_seen_at_the_goal():
    goal = SHAPE.copy()
    goal[17:27] -= [0, 4]
    goal[[48, 54]] += [[-3, -2], [3, -2]]
    field = motion_field(SHAPE, goal, SIZE)
    moved = [*range(17, 27), 48, 54, 30, 8]
    assert np.abs(at(field, goal[moved]) - (SHAPE - goal)[moved]).max() < 1.0


def test_parting_lips_go_their_own_ways():
    goal = opened(10)
    field = motion_field(SHAPE, goal, SIZE)
    upper, lower = goal[[51]] - [0, 2], goal[[57]] - [0, 1]
    assert abs(at(field, upper)[0, 1]) < 2.0
    assert at(field, lower)[0, 1] < -7.0


def test_lips_and_lids_that_cross_are_put_together():
    points = SHAPE.copy()
    points[62], points[66] = points[66] + [0, 2], points[62] - [0, 2]
    points[37, 1] = points[41, 1] + 3
    mended = sound(points)
    assert mended[66, 1] >= mended[62, 1]
    assert mended[41, 1] >= mended[37, 1]


def test_small_gaps_between_lips_are_finding_errors():
    apart = SHAPE.copy()
    apart[[65, 66, 67], 1] = apart[[63, 62, 61], 1] + 0.5
    assert lip_gap(settled(apart, SIZE)) < 0.05
    wide = SHAPE.copy()
    wide[[65, 66, 67], 1] = wide[[63, 62, 61], 1] + 6
    assert abs(lip_gap(settled(wide, SIZE)) - 6) < 0.05


def test_an_open_mouth_shows_the_mouth_of_the_reference_in_the_light_of_the_face():
    face = Seen(torch.full((1, 3, SIZE, SIZE), 0.5), SHAPE)
    red = torch.tensor([0.6, 0.1, 0.1]).view(1, 3, 1, 1).expand(1, 3, SIZE, SIZE)
    carried = carry(face, opened(14), Seen(red, opened(14)))
    inside = carried.inside[0, 0] > 0.99
    assert inside.any()
    mouth = carried.image[0, :, inside].mean(1)
    assert mouth[0] > 2 * mouth[1]
    assert carried.keep[0, 0, inside].max() < 0.05
    far = carried.inside[0, 0] == 0
    assert torch.allclose(carried.image[0, :, far], torch.tensor(0.5), atol=0.02)


def test_a_mouth_that_is_open_already_is_its_own():
    face = Seen(torch.full((1, 3, SIZE, SIZE), 0.5), opened(12))
    red = torch.tensor([0.6, 0.1, 0.1]).view(1, 3, 1, 1).expand(1, 3, SIZE, SIZE)
    carried = carry(face, opened(13), Seen(red, opened(12)))
    assert (carried.image - 0.5).abs().max() < 1e-3


def test_a_shutting_eye_hides_what_was_between_its_lids():
    image = torch.full((1, 3, SIZE, SIZE), 0.5)
    white = between_lids(with_seen_lids(SHAPE), EYES[0], SIZE).float()[None]
    image = torch.lerp(image, torch.ones_like(image), white)
    goal = shut(EYES[0])
    assert eye_openings(goal)[0] < 0.1 < eye_openings(goal)[1]
    carried = carry(Seen(image, SHAPE), goal, Seen(image, SHAPE))
    left = SHAPE[list(EYES[0])]
    x0, y0 = np.floor(left.min(0) - 3).astype(int)
    x1, y1 = np.ceil(left.max(0) + 3).astype(int)
    assert carried.image[0, :, y0:y1, x0:x1].max() < 0.75
