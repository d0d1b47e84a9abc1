import cv2
import numpy as np
import pytest

from sargan_core.evaluation.metrics import mouth_detail
from sargan_core.faces.face import Template
from sargan_core.faces.mouth import FACING, INNER_LIPS
from sargan_core.weights import find_record

SIZE = 512
SKIN, LIP, ENAMEL, DARK = (190, 140, 120), (170, 90, 95), (225, 220, 210), (40, 15, 15)


def landmarks(gap):
    points = np.asarray(Template.from_json(find_record("pixel").template).shape) * SIZE - 0.5
    for upper, lower in FACING:
        points[lower] = points[upper] + [0, gap]
    return points.astype(np.float32)


def photo(points, gaps=True):
    canvas = np.full((SIZE, SIZE, 3), SKIN, np.uint8)
    cv2.fillPoly(canvas, [points[48:60].round().astype(np.int32)], LIP)
    inside = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(inside, [points[list(INNER_LIPS)].round().astype(np.int32)], 1)
    canvas[inside > 0] = ENAMEL
    if gaps:
        canvas[(inside > 0) & (np.arange(SIZE) % 12 < 2)] = DARK
    return canvas


def test_gaps_between_teeth_are_detail_and_blur_takes_it_away():
    points = landmarks(20)
    sharp = mouth_detail(photo(points), points)
    plain = mouth_detail(photo(points, gaps=False), points)
    soft = mouth_detail(cv2.GaussianBlur(photo(points), (0, 0), 3), points)
    for key in ("mouth_detail", "mouth_gradient"):
        assert sharp[key] > 2 * plain[key]
        assert soft[key] < 0.5 * sharp[key]


def test_a_closed_mouth_has_no_figures():
    assert mouth_detail(photo(landmarks(0), gaps=False), landmarks(0)) == {}
    assert mouth_detail(photo(landmarks(0)), None) == {}


def test_the_tone_is_that_of_the_teeth():
    points = landmarks(20)
    found = mouth_detail(photo(points), points)
    wanted = cv2.cvtColor(np.float32([[ENAMEL]]) / 255, cv2.COLOR_RGB2LAB)[0, 0]
    assert found["teeth_light"] == pytest.approx(wanted[0], abs=3)
    assert found["teeth_a"] == pytest.approx(wanted[1], abs=3)


def test_sixteen_bits_say_the_same_as_eight():
    points = landmarks(20)
    eight = photo(points)
    found = mouth_detail(eight.astype(np.uint16) * 257, points)
    assert found == pytest.approx(mouth_detail(eight, points), rel=1e-3)
