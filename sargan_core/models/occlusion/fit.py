"""Training of the occlusion network, and its errors on people it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sargan_core.faces.cover import objects_in
from sargan_core.models.layers import lay_out
from sargan_core.models.occlusion.data import Base, view
from sargan_core.models.occlusion.network import OcclusionNetwork
from sargan_core.outcome import Progress
from sargan_core.training.loop import Schedule, fit


@dataclass(frozen=True)
class Recipe:
    """Settings of one training.

    Attributes:
        views: number of training pictures; each is used several times, mirrored or not, in other light.
        steps: number of optimiser steps.
        batch: pictures per step.
        rate: peak learning rate.
        seed: of the pictures, the first weights and all random draws.
    """

    views: int = 10_000
    steps: int = 2400
    batch: int = 32
    rate: float = 4e-3
    seed: int = 0


def make_views(
    faces: Sequence[Base], count: int, seed: int, progress: Progress = lambda done, total: None
) -> tuple[Tensor, Tensor]:
    """Return training pictures (N, 3, S, S) and their masks of objects (N, 1, S, S), both uint8."""
    random = np.random.default_rng(seed)
    pictures, labels = [], []
    for number in range(count):
        picture, label = view(random, faces[int(random.integers(len(faces)))])
        pictures.append(torch.from_numpy(picture).permute(2, 0, 1))
        labels.append(torch.from_numpy(label)[None])
        progress(number + 1, count)
    return torch.stack(pictures), torch.stack(labels)


def train(
    pictures: Tensor,
    labels: Tensor,
    recipe: Recipe,
    progress: Progress = lambda done, total: None,
    start: OcclusionNetwork | None = None,
) -> OcclusionNetwork:
    """Return a network trained on views, from the beginning or on from ``start``, which is changed."""
    torch.manual_seed(recipe.seed)
    network = start or OcclusionNetwork()
    lay_out(network, "cpu")

    def loss_of_batch() -> Tensor:
        drawn = torch.randint(len(pictures), (recipe.batch,))
        seen, wanted = pictures[drawn].float() / 255, labels[drawn].float() / 255
        light = torch.exp(
            0.15 * torch.randn(recipe.batch, 1, 1, 1) + 0.05 * torch.randn(recipe.batch, 3, 1, 1)
        )
        seen = (seen * light).clamp(0, 1)
        half = recipe.batch // 2
        seen[:half], wanted[:half] = seen[:half].flip(3), wanted[:half].flip(3)
        return loss(network(seen.contiguous(memory_format=torch.channels_last)), wanted)

    schedule = Schedule(recipe.steps, recipe.rate, seed=recipe.seed)
    fit(network, loss_of_batch, schedule, lambda step, _: progress(step, recipe.steps))
    return network


def loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean cross-entropy of the pixels plus half the Dice loss of the masks."""
    pixels = functional.binary_cross_entropy_with_logits(logits, wanted)
    share = torch.sigmoid(logits)
    both, either = (share * wanted).sum((1, 2, 3)), (share + wanted).sum((1, 2, 3))
    overlap = 1 - (2 * both + 20) / (either + 20)
    return pixels + 0.5 * overlap.mean()


@dataclass(frozen=True)
class Figures:
    """Errors of a network on people it was not trained on.

    Attributes:
        covered: views with an object.
        overlap: of what is found with what is there, mean over them, 0..1.
        missed: part of them in which nothing is found.
        bare: views without one.
        alarms: part of them in which something is found.
    """

    covered: int
    overlap: float
    missed: float
    bare: int
    alarms: float


def measured(network: OcclusionNetwork, pictures: Tensor, labels: Tensor) -> Figures:
    """Return the errors of a network on pictures, with the limits of ``faces/cover.py``."""
    overlaps, alarms = [], []
    for picture, label in zip(pictures, labels, strict=True):
        with torch.inference_mode():
            share = torch.sigmoid(network(picture[None].float() / 255))[0, 0]
        found = objects_in((share * 255).round().to(torch.uint8).numpy())
        wanted = label[0].numpy() > 127
        if wanted.any():
            overlaps.append(float((found & wanted).sum() / (found | wanted).sum()))
        else:
            alarms.append(bool(found.any()))
    return Figures(
        covered=len(overlaps),
        overlap=float(np.mean(overlaps)),
        missed=float(np.mean([overlap == 0 for overlap in overlaps])),
        bare=len(alarms),
        alarms=float(np.mean(alarms)),
    )
