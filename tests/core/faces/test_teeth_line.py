import cv2
import numpy as np
import pytest

from sargan_core.faces.face import Template
from sargan_core.faces.mouth import FACING, INNER_LIPS, lip_gap
from sargan_core.faces.teeth_line import with_seen_teeth
from sargan_core.weights import find_record

SIZE = 256
SKIN, LIP, CAVITY, TEETH = (190, 140, 120), (170, 90, 95), (30, 12, 12), (225, 220, 210)
PAIRED = sorted(point for pair in FACING for point in pair)


def face(gap, size=SIZE):
    """Landmarks of a face whose lips are ``gap`` pixels apart on a picture of 256 pixels."""
    points = np.asarray(Template.from_json(find_record("pixel").template).shape) * SIZE - 0.5
    # Room for teeth between full lips.
    points[[49, 50, 51, 52, 53], 1] -= 6
    points[[55, 56, 57, 58, 59], 1] += 8
    middle = {upper: points[[upper, lower], 1].mean() for upper, lower in FACING}
    for upper, lower in FACING:
        points[upper, 1], points[lower, 1] = middle[upper] - gap / 2, middle[upper] + gap / 2
    return ((points + 0.5) * (size / SIZE) - 0.5).astype(np.float32)


def picture(points, inside, size=SIZE, dtype=np.uint8):
    """A mouth with the lips of ``points`` and something between them."""
    canvas = np.full((size, size, 3), SKIN, np.uint8)
    cv2.fillPoly(canvas, [points[48:60].round().astype(np.int32)], LIP)
    cv2.fillPoly(canvas, [points[list(INNER_LIPS)].round().astype(np.int32)], inside)
    return canvas if dtype == np.uint8 else canvas.astype(dtype) * 257


@pytest.mark.parametrize("size", [128, 256, 1100])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("found", [0.0, 3.0, 6.0])
def test_lips_found_inside_the_teeth_are_moved_to_their_edges(size, dtype, found):
    true, guess = face(12.0, size), face(found, size)
    moved = with_seen_teeth(picture(true, TEETH, size, dtype), guess)
    assert lip_gap(moved.astype(np.float64)) == pytest.approx(
        12 * size / SIZE, abs=max(1.2, 1.8 * size / SIZE)
    )
    others = [point for point in range(68) if point not in PAIRED]
    assert np.array_equal(moved[others], guess[others])


@pytest.mark.parametrize("above", [True, False])
def test_both_rows_of_a_laugh_belong_to_the_mouth(above):
    true, guess = face(20.0), face(6.0)
    canvas = picture(true, TEETH)
    middle = round(float(true[[62, 66], 1].mean()))
    # The landmarks are found in one row of teeth, with the dark gap at their edge.
    gap = middle + 2 if above else middle - 5
    canvas[gap : gap + 3, 90:166][(canvas[gap : gap + 3, 90:166] == TEETH).all(2)] = CAVITY
    moved = with_seen_teeth(canvas, guess).astype(np.float64)
    assert lip_gap(moved) == pytest.approx(20, abs=2)


def test_lips_beyond_a_dark_gap_are_no_second_row():
    true = face(8.0)
    canvas = picture(true, TEETH)
    middle = round(float(true[[62, 66], 1].mean()))
    canvas[middle + 4 : middle + 9, 90:166] = CAVITY
    moved = with_seen_teeth(canvas, face(5.0)).astype(np.float64)
    assert float(moved[[65, 66, 67], 1].max()) < middle + 6


@pytest.mark.parametrize("inside", [LIP, CAVITY])
def test_without_teeth_the_landmarks_are_the_same(inside):
    points = face(6.0)
    assert with_seen_teeth(picture(points, inside), points) is points


def test_lips_on_the_edges_of_the_teeth_stay_there():
    points = face(12.0)
    moved = with_seen_teeth(picture(points, TEETH), points)
    assert np.abs(moved - points).max() < 1.0
    assert lip_gap(moved.astype(np.float64)) >= lip_gap(points.astype(np.float64)) - 1e-3


def test_gloss_on_the_lower_lip_is_no_tooth():
    points = face(0.0)
    canvas = picture(points, LIP)
    x, y = points[57] - [0, 5]
    cv2.ellipse(canvas, (int(x), int(y)), (14, 3), 0, 0, 360, (235, 225, 228), -1)
    assert with_seen_teeth(canvas, points) is points


def test_a_grey_photo_is_left_alone():
    true = face(12.0)
    grey = np.repeat(picture(true, TEETH).mean(2, keepdims=True).astype(np.uint8), 3, axis=2)
    points = face(5.0)
    assert with_seen_teeth(grey, points) is points


@pytest.mark.parametrize("shift", [(-400, 0), (0, 400), (120, 0), (0, -250)])
def test_a_mouth_beyond_the_photo_is_no_error(shift):
    points = face(3.0) + np.float32(shift)
    moved = with_seen_teeth(picture(face(12.0), TEETH), points)
    assert np.isfinite(moved).all()
    assert lip_gap(moved.astype(np.float64)) >= lip_gap(points.astype(np.float64)) - 1e-3
