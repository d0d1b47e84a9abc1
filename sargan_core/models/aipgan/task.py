"""Training of the AIP-GAN-style network, with all loss terms of docs/papers.md 3.4."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from sargan_core.models.aipgan.data import TransferBank, TransferBatch
from sargan_core.models.aipgan.network import AipganNetwork
from sargan_core.models.aipgan.recipe import AipganTraining
from sargan_core.models.layers import lay_out, memory_format
from sargan_core.models.sargan import recipes as losses
from sargan_core.models.sargan.generator import Discriminator
from sargan_core.training.augment import augment
from sargan_core.training.loop import TrainingTask, descend, step_random, to_picture, update_average

PENALTY_EVERY = 8
# Standard deviation of the Gaussians in the targets of heat maps and attention, in cells of the map.
BLOB = 1.5
# Width of a face as a fraction of the crop's side: the unit of the landmark error.
FACE_WIDTH = 0.6
SHEET_ROWS = 8


class PersonHead(nn.Module):
    """Classifies the people of the training set from the discriminator's last features."""

    def __init__(self, channels: int, people: int) -> None:
        super().__init__()
        self.out = nn.Linear(channels, people)

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        """Return logits (B, people)."""
        logits: Tensor = self.out(features[-1].mean((2, 3)))
        return logits


class Discriminators(nn.Module):
    """The discriminator with three heads: real or generated, expression, person."""

    def __init__(self, training: AipganTraining, people: int) -> None:
        super().__init__()
        settings = training.discriminator
        self.base = Discriminator(settings)
        self.person = PersonHead(settings.width * 2 ** (settings.layers - 1), people)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return realness (B, 1, s, s), expression logits (B, labels) and person logits (B, people)."""
        realness, kind, features = self.base(images)
        return realness, kind, self.person(features)


class AipganTask(TrainingTask):
    """A ``TrainingTask`` for the network.

    Args:
        training: recipe and networks.
        bank: triples of the training people.
        samples: triples of people left out, for the sample sheets.
        fabric: device, precision and processes.
        write: writes the averaged network as a weights file.
        start: weights to start from instead of random ones.
    """

    def __init__(
        self,
        training: AipganTraining,
        bank: TransferBank,
        samples: TransferBank,
        fabric: Fabric,
        write: Callable[[AipganNetwork, Path], None],
        start: dict[str, Tensor] | None = None,
    ) -> None:
        self.training = training
        self.bank = bank
        self.samples = samples
        self.fabric = fabric
        self._write = write
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.seed)
            network = AipganNetwork(training.network)
            discriminators = Discriminators(training, bank.people)
        if training.network.residual:
            with torch.no_grad():
                # Almost no change at first: the moved target is nearer to the truth than random output.
                network.decoder.out.weight.mul_(0.1)
        if start is not None:
            network.load_state_dict(start)
        lay_out(network, fabric.device)
        self.average = deepcopy(network).to(fabric.device).requires_grad_(False)
        betas = (0.5, 0.999)
        self.network = network
        self.wrapped, self.optimiser = fabric.setup(
            _Everything(network), torch.optim.Adam(network.parameters(), training.rate, betas)
        )
        # The unwrapped module, for passes that do not update it; the wrapped one would wait for the other processes.
        self.bare_discriminators = discriminators
        self.discriminators, self.discriminator_optimiser = fabric.setup(
            discriminators, torch.optim.Adam(discriminators.parameters(), training.rate, betas)
        )

    def step(self, step: int) -> dict[str, Tensor]:
        """Make one step; see ``TrainingTask``."""
        random = step_random(self.training.seed, step, self.fabric.global_rank)
        adversarial = step >= self.training.adversarial_from
        metrics: dict[str, Tensor] = {}
        if adversarial:
            for number in range(self.training.critic_steps):
                metrics |= self._discriminator_step(step, number, random)
        metrics |= self._network_step(step, random, adversarial)
        return {name: value.detach() for name, value in metrics.items()}

    def _network_step(self, step: int, random: torch.Generator, adversarial: bool) -> dict[str, Tensor]:
        settings = self.training
        batch = self._draw(random)
        source, target = _to_network(batch.reference), _to_network(batch.target)
        truth = _to_network(batch.truth)
        made, maps, points, attention, codes, intrinsic = self.wrapped(source, target)
        weight = losses.change_weight(target, truth)
        metrics = {
            "pixel": losses.weighted_l1(made, truth, weight),
            "gradient": losses.gradient_l1(made, truth, weight),
            "landmarks": self._landmark_error(maps, points, batch.landmarks),
        }
        if step <= settings.squared_until:
            loss = settings.pixel * losses.weighted_l2(made, truth, weight)
        else:
            loss = settings.pixel * metrics["pixel"] + settings.gradient * metrics["gradient"]
        loss = loss + settings.landmarks * metrics["landmarks"]
        if settings.network.attention:
            metrics["attention"] = attention_error(attention, batch.landmarks)
            loss = loss + settings.attention * metrics["attention"]
        if intrinsic is not None:
            metrics["intrinsic"] = (intrinsic - _to_network(batch.neutral)).abs().mean()
            loss = loss + settings.intrinsic * metrics["intrinsic"]
        if settings.consistency and step >= settings.consistency_from:
            metrics["consistency"] = self._consistency(made, codes)
            loss = loss + settings.consistency * metrics["consistency"]
        if adversarial:
            self.bare_discriminators.requires_grad_(False)
            realness, kind, person = self.bare_discriminators(made)
            self.bare_discriminators.requires_grad_(True)
            metrics["g_real"] = -realness.mean()
            metrics["g_class"] = functional.cross_entropy(kind, batch.label)
            metrics["g_person"] = functional.cross_entropy(person, batch.person)
            loss = loss + settings.adversarial * metrics["g_real"]
            loss = loss + settings.classes * (metrics["g_class"] + metrics["g_person"])
        descend(self.fabric, self.optimiser, loss)
        update_average(self.average.state_dict(), self.network, step, settings.average)
        return metrics

    def _discriminator_step(self, step: int, number: int, random: torch.Generator) -> dict[str, Tensor]:
        batch = self._draw(random)
        truth = _to_network(batch.truth)
        with torch.no_grad():
            made = self.network(_to_network(batch.reference), _to_network(batch.target))
        realness, kind, person = self.discriminators(torch.cat([truth, made]))
        real, fake = realness.chunk(2)
        count = len(truth)
        metrics = {
            "d_class": functional.cross_entropy(kind[:count], batch.label),
            "d_person": functional.cross_entropy(person[:count], batch.person),
        }

        def realness_of(images: Tensor) -> Tensor:
            result: Tensor = self.bare_discriminators(images)[0]
            return result

        if self.training.wasserstein:
            metrics["d_real"] = fake.mean() - real.mean()
            penalty = losses.gradient_penalty(realness_of, truth, made, random)
            loss = metrics["d_real"] + self.training.penalty * penalty
        else:
            metrics["d_real"] = losses.hinge_discriminator(real, fake)
            loss = metrics["d_real"]
            if step % PENALTY_EVERY == 0 and number == 0:
                loss = (
                    loss
                    + self.training.penalty
                    * losses.zero_centred_penalty(realness_of, truth)
                    / real[0].numel()
                )
        descend(self.fabric, self.discriminator_optimiser, loss + metrics["d_class"] + metrics["d_person"])
        return metrics

    def _draw(self, random: torch.Generator) -> TransferBatch:
        """Draw triples; the reference gets colour changes of its own, target, truth and neutral the same ones."""
        settings = self.training
        batch = self.bank.draw(
            settings.batch,
            settings.network.size,
            random,
            moved=settings.network.residual,
            self_share=settings.self_share,
        )
        (reference,) = augment((batch.reference,), settings.augment, random)
        target, truth, neutral = augment((batch.target, batch.truth, batch.neutral), settings.augment, random)
        values = [reference, target, truth, neutral, batch.landmarks, batch.label, batch.person]
        return TransferBatch(*(value.to(self.fabric.device) for value in values))

    def _landmark_error(self, maps: Tensor, points: Tensor, landmarks: Tensor) -> Tensor:
        """Return the squared error of the heat maps plus the L1 error of the points in widths of the face."""
        wanted = blobs(landmarks, maps.shape[-1])
        return (maps - wanted).square().mean() + (points - landmarks).abs().mean() / FACE_WIDTH

    def _consistency(self, made: Tensor, codes: tuple[Tensor, Tensor]) -> Tensor:
        """Return the distance of the result's deepest features from ``codes``, those of the source and the target."""
        again = self.network.expression(made).features[3], self.network.identity(made).features[3]
        return (again[0] - codes[0].detach()).abs().mean() + (again[1] - codes[1].detach()).abs().mean()

    def parts(self) -> dict[str, Any]:
        """See ``TrainingTask``."""
        return {
            "network": self.network,
            "discriminators": self.bare_discriminators,
            "average": self.average,
            "optimiser": self.optimiser,
            "discriminator_optimiser": self.discriminator_optimiser,
        }

    @torch.no_grad()
    def sheet(self) -> Tensor:
        """Return one row per held-out triple: reference, target, result, truth, (intrinsic image)."""
        network = self.training.network
        count = min(SHEET_ROWS, len(self.samples.triples))
        batch = self.samples.batch(torch.arange(count), network.size, moved=network.residual)
        source, target = (_to_network(x.to(self.fabric.device)) for x in (batch.reference, batch.target))
        made = self.average(source, target)
        columns = [source, target, made, _to_network(batch.truth.to(self.fabric.device))]
        if self.average.intrinsic is not None:
            columns.append(self.average.intrinsic(self.average.identity(target)))
        rows = torch.cat([torch.cat(list(column), 1) for column in columns], 2)
        return to_picture(rows)

    def export(self, path: Path) -> None:
        """Write the averaged network and the other parts that an edit needs."""
        if self.fabric.is_global_zero:
            self._write(self.average, path)


class _Everything(nn.Module):
    """One pass through all parts, so that several processes exchange all their gradients."""

    def __init__(self, network: AipganNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, source: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, ...], tuple[Tensor, Tensor], Tensor | None]:
        network = self.network
        expression, identity = network.expression(source), network.identity(target)
        maps, points = network.landmarks(expression)
        intrinsic = network.intrinsic(identity) if network.intrinsic is not None else None
        made = network.decode(expression, identity, target)
        codes = expression.features[3], identity.features[3]
        return made, maps, points, expression.attention, codes, intrinsic


def blobs(landmarks: Tensor, side: int) -> Tensor:
    """Return a Gaussian of height 1 around each landmark, (B, 68, side, side); landmarks are fractions of the side."""
    ticks = (torch.arange(side, dtype=landmarks.dtype, device=landmarks.device) + 0.5) / side
    spread = BLOB / side
    x = torch.exp(-((ticks - landmarks[..., :1]) ** 2) / (2 * spread**2))
    y = torch.exp(-((ticks - landmarks[..., 1:]) ** 2) / (2 * spread**2))
    return y[..., :, None] * x[..., None, :]


def attention_error(attention: tuple[Tensor, ...], landmarks: Tensor) -> Tensor:
    """Return the cross-entropy of the spatial gates (logits) against the union of blobs at the landmarks."""
    errors = [
        functional.binary_cross_entropy_with_logits(
            logits, blobs(landmarks, logits.shape[-1]).amax(1, keepdim=True)
        )
        for logits in attention
    ]
    return torch.stack(errors).mean()


def _to_network(pictures: Tensor) -> Tensor:
    return (pictures * 2 - 1).contiguous(memory_format=memory_format(pictures.device))
