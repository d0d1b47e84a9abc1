"""Training of small networks in one go, for a number of steps or for a time, on any device."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Schedule:
    """How long, and how fast is learned.

    Attributes:
        steps: number of the last step.
        rate: the highest of the cycle: it rises over the first twentieth and falls to nothing as a cosine.
        weight_decay: of AdamW.
        minutes: stop after this time, with a rate that falls accordingly; None = steps alone count, and a run can
            be repeated number by number.
        seed: of draws and dropout.
    """

    steps: int
    rate: float
    weight_decay: float = 1e-4
    minutes: float | None = None
    seed: int = 0


def fit_timed(
    network: nn.Module,
    loss_of_batch: Callable[[], Tensor],
    schedule: Schedule,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> int:
    """Fit a network with AdamW, one cycle of the rate and a running mean of the weights; return the steps made.

    Args:
        network: on its device; left in evaluation mode with the mean of its weights.
        loss_of_batch: draws a batch with torch's own generators and returns its loss.
        schedule: how long.
        progress: called now and then with step and mean loss since the last call.
    """
    torch.manual_seed(schedule.seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=schedule.rate, weight_decay=schedule.weight_decay)
    mean = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    began, step, share, losses = time.monotonic(), 0, 0.0, []
    while share < 1:
        step += 1
        share = step / schedule.steps
        if schedule.minutes is not None:
            share = max(share, (time.monotonic() - began) / (60 * schedule.minutes))
        for group in optimiser.param_groups:
            group["lr"] = (
                schedule.rate * min(1.0, share * 20) * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
            )
        loss = loss_of_batch()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        update_mean(mean, network, step)
        losses.append(loss.detach())
        if len(losses) == 100 or share >= 1:
            progress(step, float(torch.stack(losses).mean()))
            losses.clear()
    network.load_state_dict(mean)
    network.eval()
    return step


@torch.no_grad()
def update_mean(mean: Mapping[str, Tensor], network: nn.Module, step: int, longest: float = 0.998) -> None:
    """Move a running mean of a network's weights, and of what it measured, towards it.

    Args:
        mean: by name, as ``state_dict`` returned them once.
        network: after step number ``step``.
        step: the mean's memory is short at first, so that it does not carry the untrained weights along.
        longest: share of itself that the mean keeps in the end.
    """
    decay = min(longest, (1 + step) / (10 + step))
    pairs = [
        (kept, value)
        for kept, value in zip(mean.values(), network.state_dict().values(), strict=True)
        if value.is_floating_point()
    ]
    torch._foreach_lerp_([kept for kept, _ in pairs], [value for _, value in pairs], 1 - decay)
