"""Pictures made smaller for searching and showing."""

import numpy as np

from sargan_core.photo.planes import bounded


def test_large_pictures_are_reduced_to_the_side_small_ones_kept():
    copy, scale = bounded(np.zeros((3000, 2000, 3), np.uint8), 480)
    assert copy.shape == (480, 320, 3)
    assert scale == 480 / 3000
    small = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    copy, scale = bounded(small, 480)
    assert np.array_equal(copy, small)
    assert scale == 1


def test_sixteen_bits_become_the_nearest_eight():
    deep = np.array([[[0, 257, 65535], [128, 129, 385]]], np.uint16)
    assert bounded(deep, 480)[0].tolist() == [[[0, 1, 255], [0, 1, 1]]]
