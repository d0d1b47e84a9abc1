"""Tensors of a network in a weights file: conversion to half precision, and checks before they are loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from sargan_core.errors import WeightsError
from sargan_core.photo.files import some_names

# Limits for one face: numbers in the output of a layer (128 MB; the published networks have 1 to 16 million), and
# parameters times pixels, which bounds the multiply-adds (a thousand times those of the shipped networks).
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


def check_fit(
    network: nn.Module, tensors: Mapping[str, Tensor], source: str, what: str, unstored: Sequence[str] = ()
) -> None:
    """Check that tensors are the state of a network, by name and shape.

    The network may lie on the device ``meta``: the settings in a file may ask for any size, while its tensors are no
    larger than the file, so they are best compared before memory is allocated.

    Args:
        network: what the tensors are for.
        tensors: by name.
        source: the file, for the message.
        what: the network, for the message.
        unstored: parts of names of tensors that the network has and no file holds.

    Raises:
        WeightsError: tensors are missing, unexpected or of another shape; the message names them.
    """
    own = without(network.state_dict(), unstored)
    reshaped = {name for name in own.keys() & tensors.keys() if own[name].shape != tensors[name].shape}
    found = {
        "missing": own.keys() - tensors.keys(),
        "unexpected": tensors.keys() - own.keys(),
        "of another shape": reshaped,
    }
    listed = [f"{kind}: {some_names(sorted(names))}" for kind, names in found.items() if names]
    if listed:
        raise WeightsError(f"{source}: the weights do not fit {what} ({'; '.join(listed)})")


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
