"""The device that models run on."""

from __future__ import annotations

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
