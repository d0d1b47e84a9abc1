import cv2
import numpy as np
import pytest
import torch

from sargan_core.faces.face import Template
from sargan_core.faces.mouth import (
    FACING,
    INNER_LIPS,
    Opening,
    between_lips,
    draw_lip_line,
    lip_gap,
    lip_line,
    opening_of,
    painted_over,
    smooth_curve,
    together,
)
from sargan_core.weights import find_record

SIZE = 256
SKIN, LIP, ENAMEL = (190, 140, 120), (170, 90, 95), (225, 220, 210)


def landmarks(gap):
    points = np.asarray(Template.from_json(find_record("pixel").template).shape) * SIZE - 0.5
    for upper, lower in FACING:
        points[lower] = points[upper] + [0, gap]
    return points


def picture(points):
    canvas = np.full((SIZE, SIZE, 3), SKIN, np.uint8)
    cv2.fillPoly(canvas, [points[48:60].round().astype(np.int32)], LIP)
    cv2.fillPoly(canvas, [points[list(INNER_LIPS)].round().astype(np.int32)], ENAMEL)
    return canvas


def as_tensor(canvas):
    return torch.from_numpy(canvas.astype(np.float32) / 255).permute(2, 0, 1)[None]


def test_lips_put_together_leave_no_gap():
    assert lip_gap(together(landmarks(9.0))) == 0
    assert np.array_equal(together(landmarks(9.0))[:60], landmarks(9.0)[:60])


@pytest.mark.parametrize(("shut", "light"), [(0.0, 0.6), (1.0, 1.0)])
def test_a_closing_mouth_shows_lips_where_they_meet_and_shade_where_they_do_not(shut, light):
    points = landmarks(12.0)
    image = as_tensor(picture(points))
    inside = between_lips(image, points)
    over = painted_over(image, inside, points, shut)
    seen = over[0][:, inside[0, 0] == 1].mean(1)
    torch.testing.assert_close(seen.mean(), light * torch.tensor(LIP).float().mean() / 255, atol=0.04, rtol=0)
    assert torch.equal(over[..., : SIZE // 2, :], image[..., : SIZE // 2, :])


@pytest.mark.parametrize("size", [256, 128])
def test_the_lip_line_is_dark_between_the_lips_and_nowhere_else(size):
    points = (together(landmarks(0.0)) + 0.5) * size / SIZE - 0.5
    light = lip_line(points, size)[0, 0]
    x, y = np.round(points[62]).astype(int)
    assert float(light[:, x].argmin()) == pytest.approx(points[62, 1], abs=0.51)
    assert 0.6 < float(light[y, x]) < 0.7
    assert bool((light[:, : int(points[48, 0])] == 1).all())
    assert bool((light[: y - size // 16] > 0.999).all())
    assert bool((light[y + size // 16 :] > 0.999).all())


def test_no_lip_line_is_drawn_where_nothing_was_painted_over():
    points = landmarks(0.0)
    image = as_tensor(picture(points))
    painted = torch.zeros(1, 1, SIZE, SIZE)
    assert torch.equal(draw_lip_line(image, painted, points, 1.0), image)
    column = round(points[62, 0])
    painted[..., 10, column] = 1
    drawn = draw_lip_line(image, painted, points, 1.0)
    changed = (drawn != image).any(1)[0].any(0).nonzero().ravel().tolist()
    assert changed == [column]


def test_teeth_beside_the_found_opening_belong_to_it():
    points = landmarks(8.0)
    canvas = picture(points)
    x, y = np.round(points[64]).astype(int)
    canvas[y - 1 : y + 2, x - 4 : x + 4] = ENAMEL
    inside = between_lips(as_tensor(canvas), points)
    assert float(inside[0, 0, y, x + 3]) > 0.9
    middle = np.round((points[62] + points[66]) / 2).astype(int)
    assert float(inside[0, 0, middle[1], middle[0]]) == 1


@pytest.mark.parametrize("side", [64, 60])
def test_shaded_teeth_below_the_found_opening_near_its_corner_belong_to_it(side):
    points = landmarks(8.0)
    canvas = picture(points)
    nearer = points[65 if side == 64 else 67]
    x, y = np.round(0.5 * points[side] + 0.5 * nearer).astype(int)
    shaded = tuple(int(0.6 * value) for value in ENAMEL)
    canvas[y : y + 6, x - 2 : x + 3] = shaded
    assert float(between_lips(as_tensor(canvas), points)[0, 0, y + 4, x]) > 0.9
    assert float(between_lips(as_tensor(picture(points)), points)[0, 0, y + 4, x]) < 0.7


def test_lips_and_skin_do_not():
    points = landmarks(8.0)
    inside = between_lips(as_tensor(picture(points)), points)
    x, y = np.round((points[57] + points[66]) / 2).astype(int)
    assert float(inside[0, 0, y + 4, x]) < 0.05
    assert float(inside[0, 0, 60:130].max()) == 0


def test_a_curve_goes_through_its_points_and_never_beyond_them():
    points = np.array([[0.0, 3.0], [4.0, 9.0], [5.0, 9.5], [11.0, 2.0]])
    assert smooth_curve(points, points[:, 0]) == pytest.approx(points[:, 1], abs=1e-4)
    dense = smooth_curve(points, np.linspace(0, 11, 500))
    assert dense.min() >= 2.0 - 1e-4
    assert dense.max() <= 9.5 + 1e-4


def test_points_in_one_column_do_not_break_a_curve():
    rows = smooth_curve(np.array([[0.0, 0.0], [2.0, 1.0], [2.0, 3.0], [4.0, 0.0]]), np.linspace(0, 4, 9))
    assert np.isfinite(rows).all()


def test_the_opening_is_as_high_as_the_gap_and_shut_lips_have_none():
    assert opening_of(landmarks(12.0)).height == pytest.approx(12.0, abs=0.8)
    assert opening_of(landmarks(-2.0)).height < 1.0


def test_the_cover_fills_the_opening_and_ends_at_the_lips():
    mouth = opening_of(landmarks(14.0))
    cover = mouth.cover(256, 256, 0.4)
    middle = int(mouth.centre)
    row = int(np.interp(mouth.centre, mouth.x, (mouth.upper + mouth.lower) / 2))
    assert cover[row, middle] == pytest.approx(1, abs=1e-3)
    assert cover[int(mouth.lower.max()) + 4, middle] < 1e-3
    assert cover[:, : int(mouth.x[0]) - 3].max() < 1e-3
    assert cover.sum() == pytest.approx(np.trapezoid(mouth.lower - mouth.upper, mouth.x), rel=0.3)


def test_a_rounded_cover_does_not_run_out_of_a_small_picture():
    x = np.linspace(4, 44, 65)
    mouth = Opening(x, np.full(65, 4.0), 4 + 40 * (1 - ((x - 24) / 20) ** 2))
    cover = mouth.cover(48, 48, 0.8, rounding=5.0)
    assert cover[-2:].max() < 0.05
    assert cover[20, 24] > 0.99
