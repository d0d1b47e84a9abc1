import pytest
import torch
from kornia.filters import gaussian_blur2d

from sargan_core.faces.blur import gaussian_blur


@pytest.mark.parametrize("border", ["reflect", "replicate"])
@pytest.mark.parametrize(("window", "sigma"), [(5, 1.0), (13, 3.0), (31, 5.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_blur_is_kornias(border, window, sigma, dtype):
    image = torch.rand(2, 3, 40, 56, dtype=dtype)
    wanted = gaussian_blur2d(image, (window, window), (sigma, sigma), border_type=border)
    assert torch.allclose(gaussian_blur(image, window, sigma, border), wanted, atol=1e-6)
    # Planes that do not lie one after the other in memory.
    turned = image.transpose(2, 3)
    assert torch.allclose(gaussian_blur(turned, window, sigma, border), wanted.transpose(2, 3), atol=1e-6)


def test_a_blur_may_be_learned_through():
    image = torch.rand(1, 3, 24, 24, requires_grad=True)
    blurred = gaussian_blur(image, 9, 2.0)
    assert torch.allclose(blurred, gaussian_blur(image.detach(), 9, 2.0), atol=1e-6)
    blurred.sum().backward()
    assert image.grad is not None
    assert bool((image.grad > 0).all())
