import numpy as np
import pytest
import torch
from scipy.interpolate import RBFInterpolator

from sargan_core.faces.warp import invert, positions, sample, spline_field, thin_plate_operator


def smooth_field(size: int, reach: float) -> torch.Tensor:
    ticks = torch.linspace(0, 3.0, size)
    x = reach * torch.sin(ticks)[None, :] * torch.cos(ticks)[:, None]
    return torch.stack([x, -0.5 * x.T])[None]


def test_no_displacement_samples_the_image_itself():
    image = torch.rand(1, 3, 20, 24)
    assert torch.allclose(sample(image, positions(torch.zeros(1, 2, 20, 24))), image, atol=1e-6)


def test_field_points_at_the_content():
    image = torch.rand(1, 1, 16, 16)
    field = torch.zeros(1, 2, 16, 16)
    field[:, 0] = 3
    moved = sample(image, positions(field))
    assert torch.allclose(moved[..., :-3], image[..., 3:], atol=1e-5)


def test_inverse_undoes_the_field():
    field = smooth_field(64, 3.0)
    inverse = invert(field)
    there_and_back = positions(inverse) + sample(field, positions(inverse))
    assert (there_and_back - positions(torch.zeros_like(field))).abs().max() < 1e-3


def test_spline_meets_its_points_and_stays_still_on_the_border():
    rng = np.random.default_rng(1)
    points = rng.uniform(30, 96, (20, 2))
    values = 0.03 * (points - 64) + [1.0, -2.0]
    field = spline_field(points, values, 128)
    at_points = sample(
        torch.from_numpy(field)[None], torch.from_numpy(points.T.astype(np.float32))[None, :, :, None]
    )
    assert np.abs(at_points[0, :, :, 0].T.numpy() - values).max() < 0.25
    corners = field[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert np.abs(corners).max() < 0.05


@pytest.mark.parametrize("smoothing", [0.0, 5.0])
def test_spline_is_linear_in_its_values(smoothing):
    rng = np.random.default_rng(2)
    points, one, two = rng.uniform(10, 50, (12, 2)), rng.normal(size=(12, 2)), rng.normal(size=(12, 2))
    total = spline_field(points, one + 2 * two, 64, smoothing)
    parts = spline_field(points, one, 64, smoothing) + 2 * spline_field(points, two, 64, smoothing)
    assert np.allclose(total, parts, atol=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 50.0])
def test_thin_plates_agree_with_scipy(smoothing):
    rng = np.random.default_rng(4)
    known, wanted, values = (
        rng.uniform(0, 200, (40, 2)),
        rng.uniform(0, 200, (60, 2)),
        rng.normal(size=(40, 2)),
    )
    reference = RBFInterpolator(known, values, kernel="thin_plate_spline", smoothing=smoothing)(wanted)
    assert np.allclose(thin_plate_operator(known, wanted, smoothing) @ values, reference, atol=1e-8)
