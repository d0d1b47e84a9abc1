"""Drawn faces: on the face and nowhere else, readable at any size, in the photo's own depth."""

from __future__ import annotations

import numpy as np
import pytest

from sargan_core.faces.draw import BOX, POINTS, draw_faces
from sargan_core.faces.face import Face


def face(x: float, y: float, side: float, number: int = 1, landmarks=None) -> Face:
    spots = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
    return Face((x, y, side, side), 0.9, spots * side + [x, y], landmarks, number)


def grey(height: int, width: int, dtype=np.uint8) -> np.ndarray:
    return np.full((height, width, 3), np.iinfo(dtype).max // 2, dtype)


def test_without_faces_nothing_is_drawn():
    photo = grey(50, 60)
    assert np.array_equal(draw_faces(photo, []), photo)


def test_the_photo_itself_stays_and_far_pixels_are_equal():
    photo = grey(400, 400)
    drawn = draw_faces(photo, [face(100, 100, 80)])
    assert np.array_equal(photo, grey(400, 400))
    changed = np.argwhere((drawn != photo).any(-1))
    assert changed.min(0).tolist() >= [70, 95]
    assert changed.max(0).tolist() <= [185, 185]


def test_box_and_points_are_where_they_belong():
    drawn = draw_faces(grey(400, 400), [face(100, 100, 80)])
    assert tuple(drawn[180, 140]) == BOX
    for x, y in face(100, 100, 80).points.round().astype(int):
        assert tuple(drawn[y, x]) == POINTS


def test_landmarks_are_drawn_as_well():
    photo, points = grey(400, 400), np.array([[120.0, 160.0]], np.float32)
    with_them = draw_faces(photo, [face(100, 100, 80, landmarks=points)])
    without = draw_faces(photo, [face(100, 100, 80)])
    assert (with_them[160, 120] != without[160, 120]).any()


@pytest.mark.parametrize("scale", [1, 3, 10])
def test_lines_and_numbers_grow_with_the_photo(scale):
    side = 300 * scale
    drawn = draw_faces(grey(side, side), [face(0.3 * side, 0.3 * side, 0.4 * side)])
    share = (drawn != 127).any(-1).mean()
    assert 0.004 < share < 0.012


def test_numbers_differ_and_stay_inside_the_photo():
    photo = grey(200, 200)
    one, two = (draw_faces(photo, [face(-20, -20, 60, number)]) for number in (1, 2))
    assert not np.array_equal(one, two)
    tab = one[:30, :30]
    assert (tab == BOX).all(-1).sum() > 50


def test_sixteen_bits_stay_sixteen_bits():
    deep = draw_faces(grey(100, 100, np.uint16), [face(20, 20, 50)])
    flat = draw_faces(grey(100, 100), [face(20, 20, 50)])
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257.0 - flat).max() < 1.0
