"""Training of SARGAN, US-GAN and StarGAN: the published recipe, and ours for pairs."""

from __future__ import annotations

import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional

from sargan_core.models.layers import lay_out, memory_format
from sargan_core.models.sargan import recipes as losses
from sargan_core.models.sargan.data import CropPairs
from sargan_core.models.sargan.file import save_generator
from sargan_core.models.sargan.generator import Discriminator, Generator, one_hot
from sargan_core.models.sargan.recipes import SarganTraining
from sargan_core.training.augment import augment
from sargan_core.training.loop import TrainingTask, descend, step_random, to_picture, update_average

CRITIC_STEPS = 5
PENALTY_EVERY = 8


class SarganTask(TrainingTask):
    """A ``TrainingTask`` for both recipes.

    Args:
        settings: what to train and how.
        data: crops of the training people; pairs are used by the paired recipe only.
        samples: crops of people left out, for the sample sheets.
        fabric: device, precision and processes.
        start: weights to start from instead of random ones.
    """

    def __init__(
        self,
        settings: SarganTraining,
        data: CropPairs,
        samples: CropPairs,
        fabric: Fabric,
        start: dict[str, Tensor] | None = None,
    ) -> None:
        self.settings = settings
        self.data = data
        self.samples = samples
        self.fabric = fabric
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            generator, discriminator = Generator(settings.generator), Discriminator(settings.discriminator)
        with torch.no_grad():
            generator.head.weight.mul_(settings.head)
        if start is not None:
            generator.load_state_dict(start)
        for network in (generator, discriminator):
            lay_out(network, fabric.device)
        self.average = deepcopy(generator).to(fabric.device).requires_grad_(False)
        betas = (0.5, 0.999)
        self.generator, self.generator_optimiser = fabric.setup(
            generator, torch.optim.Adam(generator.parameters(), settings.rate, betas)
        )
        # The unwrapped discriminator, for passes that do not update it: with several processes the wrapped one would
        # wait for gradients of the others.
        self.bare_discriminator = discriminator
        self.discriminator, self.discriminator_optimiser = fabric.setup(
            discriminator, torch.optim.Adam(discriminator.parameters(), settings.rate, betas)
        )

    def step(self, step: int) -> dict[str, Tensor]:
        """Make one step of the recipe; see ``TrainingTask``."""
        random = step_random(self.settings.seed, step, self.fabric.global_rank)
        self._set_rate(step)
        if self.settings.recipe == "paper":
            return self._paper_step(step, random)
        return self._paired_step(step, random)

    def _paper_step(self, step: int, random: torch.Generator) -> dict[str, Tensor]:
        """Make a discriminator step, and every fifth time a generator step."""
        crops, origin = self.data.draw_single(self.settings.batch, random, self.fabric.device)
        (crops,) = augment((crops,), self.settings.augment, random)
        real = self._to_network(crops)
        # Uniform over the *other* classes: a permutation of the batch's labels often asks for no change.
        count = self.settings.generator.labels
        wanted = (origin + torch.randint(1, count, origin.shape, generator=random).to(origin)) % count
        target, source = self._one_hot(wanted), self._one_hot(origin)
        with torch.no_grad():
            made = self.generator(real, target)
        realness, made_realness, kind = self._compare(real, made)
        with torch.autocast(real.device.type, enabled=False):
            penalty = losses.gradient_penalty(
                lambda x: self.bare_discriminator(x)[0], real, made.float(), random
            )
        metrics = {
            "d_real": realness.mean(),
            "d_made": made_realness.mean(),
            "d_penalty": penalty,
            "d_class": functional.cross_entropy(kind, origin),
        }
        loss = metrics["d_made"] - metrics["d_real"] + self.settings.penalty * penalty
        descend(self.fabric, self.discriminator_optimiser, loss + self.settings.classes * metrics["d_class"])
        if step % CRITIC_STEPS == 0:
            made = self.generator(real, target)
            realness, kind, _ = self._frozen_discriminator(made)
            metrics["g_real"] = -realness.mean()
            metrics["g_class"] = functional.cross_entropy(kind.float(), wanted)
            metrics["g_cycle"] = (self.generator(made, source) - real).abs().mean()
            loss = (
                self.settings.adversarial * metrics["g_real"]
                + self.settings.classes * metrics["g_class"]
                + self.settings.cycle * metrics["g_cycle"]
            )
            descend(self.fabric, self.generator_optimiser, loss)
            update_average(
                self.average.state_dict(), self.generator, step // CRITIC_STEPS, self.settings.average
            )
        return {name: value.detach() for name, value in metrics.items()}

    def _paired_step(self, step: int, random: torch.Generator) -> dict[str, Tensor]:
        """Make a generator step on pairs, and from ``adversarial_from`` on a discriminator step."""
        settings = self.settings
        batch = self.data.draw(settings.batch, random, self.fabric.device)
        mask = torch.from_numpy(self.data.mask).to(self.fabric.device).expand(len(batch.trust), 3, -1, -1)
        crops, truth, mask = self._augment_pair(batch.source, batch.target, mask, random)
        source, target = self._to_network(crops), self._to_network(truth)
        wanted, trust = batch.target_label, batch.trust
        made = self.generator(source, self._one_hot(wanted))
        still = trust[:, None, None, None]
        shown = mask[:, :1].to(source)
        weight = losses.change_weight(source, target) * torch.where(still < 1, still * shown, still)
        metrics = {
            "pixel": losses.weighted_l1(made, target, weight),
            "gradient": losses.gradient_l1(made, target, weight),
        }
        if step <= settings.squared_until:
            loss = settings.pixel * losses.weighted_l2(made, target, weight)
        else:
            loss = settings.pixel * metrics["pixel"] + settings.gradient * metrics["gradient"]
        return self._finish_pairs(step, loss, metrics, made, target, wanted, trust)

    def _finish_pairs(
        self,
        step: int,
        loss: Tensor,
        metrics: dict[str, Tensor],
        made: Tensor,
        target: Tensor,
        wanted: Tensor,
        trust: Tensor,
    ) -> dict[str, Tensor]:
        """Add the adversarial losses from ``adversarial_from`` on, and update the networks."""
        settings = self.settings
        adversarial = step >= settings.adversarial_from
        if adversarial:
            realness, kind, features = self._frozen_discriminator(made)
            with torch.no_grad():
                true_features = self._frozen_discriminator(target)[2]
            metrics["g_real"] = -realness.mean()
            metrics["features"] = losses.feature_matching(features, true_features, trust)
            metrics["g_class"] = functional.cross_entropy(kind.float(), wanted)
            loss = loss + settings.adversarial * metrics["g_real"]
            loss = loss + settings.features * metrics["features"] + settings.classes * metrics["g_class"]
        descend(self.fabric, self.generator_optimiser, loss)
        update_average(self.average.state_dict(), self.generator, step, self.settings.average)
        if adversarial:
            metrics |= self._discriminate_pairs(step, target, made.detach(), wanted)
        return {name: value.detach() for name, value in metrics.items()}

    def _discriminate_pairs(
        self, step: int, target: Tensor, made: Tensor, wanted: Tensor
    ) -> dict[str, Tensor]:
        realness, made_realness, kind = self._compare(target, made)
        metrics = {
            "d_hinge": losses.hinge_discriminator(realness, made_realness),
            "d_class": functional.cross_entropy(kind, wanted),
        }
        loss = metrics["d_hinge"] + metrics["d_class"]
        if step % PENALTY_EVERY == 0:
            with torch.autocast(target.device.type, enabled=False):
                penalty = losses.zero_centred_penalty(lambda x: self.bare_discriminator(x)[0], target.float())
            metrics["d_penalty"] = penalty
            loss = loss + self.settings.penalty * penalty / realness[0].numel()
        descend(self.fabric, self.discriminator_optimiser, loss)
        return metrics

    def _augment_pair(
        self, source: Tensor, target: Tensor, mask: Tensor, random: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Augment both pictures of a pair with the same draws; the mask gets the geometric changes only."""
        state = random.get_state()
        source, target = augment((source, target), self.settings.augment, random)
        twin = torch.Generator()
        twin.set_state(state)
        (mask,) = augment((mask.contiguous(),), self.settings.augment.geometric(), twin)
        return source, target, mask

    def _frozen_discriminator(self, images: Tensor) -> Any:
        """Return the discriminator's output without gradients of its own weights."""
        self.bare_discriminator.requires_grad_(False)
        with self.fabric.autocast():
            result = self.bare_discriminator(images)
        self.bare_discriminator.requires_grad_(True)
        return result

    def _compare(self, real: Tensor, made: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return realness of the real and of the generated pictures, and classes of the real ones, in one pass."""
        realness, kind, _ = self.discriminator(torch.cat([real, made.to(real)]))
        one, other = realness.float().chunk(2)
        return one, other, kind[: len(real)].float()

    def _to_network(self, crops: Tensor) -> Tensor:
        device = self.fabric.device
        return (crops * 2 - 1).to(device, memory_format=memory_format(device))

    def _one_hot(self, labels: Tensor) -> Tensor:
        return one_hot(labels, self.settings.generator.labels, self.fabric.device)

    def _set_rate(self, step: int) -> None:
        start = self.settings.rate_steps
        rate = self.settings.rate * (min(1.0, math.sqrt(start / step)) if start else 1.0)
        for optimiser in (self.generator_optimiser, self.discriminator_optimiser):
            for group in optimiser.param_groups:
                group["lr"] = rate

    def parts(self) -> dict[str, Any]:
        """See ``TrainingTask``."""
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
            "generator_optimiser": self.generator_optimiser,
            "discriminator_optimiser": self.discriminator_optimiser,
        }

    @torch.no_grad()
    def sheet(self) -> Tensor:
        """Return one row per sample crop: the crop, then every label in label order."""
        rows = []
        labels = self._one_hot(torch.arange(self.settings.generator.labels))
        for row in range(len(self.samples)):
            image = self._to_network(self.samples.pictures([row]))
            owner = torch.zeros(len(labels), dtype=torch.int64, device=image.device)
            made = self.average(image, labels, owner)
            rows.append(torch.cat(list(torch.cat([image, made])), dim=2))
        return to_picture(torch.cat(rows, dim=1))

    def export(self, path: Path) -> None:
        """Write the averaged generator in half precision with its settings and template."""
        if self.fabric.is_global_zero:
            save_generator(self.average, self.data.template, path)
