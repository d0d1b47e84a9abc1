"""The faster convolutions against the library's."""

import pytest
import torch
from torch import nn

from sargan_core.models.fast_convolution import FewOutputsConvolution, WinogradConvolution


@pytest.mark.parametrize("mode", ["reflect", "zeros"])
@pytest.mark.parametrize("shape", [(2, 5, 8, 12), (1, 5, 4, 4), (1, 5, 6, 8)])
def test_winograd_is_the_convolution(mode: str, shape: tuple[int, ...]):
    torch.manual_seed(0)
    layer = nn.Conv2d(5, 7, 3, padding=1, bias=False, padding_mode=mode)
    x = torch.randn(shape)
    with torch.no_grad():
        torch.testing.assert_close(WinogradConvolution(layer)(x), layer(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_few_outputs_is_the_convolution(memory: torch.memory_format):
    torch.manual_seed(0)
    layer = nn.Conv2d(5, 3, 7, padding=3, bias=False)
    x = torch.randn(2, 5, 9, 12).contiguous(memory_format=memory)
    with torch.no_grad():
        torch.testing.assert_close(FewOutputsConvolution(layer)(x), layer(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", [WinogradConvolution, FewOutputsConvolution])
def test_reduced_precision_takes_the_library_s_convolution(kind: type[nn.Module]):
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 3, 3, padding=1, bias=False)
    x = torch.randn(1, 4, 8, 8)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(kind(layer)(x), layer(x))


def test_weights_are_shared_not_copied_into_the_state():
    layer = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    fast = WinogradConvolution(layer)
    assert list(fast.state_dict()) == ["weight"]
    assert fast.weight is layer.weight
