"""The discriminator: published size, shapes."""

import torch

from sargan_core.models.sargan.generator import Discriminator, DiscriminatorSettings


def test_published_parameter_count():
    judge = Discriminator(DiscriminatorSettings())
    assert sum(parameter.numel() for parameter in judge.parameters()) == 44_778_432


def test_shapes_of_the_heads_and_features():
    judge = Discriminator(DiscriminatorSettings(width=4, layers=3, size=32))
    real, kind, features = judge(torch.rand(2, 3, 32, 32))
    assert real.shape == (2, 1, 4, 4)
    assert kind.shape == (2, 7)
    assert [tuple(feature.shape) for feature in features] == [(2, 4, 16, 16), (2, 8, 8, 8), (2, 16, 4, 4)]


def test_realness_is_judged_without_the_batch():
    torch.manual_seed(0)
    judge = Discriminator(DiscriminatorSettings(width=4, layers=3, size=32))
    x = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(judge(x)[0][1:2], judge(x[1:2])[0], atol=1e-6, rtol=0)
