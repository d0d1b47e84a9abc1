"""What a step of either generator's training is made of, beside its losses."""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn


def descend(fabric: Fabric, optimiser: Any, loss: Tensor) -> None:
    """Make one step of an optimiser down the gradient of ``loss``."""
    optimiser.zero_grad(set_to_none=True)
    fabric.backward(loss)
    optimiser.step()


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Move the running average of a network's weights towards them, by ``1 - decay`` of the way.

    Its memory is short at first, so that it does not carry the untrained weights along.
    """
    decay = min(decay, (1 + step) / (10 + step))
    for mean, value in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(value, 1 - decay)


def to_picture(made: Tensor) -> Tensor:
    """Return pictures of the networks' range [-1, 1] as uint8 on the CPU."""
    return ((made + 1) * 127.5).round().clamp(0, 255).byte().cpu()
