"""Packed training data: named tensors with what describes them, in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

# What reading a file raises, and building something of its content, where it is no such file.
UNREADABLE = (OSError, KeyError, TypeError, ValueError, IndexError, RecursionError, SafetensorError)


def write_pack(path: Path, tensors: Mapping[str, Tensor], described: Mapping[str, Any]) -> None:
    """Write tensors, and plain values that describe them, as one file."""
    # Copies, because tensors that share memory are refused.
    copies = {name: value.clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}
    save_file(copies, path, {name: json.dumps(value) for name, value in described.items()})


def read_pack(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the values of a file that ``write_pack`` wrote; raises one of ``UNREADABLE``."""
    with safe_open(path, framework="pt") as stream:
        described = {name: json.loads(value) for name, value in (stream.metadata() or {}).items()}
        return {name: stream.get_tensor(name) for name in stream.keys()}, described  # noqa: SIM118
