"""The training loop of every network."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from sargan_core.errors import PhotoError, TrainingError, UsageError
from sargan_core.training.checks import check_counts
from sargan_core.training.run_folder import CHECKPOINT, WEIGHTS, RunFolder, damaged

# Decay of the running average of the weights in ``fit``.
MEMORY = 0.998


class TrainingTask(Protocol):
    """What the loop trains: networks, their optimisers, and how one step is made; subclasses name their ``parts``."""

    def parts(self) -> Mapping[str, Any]:
        """Return everything that changes (networks, averages, optimisers) by its name in the checkpoint."""

    def step(self, step: int) -> dict[str, Tensor]:
        """Make step number ``step`` (from 1) and return its losses, detached scalars.

        All randomness must come from ``step_random(seed, step, rank)``, so that a run resumes exactly.
        """

    def state(self) -> dict[str, Any]:
        """Return the state of all parts."""
        return {name: part.state_dict() for name, part in self.parts().items()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` returned."""
        for name, part in self.parts().items():
            part.load_state_dict(state[name])

    def sheet(self) -> Tensor:
        """Return a sample sheet, (3, H, W) uint8 on the CPU."""

    def export(self, path: Path) -> None:
        """Write the weights that are meant to be used."""


@dataclass(frozen=True)
class LoopSettings:
    """Settings of the loop.

    Attributes:
        steps: number of the last step.
        log_every: steps between two lines of metrics (each the mean since the last).
        sheet_every: steps between two sample sheets.
        checkpoint_every: steps between two checkpoints.
        resume: continue from the run folder's checkpoint.
    """

    steps: int = 10_000
    log_every: int = 25
    sheet_every: int = 250
    checkpoint_every: int = 100
    resume: bool = False

    def __post_init__(self) -> None:
        check_counts(
            {
                "--steps": self.steps,
                "log_every": self.log_every,
                "--sheet-every": self.sheet_every,
                "--checkpoint-every": self.checkpoint_every,
            }
        )


def step_random(seed: int, step: int, rank: int = 0) -> torch.Generator:
    """Return the CPU generator of one step of one process.

    Seeding every step anew needs no generator state in the checkpoint and stays exact when a run is resumed
    on another number of processes.
    """
    return torch.Generator().manual_seed((seed * 1_000_003 + step) * 1_009 + rank)


@contextmanager
def deterministic_kernels() -> Iterator[None]:
    """Restrict oneDNN to kernels whose sums do not depend on the timing of threads, inside the block.

    Only then does a repeated or resumed run on a CPU give the same numbers.
    """
    mkldnn: Any = torch.backends.mkldnn
    before = mkldnn.deterministic
    mkldnn.deterministic = True
    try:
        yield
    finally:
        mkldnn.deterministic = before


def train(
    task: TrainingTask,
    settings: LoopSettings,
    folder: RunFolder,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
    weights: str = WEIGHTS,
) -> int:
    """Run the steps up to ``settings.steps``.

    Args:
        task: what is trained.
        settings: number of steps, and how often what is written.
        folder: the run folder.
        on_step: called after every step with its number and losses.
        weights: file name for the task's weights in the folder.

    Returns:
        The number of the last step made.

    Raises:
        TrainingError: a loss is not finite or a file cannot be written (the last checkpoint stays), or there is
            nothing to resume.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the checkpoint of the finished step is written before.
    """
    step = _resume(task, folder) if settings.resume else 0
    collected: dict[str, list[float]] = {}
    with _stop_requests() as stop, deterministic_kernels():
        while step < settings.steps and not stop.is_set():
            step += 1
            losses = {name: float(value) for name, value in task.step(step).items()}
            for name, value in losses.items():
                if not math.isfinite(value):
                    raise TrainingError(f"step {step}: {name} is {value}; start again with a lower --rate")
                collected.setdefault(name, []).append(value)
            if on_step is not None:
                on_step(step, losses)
            last = step == settings.steps or stop.is_set()
            with _written(step, folder):
                if step % settings.log_every == 0 or last:
                    folder.write_metrics(step, {name: sum(v) / len(v) for name, v in collected.items()})
                    collected.clear()
                if step % settings.sheet_every == 0 or last:
                    folder.write_sheet(step, task.sheet())
                if step % settings.checkpoint_every == 0 or last:
                    state = {"step": step, "task": task.state(), "random": torch.get_rng_state()}
                    folder.write_checkpoint(state)
                    task.export(folder.path / weights)
    folder.close()
    if stop.is_set():
        raise KeyboardInterrupt
    return step


@dataclass(frozen=True)
class Schedule:
    """Length and learning rate of ``fit``.

    Attributes:
        steps: number of the last step.
        rate: peak learning rate; it rises over the first twentieth of the run and falls to 0 as a cosine.
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


def fit(
    network: nn.Module,
    loss_of_batch: Callable[[], Tensor],
    schedule: Schedule,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> int:
    """Train a small network without checkpoints; return the number of steps made.

    AdamW with one cycle of the rate, clipped gradients and a running average of the weights.

    Args:
        network: on its device; it ends in evaluation mode with the averaged weights.
        loss_of_batch: draws a batch with torch's own generators and returns its loss.
        schedule: length and rate.
        progress: called every 100 steps with step and mean loss since the last call.
    """
    torch.manual_seed(schedule.seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=schedule.rate, weight_decay=schedule.weight_decay)
    mean = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    began, step, share, losses = time.monotonic(), 0, 0.0, []
    with deterministic_kernels():
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
            update_average(mean, network, step, MEMORY)
            losses.append(loss.detach())
            if len(losses) == 100 or share >= 1:
                progress(step, float(torch.stack(losses).mean()))
                losses.clear()
    network.load_state_dict(mean)
    network.eval()
    return step


def measure(task: TrainingTask, last: int, most: float = 5.0) -> float:
    """Return the mean time of the five steps up to step ``last`` in seconds, after one step to warm up.

    The last steps are measured because losses that start late make them slower; five because a recipe may do more
    in every fifth. No step begins after ``most`` seconds. The task cannot be trained on afterwards.
    """
    first = max(1, last - 4)
    began = time.perf_counter()
    task.step(first)
    start = time.perf_counter()
    made = 0
    while made < 5 and time.perf_counter() - began < most:
        task.step(first + made)
        made += 1
    return (time.perf_counter() - start) / made if made else start - began


def _resume(task: TrainingTask, folder: RunFolder) -> int:
    state = folder.read_checkpoint()
    try:
        task.load_state(state["task"])
        torch.set_rng_state(state["random"])
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        raise damaged(folder.path / CHECKPOINT, error) from error
    folder.cut_metrics(int(state["step"]))
    return int(state["step"])


@contextmanager
def _written(step: int, folder: RunFolder) -> Iterator[None]:
    """Add the step, and that the run can be resumed, to the error for a file that cannot be written."""
    try:
        yield
    except PhotoError as error:
        later = "; --resume goes on from the last checkpoint" if (folder.path / CHECKPOINT).is_file() else ""
        raise TrainingError(f"step {step}: {error}{later}") from error


@contextmanager
def _stop_requests() -> Iterator[threading.Event]:
    """Turn Ctrl-C and SIGTERM into a flag, so that the current step is finished first."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, lambda *_: stop.set()) for kind in kinds]
    try:
        yield stop
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


def descend(fabric: Fabric, optimiser: Any, loss: Tensor) -> None:
    """Make one step of an optimiser down the gradient of ``loss``."""
    optimiser.zero_grad(set_to_none=True)
    fabric.backward(loss)
    optimiser.step()


@torch.no_grad()
def update_average(average: Mapping[str, Tensor], network: nn.Module, step: int, decay: float) -> None:
    """Move a running average of a network's weights and buffers by ``1 - decay`` towards them.

    Args:
        average: as of ``state_dict``; changed in place.
        network: after step number ``step``.
        step: in the first steps the decay is smaller, so that the untrained weights are soon forgotten.
        decay: of the later steps.
    """
    decay = min(decay, (1 + step) / (10 + step))
    for kept, value in zip(average.values(), network.state_dict().values(), strict=True):
        if value.is_floating_point():
            kept.lerp_(value, 1 - decay)


def to_picture(made: Tensor) -> Tensor:
    """Return pictures of the networks' range [-1, 1] as uint8 on the CPU."""
    return ((made + 1) * 127.5).round().clamp(0, 255).byte().cpu()


Precision = Literal["32-true", "bf16-mixed"]


def make_fabric(device: str, precision: str) -> Fabric:
    """Return the Fabric of this process; under ``torchrun`` one of many.

    Raises:
        UsageError: the device is not on this machine.
    """
    kinds: dict[str, Precision] = {"fp32": "32-true", "bf16": "bf16-mixed"}
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    try:
        fabric = Fabric(
            accelerator=device,
            strategy="ddp" if world > 1 else "auto",
            devices=local,
            num_nodes=max(1, world // local),
            precision=kinds[precision],
        )
        fabric.launch()
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"--device {device}: cannot be used ({error})") from error
    return fabric
