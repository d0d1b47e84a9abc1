"""Packed training data: named tensors with what describes them, in one safetensors file."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sargan_core.photo.content import open_file
from sargan_core.photo.files import replacing

# Bytes of the header, which names the person of every crop: a million crops have half of it.
LARGEST_HEADER = 2**25

# What reading a file raises, and building something of its content, where it is no such file.
UNREADABLE = (OSError, KeyError, TypeError, ValueError, IndexError, RecursionError, SafetensorError)


def write_pack(
    path: Path, tensors: Mapping[str, Tensor], described: Mapping[str, Any], *, overwrite: bool = True
) -> None:
    """Write tensors, and plain values that describe them, as one file that appears whole or not at all.

    Raises:
        OutputExistsError: the file exists and ``overwrite`` is false.
        PhotoError: it cannot be written.
    """
    # Copies, because tensors that share memory are refused.
    copies = {name: value.clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}
    with replacing(path, overwrite=overwrite) as temporary:
        try:
            save_file(copies, temporary, {name: json.dumps(value) for name, value in described.items()})
        except SafetensorError as error:
            # The number of the system's error is the last thing it says.
            number = re.search(r"os error (\d+)", str(error))
            raise OSError(int(number[1]) if number else errno.EIO, str(error)) from error


def read_pack(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the values of a file that ``write_pack`` wrote; raises one of ``UNREADABLE``."""
    # Looked at first: safetensors would wait for a pipe. A pack may be larger than weights, so it is not read whole.
    with open_file(path) as file:
        if int.from_bytes(file.read(8), "little") > LARGEST_HEADER:
            raise ValueError(f"a header of more than {LARGEST_HEADER:,} bytes")
    with safe_open(path, framework="pt") as stream:
        described = {name: json.loads(value) for name, value in (stream.metadata() or {}).items()}
        return {name: stream.get_tensor(name) for name in stream.keys()}, described  # noqa: SIM118
