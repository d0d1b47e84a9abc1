"""The losses against values that are known in closed form."""

import pytest
import torch

from sargan_core.models.sargan.recipes import (
    CHANGE_GAIN,
    change_weight,
    feature_matching,
    gradient_l1,
    gradient_penalty,
    hinge_discriminator,
    weighted_l1,
    zero_centred_penalty,
)


def images(seed: int = 0) -> torch.Tensor:
    return torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_gradient_penalty_of_a_linear_judge():
    # The gradient of <w, x> is w everywhere, whatever the mix.
    weight = torch.rand(3, 8, 8)
    penalty = gradient_penalty(
        lambda x: (x * weight).sum((1, 2, 3)), images(), images(1), torch.Generator().manual_seed(0)
    )
    torch.testing.assert_close(penalty, (weight.norm() - 1) ** 2)


def test_gradient_penalty_of_a_quadratic_judge_is_taken_at_the_mix():
    # The gradient of |x|^2 / 2 is x itself, so the mixes can be worked out.
    real, made = images(), images(1)
    penalty = gradient_penalty(
        lambda x: (x**2).sum((1, 2, 3)) / 2, real, made, torch.Generator().manual_seed(4)
    )
    share = torch.rand(3, 1, 1, 1, generator=torch.Generator().manual_seed(4))
    mixed = share * real + (1 - share) * made
    torch.testing.assert_close(penalty, ((mixed.flatten(1).norm(dim=1) - 1) ** 2).mean())


def test_gradient_penalty_can_be_descended():
    scale = torch.tensor(3.0, requires_grad=True)
    penalty = gradient_penalty(
        lambda x: scale * x[:, 0, 0, 0], images(), images(1), torch.Generator().manual_seed(0)
    )
    (slope,) = torch.autograd.grad(penalty, scale)
    torch.testing.assert_close(slope, torch.tensor(2 * (3.0 - 1)))


def test_zero_centred_penalty_of_a_linear_judge():
    weight = torch.rand(3, 8, 8)
    penalty = zero_centred_penalty(lambda x: (x * weight).sum((1, 2, 3)), images())
    torch.testing.assert_close(penalty, weight.square().sum())


def test_change_weight_is_one_where_nothing_changes_and_full_in_a_large_change():
    source = torch.zeros(1, 3, 32, 32)
    target = source.clone()
    target[..., 20:28, 20:28] = 0.5
    weight = change_weight(source, target)
    assert weight[0, 0, 2, 2] == 1
    assert weight[0, 0, 24, 24] == 1 + CHANGE_GAIN
    assert 1 < weight[0, 0, 18, 24] < 1 + CHANGE_GAIN


def test_pixel_losses_vanish_only_at_the_truth():
    truth, weight = images(), torch.ones(3, 1, 8, 8)
    assert weighted_l1(truth, truth, weight) == 0
    assert gradient_l1(truth, truth, weight) == 0
    assert weighted_l1(truth + 0.1, truth, weight) == pytest.approx(0.1, abs=1e-6)
    assert gradient_l1(truth + 0.1, truth, weight) == pytest.approx(0, abs=1e-5)
    assert gradient_l1(images(1), truth, weight) > 0.1


def test_feature_matching_ignores_pairs_without_trust_and_the_truth_gets_no_gradient():
    made, real = [torch.rand(2, 4, 3, 3)], [torch.rand(2, 4, 3, 3, requires_grad=True)]
    other = [torch.cat([made[0][:1], torch.rand(1, 4, 3, 3)])]
    trust = torch.tensor([1.0, 0.0])
    assert feature_matching(made, real, trust) == feature_matching(other, real, trust)
    assert not feature_matching(made, real, trust).requires_grad


def test_hinge_is_zero_beyond_the_margin():
    assert hinge_discriminator(torch.tensor([1.5]), torch.tensor([-2.0])) == 0
    assert hinge_discriminator(torch.tensor([0.0]), torch.tensor([0.0])) == 2
