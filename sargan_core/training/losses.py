"""The losses of the generator and the discriminator."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

# How much more a pixel counts where the expression changes it than where it does not.
CHANGE_GAIN = 6.0
# A difference of this size (of the range [-1, 1]) counts as a full change.
FULL_CHANGE = 0.25


def change_weight(source: Tensor, target: Tensor) -> Tensor:
    """Return how much each pixel of a pair counts: 1 where nothing changes, up to 1 + CHANGE_GAIN.

    Args:
        source: (B, 3, S, S) in [-1, 1].
        target: (B, 3, S, S) in [-1, 1].

    Returns:
        (B, 1, S, S), smooth over about a dozen pixels, so that the surroundings of a change count too.
    """
    difference = (target - source).abs().amax(1, keepdim=True)
    near = functional.avg_pool2d(difference, 4, ceil_mode=True)
    near = functional.avg_pool2d(near, 3, 1, 1, count_include_pad=False)
    near = functional.interpolate(near, difference.shape[2:], mode="bilinear", align_corners=False)
    return 1 + CHANGE_GAIN * (torch.maximum(near, difference) / FULL_CHANGE).clamp(max=1)


def weighted_l1(made: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the mean of ``weight * |made - target|``; weight (B, 1, S, S) broadcasts over the channels."""
    return (weight * (made - target).abs()).mean()


def weighted_l2(made: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the mean of ``weight * (made - target) ** 2``, times 4 to be of the size of the L1 distance."""
    return 4 * (weight * (made - target).square()).mean()


def gradient_l1(made: Tensor, target: Tensor, weight: Tensor, scales: int = 3) -> Tensor:
    """Return the weighted L1 distance of the image gradients, added over ``scales`` halvings.

    Plain L1 alone leaves edges and wrinkles soft; their position and strength are in the gradient.
    """
    total = made.new_zeros(())
    difference = made - target
    for scale in range(scales):
        if scale:
            difference = functional.avg_pool2d(difference, 2)
            weight = functional.avg_pool2d(weight, 2)
        across = (weight[..., 1:] * (difference[..., 1:] - difference[..., :-1]).abs()).mean()
        down = (weight[..., 1:, :] * (difference[..., 1:, :] - difference[..., :-1, :]).abs()).mean()
        total = total + across + down
    return total


def feature_matching(made: Sequence[Tensor], real: Sequence[Tensor], trust: Tensor) -> Tensor:
    """Return the mean L1 distance of discriminator features of made and true pictures.

    Args:
        made: features (B, C, h, w), one tensor a layer.
        real: the same of the true pictures; no gradient flows into them.
        trust: (B,) weight of each pair.
    """
    total = trust.new_zeros(())
    for one, other in zip(made, real, strict=True):
        distance = (one - other.detach()).abs().mean((1, 2, 3)) / (other.detach().abs().mean() + 1e-3)
        total = total + (trust * distance).mean()
    return total / len(made)


def hinge_discriminator(real: Tensor, made: Tensor) -> Tensor:
    """Return the hinge loss of the discriminator."""
    return functional.relu(1 - real).mean() + functional.relu(1 + made).mean()


def gradient_penalty(
    judge: Callable[[Tensor], Tensor], real: Tensor, made: Tensor, random: torch.Generator
) -> Tensor:
    """Return the two-sided WGAN gradient penalty, mean of ``(|gradient| - 1) ** 2``.

    The gradient of the summed realness is taken at a uniform random mix of real and made, one share a sample
    (docs/papers.md 1.4).

    Args:
        judge: images (B, 3, S, S) -> realness of any shape.
        real: (B, 3, S, S).
        made: (B, 3, S, S).
        random: draws the shares, on the CPU.
    """
    share = torch.rand(len(real), 1, 1, 1, generator=random).to(real)
    mixed = (share * real + (1 - share) * made).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(judge(mixed).sum(), mixed, create_graph=True)
    length: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    return ((length - 1) ** 2).mean()


def zero_centred_penalty(judge: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """Return the mean squared gradient of the summed realness at real images (R1)."""
    real = real.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(judge(real).sum(), real, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()
