"""The device that models run on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sargan_core.errors import UsageError

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")


def choose_device(name: str) -> str:
    """Return the torch device for a name; ``auto`` takes cuda, then mps, then cpu.

    Raises:
        UsageError: an unknown device, or one that this machine does not have.
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


def choose_precision(name: str, device: str) -> str:
    """Return ``fp32`` or ``bf16``, the number format of the generator.

    ``auto`` is bf16 on NVIDIA GPUs with hardware for it (emulation would be slower than fp32), and fp32 everywhere
    else: on every CPU too, so that the result does not depend on the CPU.

    Args:
        name: ``auto``, ``fp32`` or ``bf16``.
        device: as ``choose_device`` returns it.

    Raises:
        UsageError: unknown.
    """
    if name not in PRECISIONS:
        raise UsageError(f"unknown precision '{name}'; known: {', '.join(PRECISIONS)}")
    if name != "auto":
        return name
    native = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if native else "fp32"


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread inside the block.

    The last bits of a network's sums depend on the number of threads. With one thread a photo gets the same bytes on
    any number of cores, alone or in a batch.
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
