"""Packed convolutions answer as ordinary ones, whatever they are asked."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sargan_core.models.packed import pack


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 5, 2, 2),
        nn.ReLU(inplace=True),
        nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.ReLU()),
        nn.Conv2d(16, 16, 4, groups=16),
    )


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (2, 3, 48, 40)])
@pytest.mark.parametrize("used", [True, False], ids=["in use", "in training"])
def test_answers_are_those_of_the_ordinary_layers(shape, used):
    ordinary, packed = network(), network()
    pack(packed)
    crops = torch.rand(shape)
    with torch.set_grad_enabled(not used):
        for _ in range(2):
            assert torch.allclose(packed(crops), ordinary(crops), atol=1e-5)
        assert (packed[:2](crops) >= 0).all()


def test_one_layer_serves_pictures_of_any_size():
    ordinary, packed = network(), network()
    pack(packed)
    with torch.inference_mode():
        for side in (24, 64, 24, 33):
            crops = torch.rand(1, 3, side, side)
            assert torch.allclose(packed(crops), ordinary(crops), atol=1e-5)


def test_a_trained_layer_answers_with_its_new_weights():
    packed = network()
    pack(packed)
    crops = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        packed(crops)
        for parameter in packed.parameters():
            parameter.mul_(2)
        assert torch.allclose(packed(crops), doubled()(crops), atol=1e-4)


def doubled() -> nn.Sequential:
    result = network()
    for parameter in result.parameters():
        parameter.data.mul_(2)
    return result
