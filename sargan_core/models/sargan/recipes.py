"""Training recipes of SARGAN, US-GAN and StarGAN, and their losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sargan_core.models.sargan.generator import DiscriminatorSettings, GeneratorSettings
from sargan_core.training.augment import FLIP, AugmentSettings
from sargan_core.training.checks import (
    LEAST_SIZE,
    check_counts,
    check_rate,
    check_seed,
    check_size,
    check_width,
)

# Smallest side that the attention unit takes, which halves it twice and pads by reflection.
ATTENTION_SIDE = 5


@dataclass(frozen=True)
class SarganTraining:
    """Settings of a training.

    Attributes:
        recipe: ``paper`` (WGAN-GP, classification, cycle; docs/papers.md 1.4), ``paired`` (ours), or ``refine`` (ours,
            on another model's picture).
        generator: the generator's settings.
        discriminator: the discriminator's settings.
        batch: crops per step and process.
        rate: Adam's learning rate.
        rate_steps: from this step on the rate falls with the inverse square root of the step; 0 = constant.
        average: decay of the exponential moving average of the generator.
        pixel: weight of the weighted L1 distance to the truth (paired).
        gradient: weight of the L1 distance of the image gradients (paired).
        adversarial: weight of the adversarial loss of the generator.
        features: weight of the feature matching (paired).
        classes: weight of the classification.
        cycle: weight of the cycle (paper).
        penalty: weight of the gradient penalty: the two-sided one (paper), at real images (paired).
        squared_until: last step that minimises squared distances instead of absolute ones and gradients
            (paired): absolute distances hold an untrained residual network at the identity.
        adversarial_from: first step of the adversarial, feature and class losses (paired).
        head: factor on the initial weights of the last layer; small = the network changes almost nothing at first.
        augment: augmentation.
        seed: of weights, draws and augmentation.
    """

    recipe: str = "paired"
    generator: GeneratorSettings = field(default_factory=GeneratorSettings)
    discriminator: DiscriminatorSettings = field(default_factory=DiscriminatorSettings)
    batch: int = 8
    rate: float = 6e-4
    rate_steps: int = 3000
    average: float = 0.999
    pixel: float = 1.0
    gradient: float = 0.5
    adversarial: float = 0.05
    features: float = 0.1
    classes: float = 0.01
    cycle: float = 0.0
    penalty: float = 1.0
    squared_until: int = 800
    adversarial_from: int = 2500
    head: float = 1.0
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        check_rate(self.rate)
        check_seed(self.seed)
        check_counts({"--batch": self.batch, "--adversarial-from": self.adversarial_from})


def check_generator(settings: GeneratorSettings) -> None:
    """Raise UsageError for a generator that cannot be built or whose crops its halvings do not divide."""
    side = ATTENTION_SIDE if settings.attention else 2
    name = f"{settings.arch} with --downs {settings.downs}"
    check_size(settings.size, 2**settings.downs, max(LEAST_SIZE, side * 2**settings.downs), name)
    check_width(settings.width)


def paper_recipe(generator: GeneratorSettings, batch: int = 8, seed: int = 0) -> SarganTraining:
    """Return the published recipe: see docs/papers.md 1.4 and 1.5."""
    return SarganTraining(
        recipe="paper",
        generator=generator,
        discriminator=DiscriminatorSettings(labels=generator.labels, size=generator.size),
        batch=batch,
        rate=1e-4,
        rate_steps=0,
        adversarial=1.0,
        classes=1.0,
        cycle=10.0 if generator.arch == "stargan" else 1.0,
        penalty=10.0,
        augment=FLIP,
        seed=seed,
    )


def paired_recipe(
    generator: GeneratorSettings, batch: int = 8, seed: int = 0, **changes: Any
) -> SarganTraining:
    """Return our recipe for pairs, with a discriminator small enough for a CPU."""
    # Five layers down to a map of at least 5 x 5 patches: sharp mouths need a local discriminator.
    discriminator = DiscriminatorSettings(width=24, layers=4, labels=generator.labels, size=generator.size)
    return SarganTraining(generator=generator, discriminator=discriminator, batch=batch, seed=seed, **changes)


def refine_recipe(
    generator: GeneratorSettings, batch: int = 8, seed: int = 0, **changes: Any
) -> SarganTraining:
    """Return the recipe of a refiner: it starts from the base's picture, whose faces are already aligned."""
    still = replace(AugmentSettings(), rotation=0.0, zoom=0.0, shift=0.0, occluder_odds=0.0, sketch_odds=0.02)
    settings: dict[str, Any] = {"head": 0.3, "rate": 1e-3, "adversarial_from": 1200, "augment": still}
    recipe = paired_recipe(generator, batch, seed, **{**settings, **changes})
    return replace(recipe, recipe="refine")


# Extra weight of pixels that the expression changes.
CHANGE_GAIN = 6.0
# A difference of this size (of the range [-1, 1]) counts as a full change.
FULL_CHANGE = 0.25


def change_weight(source: Tensor, target: Tensor) -> Tensor:
    """Return the weight of each pixel of a pair: 1 where nothing changes, up to 1 + CHANGE_GAIN.

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
        made: features (B, C, h, w), one tensor per layer.
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
    discriminator: Callable[[Tensor], Tensor], real: Tensor, made: Tensor, random: torch.Generator
) -> Tensor:
    """Return the two-sided WGAN gradient penalty, mean of ``(|gradient| - 1) ** 2``.

    The gradient of the summed realness is taken at a uniform random mix of real and made, one fraction per sample
    (docs/papers.md 1.4).

    Args:
        discriminator: images (B, 3, S, S) -> realness of any shape.
        real: (B, 3, S, S).
        made: (B, 3, S, S).
        random: CPU generator for the fractions.
    """
    share = torch.rand(len(real), 1, 1, 1, generator=random).to(real)
    mixed = (share * real + (1 - share) * made).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(mixed).sum(), mixed, create_graph=True)
    length: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    return ((length - 1) ** 2).mean()


def zero_centred_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """Return the mean squared gradient of the summed realness at real images (R1)."""
    real = real.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()
