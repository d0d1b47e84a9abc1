import numpy as np
import pytest
import skimage.data

from sargan_core.faces.landmarks import upright_crop


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_crop_hardly_changes_with_the_last_bits_of_its_place(dtype):
    """Those bits depend on the CPU, and what is found in the crop must not."""
    photo = skimage.data.astronaut().astype(dtype) * (257 if dtype is np.uint16 else 1)
    matrix = np.array([[1.234, 0.211, 170.37], [-0.211, 1.234, 60.71]])
    crop = upright_crop(photo, matrix, 112)
    assert crop.shape == (112, 112)
    assert crop.dtype == np.float32
    for number in range(5):
        moved = matrix + np.random.default_rng(number).normal(0, 1e-6, (2, 3))
        assert np.abs(upright_crop(photo, moved, 112) - crop).max() < 1e-3


def test_a_crop_without_turn_and_scale_is_a_part_of_the_photo():
    photo = skimage.data.astronaut()
    crop = upright_crop(photo, np.array([[1.0, 0.0, 150.0], [0.0, 1.0, 40.0]]), 64)
    expected = photo[40:104, 150:214].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255
    assert np.abs(crop - expected).max() < 1e-4
