import numpy as np
import pytest

from sargan_core.faces.face import Template
from sargan_core.faces.lip_line import with_sure_lips
from sargan_core.faces.mouth import FACING, INNER_LIPS, lip_gap
from sargan_core.weights import find_record

SIZE = 256
SKIN, LIP, CAVITY, TEETH = (190, 140, 120), (170, 90, 95), (30, 12, 12), (225, 220, 210)


def parted(gap):
    points = np.asarray(Template.from_json(find_record("pixel").template).shape) * SIZE - 0.5
    for upper, lower in FACING:
        points[lower] = points[upper] + [0, gap]
    return points.astype(np.float32)


def picture(points, inside):
    import cv2

    canvas = np.full((SIZE, SIZE, 3), SKIN, np.uint8)
    cv2.fillPoly(canvas, [points[48:60].round().astype(np.int32)], LIP)
    cv2.fillPoly(canvas, [points[list(INNER_LIPS)].round().astype(np.int32)], inside)
    return canvas


@pytest.mark.parametrize("inside", [CAVITY, TEETH])
def test_parted_lips_stay_parted(inside):
    points = parted(9)
    assert np.array_equal(with_sure_lips(picture(points, inside), points), points)


def test_lips_that_only_seem_parted_are_put_together():
    points = parted(7)
    found = with_sure_lips(picture(points, LIP), points)
    assert lip_gap(found.astype(np.float64)) < 1.0
    others = [index for index in range(68) if index not in {point for pair in FACING for point in pair}]
    assert np.allclose(found[others], points[others], atol=1e-3)


def test_a_wide_gap_is_believed_whatever_is_in_it():
    points = parted(22)
    assert np.array_equal(with_sure_lips(picture(points, LIP), points), points)


def test_closed_lips_are_left_alone():
    points = parted(-1)
    assert with_sure_lips(picture(points, LIP), points) is points


def test_teeth_before_dark_lips_are_an_open_mouth():
    import cv2

    points = parted(7)
    canvas = np.full((SIZE, SIZE, 3), (70, 55, 52), np.uint8)
    cv2.fillPoly(canvas, [points[48:60].round().astype(np.int32)], (66, 52, 50))
    # The lower lip is found too low: its upper half is seen in the gap as well.
    shorter = points.copy()
    for upper, lower in FACING:
        shorter[lower] = points[upper] + 0.4 * (points[lower] - points[upper])
    cv2.fillPoly(canvas, [shorter[list(INNER_LIPS)].round().astype(np.int32)], (190, 185, 170))
    assert np.array_equal(with_sure_lips(canvas, points), points)
