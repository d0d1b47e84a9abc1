import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from sargan_core.data.crops import register
from sargan_core.faces.face import Template

TEMPLATE = Template(128, "affine", (0.36, 0.42), (0.64, 0.42), (0.5, 0.72))


def crop(matrix):
    # The astronaut's eyes are about at (203, 101) and (246, 102): crop pixel -> photo pixel.
    base = np.array([[1.2, 0.0, 224.5 - 63.5 * 1.2], [0.0, 1.2, 101.5 - 53.3 * 1.2], [0, 0, 1]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    photo = astronaut()
    image = cv2.warpAffine(photo, (base @ matrix)[:2], (128, 128), flags=flags)
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def motion(angle, x, y):
    turn = cv2.getRotationMatrix2D((63.5, 53.3), angle, 1.0)
    turn[:, 2] += (x, y)
    return np.vstack([turn, [0, 0, 1]])


@pytest.mark.parametrize(("angle", "x", "y"), [(0, 2.4, -1.7), (2.0, 0, 0), (-1.5, -1.3, 2.1), (0, 0, 0)])
def test_a_small_motion_is_found_to_a_fraction_of_a_pixel(angle, x, y):
    # moving(p) = photo(base motion p), so that motion^-1 takes pixels of fixed to those of moving.
    true = np.linalg.inv(motion(angle, x, y))
    found = register(crop(np.eye(3)), crop(motion(angle, x, y)), TEMPLATE)
    points = np.array([[46.0, 53.0], [82.0, 53.0], [64.0, 70.0]])
    error = points @ found[:, :2].T + found[:, 2] - (points @ true[:2, :2].T + true[:2, 2])
    assert np.abs(error).max() < 0.25


def test_nothing_to_compare_is_no_motion():
    flat = np.full((3, 128, 128), 90, np.uint8)
    np.testing.assert_array_equal(register(flat, flat, TEMPLATE), np.eye(2, 3))


def test_a_far_jump_is_not_believed():
    noise = np.random.default_rng(0).integers(0, 255, (2, 3, 128, 128)).astype(np.uint8)
    left, right = TEMPLATE.pixels()[:2]
    found = register(noise[0], noise[1], TEMPLATE)
    moved = np.stack([left, right]) @ found[:, :2].T + found[:, 2] - np.stack([left, right])
    assert np.linalg.norm(moved, axis=1).max() < 0.12 * (right - left)[0]
