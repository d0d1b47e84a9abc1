import numpy as np
import pytest
import torch
from made_faces import face_photo
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from sargan_core.evaluation.metrics import (
    HIGHEST_PSNR,
    background_error,
    compared,
)
from sargan_core.faces.align import Alignment, Template


def as_tensor(pixels):
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]


@pytest.fixture(scope="module")
def photo():
    return face_photo()[::2, ::2]


@pytest.fixture(scope="module")
def noisy(photo):
    noise = np.random.default_rng(0).normal(0, 9, photo.shape)
    return np.clip(photo + noise, 0, 255).astype(np.uint8)


def test_a_perfect_picture_has_no_error(photo):
    assert compared(as_tensor(photo), as_tensor(photo)) == {
        "mse": 0.0,
        "psnr": HIGHEST_PSNR,
        "ssim": pytest.approx(1.0, abs=1e-6),
    }


def test_error_and_ratio_are_those_of_another_library(photo, noisy):
    figures = compared(as_tensor(noisy), as_tensor(photo))
    assert figures["mse"] == pytest.approx(mean_squared_error(photo, noisy), rel=1e-4)
    assert figures["psnr"] == pytest.approx(peak_signal_noise_ratio(photo, noisy), abs=1e-3)


def test_similarity_is_that_of_another_library(photo, noisy):
    one, other = (picture / 255 @ np.array([0.299, 0.587, 0.114]) for picture in (photo, noisy))
    options = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    # The whole map: the borders count too, only their padding differs.
    _, reference = structural_similarity(one, other, **options, full=True)
    assert compared(as_tensor(noisy), as_tensor(photo))["ssim"] == pytest.approx(reference.mean(), abs=0.002)


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint8, 1), (np.uint16, 257)])
def test_background_is_what_lies_outside_the_models_crop(photo, dtype, scale):
    original = photo.astype(dtype) * dtype(scale)
    template = Template(32, "similarity", (0.3, 0.3), (0.7, 0.3), (0.5, 0.7))
    place = Alignment(template, np.array([[1.0, 0, 40], [0, 1.0, 40]]))
    edited = original.copy()
    edited[45:60, 45:60] = 0
    assert background_error(edited, original, place) == 0
    edited[0, 0] = original[0, 0] - np.minimum(original[0, 0], 3 * scale)
    assert background_error(edited, original, place) == pytest.approx(min(3, photo[0, 0].max()), abs=1e-6)
    assert background_error(edited, original, None) > 3
