from dataclasses import replace

import pytest
import torch

from sargan_core.models.aipgan.network import AipganNetwork, AipganSettings

SMALL = AipganSettings(width=8, size=64)


def count(module):
    return sum(value.numel() for value in module.parameters())


def pictures(number, size=64, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.rand(number, 3, size, size, generator=random) * 2 - 1


def test_parameters_of_every_part_at_full_width():
    network = AipganNetwork(AipganSettings())
    assert count(network.expression) == count(network.identity) == 1_765_185
    assert count(network.landmarks) == 303_940
    assert count(network.intrinsic) == 982_563
    assert count(network.decoder) == 3_458_819
    assert sum(value.numel() for value in network.inference_parameters()) == 6_989_189


@pytest.mark.parametrize(
    "changes",
    [{}, {"attention": False}, {"intrinsic": False}, {"pooling": "concatenation"}, {"residual": True}],
)
def test_output_depends_neither_on_mode_nor_on_batch(changes):
    torch.manual_seed(1)
    network = AipganNetwork(replace(SMALL, **changes))
    source, target = pictures(3), pictures(3, seed=1)
    with torch.no_grad():
        together = network.train()(source, target)
        alone = network.eval()(source[1:2], target[1:2])
    assert together.shape == target.shape
    assert torch.allclose(together[1:2], alone, atol=1e-5)


def test_each_idea_can_be_left_out():
    assert AipganNetwork(replace(SMALL, intrinsic=False)).intrinsic is None
    assert not AipganNetwork(replace(SMALL, attention=False)).expression(pictures(1)).attention
    plain, joined = AipganNetwork(SMALL), AipganNetwork(replace(SMALL, pooling="concatenation"))
    assert count(joined.decoder) > count(plain.decoder)


def test_painted_pictures_stay_in_range_and_residual_ones_start_from_the_target():
    source, target = pictures(2), pictures(2, seed=3)
    with torch.no_grad():
        painted = AipganNetwork(SMALL)(source, target)
        network = AipganNetwork(replace(SMALL, residual=True))
        network.decoder.out.weight.zero_()
        network.decoder.out.bias.zero_()
        assert torch.equal(network(source, target), target)
    assert painted.abs().max() <= 1


def test_both_pictures_matter():
    torch.manual_seed(2)
    network = AipganNetwork(SMALL)
    with torch.no_grad():
        made = network(pictures(1), pictures(1, seed=1))
        assert not torch.allclose(made, network(pictures(1, seed=5), pictures(1, seed=1)), atol=1e-3)
        assert not torch.allclose(made, network(pictures(1), pictures(1, seed=6)), atol=1e-3)


def test_landmarks_are_read_where_the_heat_is():
    network = AipganNetwork(SMALL)
    encoded = network.expression(pictures(1))
    maps, points = network.landmarks(encoded)
    assert maps.shape == (1, 68, 16, 16)
    assert ((points > 0) & (points < 1)).all()
    with torch.no_grad():
        network.landmarks.heat.weight.zero_()
        network.landmarks.heat.bias.zero_()
    _, middle = network.landmarks(encoded)
    assert torch.allclose(middle, torch.full_like(middle, 0.5), atol=1e-5)
