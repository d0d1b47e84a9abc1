import numpy as np
import pytest
import torch
from kornia.filters import gaussian_blur2d
from made_faces import face_photo
from skimage.color import rgb2lab
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from sargan_core.evaluation.metrics import (
    HIGHEST_PSNR,
    Unedited,
    background_error,
    changed,
    compared,
    landmark_error,
)
from sargan_core.faces.align import Alignment
from sargan_core.faces.face import Template


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
    reference = structural_similarity(one, other, **options)
    assert compared(as_tensor(noisy), as_tensor(photo))["ssim"] == pytest.approx(reference, abs=1e-4)


def test_several_true_pictures_count_with_their_mean(photo, noisy):
    both = compared(as_tensor(photo), torch.cat([as_tensor(photo), as_tensor(noisy)]))
    alone = compared(as_tensor(photo), as_tensor(noisy))
    assert both["mse"] == pytest.approx(alone["mse"] / 2, rel=1e-5)


def everywhere(photo):
    return Unedited.of(as_tensor(photo), torch.ones(1, 1, *photo.shape[:2]))


def test_colour_shift_is_the_distance_of_mean_lab_colours(photo):
    tinted = np.clip(photo * np.array([0.9, 1.0, 1.05]), 0, 255).astype(np.uint8)
    expected = np.linalg.norm((rgb2lab(tinted) - rgb2lab(photo)).mean((0, 1)))
    assert changed(as_tensor(tinted), everywhere(photo))["colour"] == pytest.approx(expected, rel=0.02)


def test_nothing_changed_says_so(photo):
    figures = changed(as_tensor(photo), everywhere(photo))
    assert figures == {"colour": 0.0, "detail": pytest.approx(1.0), "spill": 0.0}


def test_blur_loses_detail_and_grain_gains_it(photo, noisy):
    blurred = gaussian_blur2d(as_tensor(photo), (9, 9), (2.0, 2.0))
    assert changed(blurred, everywhere(photo))["detail"] < 0.7
    assert changed(as_tensor(noisy), everywhere(photo))["detail"] > 1.1


def test_spill_counts_only_what_lies_outside_the_face(photo):
    face = torch.zeros(1, 1, *photo.shape[:2])
    face[..., 40:80, 40:80] = 1
    before = Unedited.of(as_tensor(photo), face)
    inside, outside = photo.copy(), photo.copy()
    inside[40:80, 40:80] = 255 - inside[40:80, 40:80]
    outside[:10] = np.where(outside[:10] > 127, outside[:10] - 50, outside[:10] + 50)
    assert changed(as_tensor(inside), before)["spill"] == 0
    expected = 50 * 10 * photo.shape[1] / (photo.shape[0] * photo.shape[1] - 1600)
    assert changed(as_tensor(outside), before)["spill"] == pytest.approx(expected, rel=1e-3)


def test_landmarks_moved_by_a_tenth_of_the_eye_corners_distance_are_ten_percent_off():
    truth = np.random.default_rng(1).uniform(0, 100, (68, 2)).astype(np.float32)
    truth[36], truth[45] = (20, 50), (80, 50)
    assert landmark_error(truth + np.float32([6, 0]), truth) == pytest.approx(10.0, rel=1e-5)


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
