import numpy as np
import pytest
import torch

from sargan_core.models.pixel.ridge import LEVELS, CurveSums, RidgeSums


def pairs(count: int, size: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(count, 3, size, size, generator=generator, dtype=torch.float64)
    t = 0.7 * x + 0.1 + 0.2 * torch.rand(count, 3, size, size, generator=generator, dtype=torch.float64)
    return x, t


def add_all(sums, x, t):
    for one, other in zip(x, t, strict=True):
        sums.add(one, other)
    return sums


@pytest.mark.parametrize("penalty", [0.04, 0.4, 4.0])
@pytest.mark.parametrize("identity", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_agrees_with_a_direct_solve_of_the_normal_equations(penalty, identity, shared):
    size = 6
    x, t = pairs(30, size)
    weight, bias = add_all(RidgeSums((1 if shared else 3, size, size)), x, t).solve(penalty, identity)
    rest = np.array([1.0, 0.0]) if identity else np.zeros(2)
    for channel in range(1 if shared else 3):
        for row, column in [(0, 0), (2, 5), (5, 1)]:
            chosen = slice(None) if shared else slice(channel, channel + 1)
            values = x[:, chosen, row, column].reshape(-1).numpy()
            wanted = t[:, chosen, row, column].reshape(-1).numpy()
            design = np.stack([values, np.ones_like(values)], axis=1)
            normal = design.T @ design + penalty * np.eye(2)
            direct = rest + np.linalg.solve(normal, design.T @ (wanted - design @ rest))
            assert abs(weight[channel, row, column] - direct[0]) < 1e-10
            assert abs(bias[channel, row, column] - direct[1]) < 1e-10


def test_without_change_the_product_leaves_every_pixel_alone():
    x, _ = pairs(10, 5)
    weight, bias = add_all(RidgeSums((3, 5, 5)), x, x).solve(0.4, towards_identity=True)
    assert torch.allclose(weight, torch.ones_like(weight))
    assert torch.allclose(bias, torch.zeros_like(bias), atol=1e-12)


def test_two_hundred_pairs_of_128_pixels_find_the_line_they_lie_on():
    x = torch.rand(200, 3, 128, 128)
    t = 0.8 * x + 0.1
    weight, bias = add_all(RidgeSums((1, 128, 128)), x, t).solve(0.4)
    assert weight.mean() == pytest.approx(0.8, abs=0.02)
    assert bias.mean() == pytest.approx(0.1, abs=0.02)


def test_curves_agree_with_kernel_ridge_regression_on_all_samples():
    penalty, bandwidth, size = 0.4, 0.15, 3
    x, t = pairs(25, size)
    x = (x * (LEVELS - 1)).round() / (LEVELS - 1)
    curves = add_all(CurveSums((3, size, size)), x.float(), t.float()).solve(penalty, bandwidth)
    levels = np.linspace(0, 1, LEVELS)
    values, wanted = x[:, 1, 2, 0].numpy(), t[:, 1, 2, 0].numpy()
    kernel = np.exp(-((values[:, None] - values[None]) ** 2) / (2 * bandwidth**2))
    alpha = np.linalg.solve(kernel + penalty * np.eye(len(values)), wanted - wanted.mean())
    across = np.exp(-((levels[:, None] - values[None]) ** 2) / (2 * bandwidth**2))
    assert np.allclose(curves[1, :, 2, 0].numpy(), across @ alpha + wanted.mean(), atol=1e-4)
