"""Training recipes of the expression transfer: the published one, and ours for pairs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from sargan_core.models.aipgan.network import AipganSettings
from sargan_core.models.sargan.generator import DiscriminatorSettings
from sargan_core.training.augment import NONE, AugmentSettings
from sargan_core.training.checks import (
    LEAST_SIZE,
    check_counts,
    check_rate,
    check_seed,
    check_size,
    check_width,
)

# Halvings of the transfer network.
HALVINGS = 4

# Augmentation of reference and target, drawn independently; without geometric changes.
COLOURS = AugmentSettings(
    flip_odds=0.0,
    rotation=0.0,
    zoom=0.0,
    shift=0.0,
    posterise_odds=0.0,
    sketch_odds=0.0,
    blur_odds=0.1,
    occluder_odds=0.0,
    noise_odds=0.1,
    jpeg_odds=0.0,
)


@dataclass(frozen=True)
class AipganTraining:
    """Settings of a training; weights of losses as in docs/papers.md 3.4.

    Attributes:
        network: the network's settings.
        discriminator: the discriminator's settings.
        batch: triples per step and process.
        rate: Adam's learning rate.
        average: decay of the exponential moving average of the network.
        pixel: weight of the distance to the true picture (paired and self: some triples are one and the same face).
        gradient: weight of the L1 distance of the image gradients; ours.
        landmarks: weight of heat maps and points of the expression encoder's landmark head.
        attention: weight of the supervision of its spatial attention.
        intrinsic: weight of the intrinsic image.
        adversarial: weight of the adversarial loss.
        classes: weight of expression and person classes in the adversarial part.
        consistency: weight of expression and identity consistency.
        penalty: weight of the gradient penalty.
        wasserstein: True: WGAN with the two-sided penalty; False: hinge with the penalty at real images.
        critic_steps: discriminator steps per network step.
        squared_until: last step that minimises squared distances instead of absolute ones.
        adversarial_from: first step of the adversarial and class losses.
        consistency_from: first step of the consistency losses.
        self_share: part of the triples that are replaced by one face as reference, target and truth.
        augment: of colours.
        seed: of weights, draws and augmentation.
    """

    network: AipganSettings = field(default_factory=AipganSettings)
    discriminator: DiscriminatorSettings = field(default_factory=DiscriminatorSettings)
    batch: int = 8
    rate: float = 1e-4
    average: float = 0.999
    pixel: float = 10.0
    gradient: float = 0.0
    landmarks: float = 10.0
    attention: float = 1.0
    intrinsic: float = 10.0
    adversarial: float = 1.0
    classes: float = 1.0
    consistency: float = 1.0
    penalty: float = 10.0
    wasserstein: bool = True
    critic_steps: int = 5
    squared_until: int = 0
    adversarial_from: int = 1
    consistency_from: int = 1
    self_share: float = 0.1
    augment: AugmentSettings = NONE
    seed: int = 0

    def __post_init__(self) -> None:
        check_rate(self.rate)
        check_seed(self.seed)
        check_counts({"--batch": self.batch, "--adversarial-from": self.adversarial_from})


def check_aipgan(settings: AipganSettings) -> None:
    """Raise UsageError for a transfer network whose crops its halvings do not divide."""
    check_size(settings.size, 2**HALVINGS, LEAST_SIZE, "aipgan")
    check_width(settings.width)


def paper_recipe(network: AipganSettings, batch: int = 8, seed: int = 0) -> AipganTraining:
    """Return the recipe of docs/papers.md 3.4, every term from the first step."""
    discriminator = DiscriminatorSettings(size=network.size)
    return AipganTraining(network=network, discriminator=discriminator, batch=batch, seed=seed)


def paired_recipe(network: AipganSettings, batch: int = 8, seed: int = 0, **changes: Any) -> AipganTraining:
    """Return our recipe for small machines: pairs first, squared errors first, a small discriminator late."""
    discriminator = DiscriminatorSettings(width=24, layers=4, size=network.size)
    return replace(
        AipganTraining(
            network=network,
            discriminator=discriminator,
            batch=batch,
            rate=1e-3,
            gradient=5.0,
            landmarks=2.0,
            attention=0.1,
            intrinsic=2.0,
            adversarial=0.05,
            classes=0.01,
            consistency=0.1,
            penalty=1.0,
            wasserstein=False,
            critic_steps=1,
            squared_until=400,
            adversarial_from=2500,
            consistency_from=2500,
            self_share=0.0 if network.residual else 0.1,
            augment=COLOURS,
            seed=seed,
        ),
        **changes,
    )
