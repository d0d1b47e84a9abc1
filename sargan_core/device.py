"""The device that models run on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sargan_core.errors import UsageError

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(name: str) -> str:
    """Return the torch device for ``auto`` (cuda, then mps, then cpu) or for a device that is asked for.

    Raises:
        UsageError: unknown, or not on this machine.
    """
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if there[device])
    if name not in there:
        raise UsageError(f"unknown device '{name}'; known: {', '.join(DEVICES)}")
    if not there[name]:
        listed = ", ".join(device for device in there if there[device])
        raise UsageError(f"device {name} is not available here; this machine has: {listed}")
    return name


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread inside the block.

    A network's sums depend in their last bits on the number of threads that share them, and so would the edited photo.
    With one thread a photo gets the same bytes on any number of cores, alone or among others.
    """
    count = torch.get_num_threads()
    if count == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)
