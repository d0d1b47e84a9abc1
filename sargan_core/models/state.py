"""A network's tensors on the way into a weights file and out of it: in half precision, and compared one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

# What a network may take for one face: numbers in the answer of a layer (128 MB; the published networks have 1 to
# 16 million), and parameters times pixels, which bounds its multiply-adds (a thousand times those of the shipped ones).
LARGEST_ANSWER = 2**25
MOST_WORK = 2**43


def halved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a state dict on the CPU, float16 where they are floating-point numbers."""
    return {
        name: value.detach().to("cpu", torch.float16 if value.is_floating_point() else value.dtype)
        for name, value in state.items()
    }


def without(state: Mapping[str, Tensor], parts: Sequence[str]) -> dict[str, Tensor]:
    """Return the tensors whose names hold none of ``parts``."""
    return {name: value for name, value in state.items() if not any(part in name for part in parts)}


def misfits(
    network: nn.Module, tensors: Mapping[str, Tensor], unstored: Sequence[str] = ()
) -> dict[str, list[str]]:
    """Return the names of tensors that keep ``tensors`` from being the state of ``network``.

    The network may lie on the device ``meta``: settings in a file may ask for any size, its tensors are no larger than
    the file, so they are best compared before any memory is asked for.

    Args:
        network: what the tensors are for.
        tensors: by name.
        unstored: parts of names of what the network has and no file holds.

    Returns:
        Sorted names under ``missing``, ``unexpected`` and ``of another shape``; all empty = they fit.
    """
    own = without(network.state_dict(), unstored)
    return {
        "missing": sorted(own.keys() - tensors.keys()),
        "unexpected": sorted(tensors.keys() - own.keys()),
        "of another shape": sorted(
            name for name in own.keys() & tensors.keys() if own[name].shape != tensors[name].shape
        ),
    }


def check_size(network: nn.Module, side: int, *, channels: int, halvings: int, least: int = 1) -> None:
    """Check that a network can work on crops of some size, in bounded memory and time.

    Args:
        network: on any device.
        side: of the crops, in pixels.
        channels: of its widest layer at full resolution.
        halvings: how often it halves the crops, and doubles them again.
        least: the smallest side that its innermost layers can work on.

    Raises:
        ValueError: the halvings do not divide the side or leave too little, or more than ``LARGEST_ANSWER`` or
            ``MOST_WORK``.
    """
    inner = side >> halvings
    if inner << halvings != side or inner < least:
        raise ValueError(f"crops of {side} px cannot be halved {halvings} times")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    if channels * side**2 > LARGEST_ANSWER or parameters * side**2 > MOST_WORK:
        raise ValueError(f"too large a network for crops of {side} px")
