"""The convolution to few channels against the library's."""

import pytest
import torch
from torch.nn import functional

from sargan_core.models.layers import FewOutputsConvolution


def few_outputs() -> FewOutputsConvolution:
    torch.manual_seed(0)
    return FewOutputsConvolution(5, 3, 7)


def plain(layer: FewOutputsConvolution, x: torch.Tensor) -> torch.Tensor:
    return functional.conv2d(x, layer.weight, padding=3)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_few_outputs_is_the_convolution_with_its_gradients(memory: torch.memory_format):
    layer = few_outputs()
    x = torch.randn(2, 5, 9, 12).contiguous(memory_format=memory).requires_grad_()
    for made, expected in zip(
        torch.autograd.grad(layer(x).square().sum(), [x, layer.weight]),
        torch.autograd.grad(plain(layer, x).square().sum(), [x, layer.weight]),
        strict=True,
    ):
        torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(layer(x), plain(layer, x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("width", [12, 13, 8])
@pytest.mark.parametrize("outputs", [1, 3, 5])
def test_few_outputs_in_use_is_the_convolution_for_even_and_odd_widths(
    memory: torch.memory_format, width: int, outputs: int
):
    torch.manual_seed(0)
    layer = FewOutputsConvolution(5, outputs, 7).requires_grad_(False)
    x = torch.randn(2, 5, 9, width).contiguous(memory_format=memory)
    with torch.no_grad():
        made = layer(x)
    torch.testing.assert_close(made, plain(layer, x), atol=1e-5, rtol=1e-4)


def test_few_outputs_in_bf16_is_no_coarser_than_the_library_s():
    layer = few_outputs()
    x = torch.randn(2, 5, 32, 32)
    with torch.no_grad():
        exact = plain(layer, x)
        with torch.autocast("cpu", torch.bfloat16):
            ours, theirs = layer(x).float(), plain(layer, x).float()
    assert (ours - exact).abs().mean() <= 1.05 * (theirs - exact).abs().mean()
