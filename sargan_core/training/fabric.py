"""Where a training runs: device, number format, and this process among several."""

from __future__ import annotations

import os
from typing import Literal

from lightning_fabric import Fabric

from sargan_core.errors import UsageError

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
