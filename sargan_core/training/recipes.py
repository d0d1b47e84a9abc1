"""The recipes that SARGAN, US-GAN and StarGAN are trained by, as settings."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from sargan_core.models.discriminator import DiscriminatorSettings
from sargan_core.models.generator import GeneratorSettings
from sargan_core.training.augment import FLIP, AugmentSettings


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
        head: factor of the head's first weights; small = the network starts by changing next to nothing.
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

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> SarganTraining:
        """Build settings from ``dataclasses.asdict`` of settings."""
        nested = {
            "generator": GeneratorSettings(**values["generator"]),
            "discriminator": DiscriminatorSettings(**values["discriminator"]),
            "augment": AugmentSettings(**values["augment"]),
        }
        return cls(**{**values, **nested})


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
    """Return our recipe for pairs, with a discriminator small enough for a processor."""
    # Five layers down to a map of at least 5 x 5 patches: sharp mouths need a local judge.
    judge = DiscriminatorSettings(width=24, layers=4, labels=generator.labels, size=generator.size)
    return SarganTraining(generator=generator, discriminator=judge, batch=batch, seed=seed, **changes)


def refine_recipe(
    generator: GeneratorSettings, batch: int = 8, seed: int = 0, **changes: Any
) -> SarganTraining:
    """Return the recipe of a refiner: it starts from the base's picture, and its faces lie still."""
    still = replace(AugmentSettings(), rotation=0.0, zoom=0.0, shift=0.0, occluder_odds=0.0, sketch_odds=0.02)
    settings: dict[str, Any] = {"head": 0.3, "rate": 1e-3, "adversarial_from": 1200, "augment": still}
    recipe = paired_recipe(generator, batch, seed, **{**settings, **changes})
    return replace(recipe, recipe="refine")
