"""The content of a safetensors file: read once, so that what was checked is what is used.

A process that has a file mapped into its memory is ended by the system when somebody cuts that file; bytes that were
read stay what they are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from sargan_core.files import shown

if TYPE_CHECKING:
    from torch import Tensor

# No network of this project comes near it; a larger file is not read.
LARGEST_FILE = 2**30


def read_content(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        ValueError: larger than ``LARGEST_FILE``.
        OSError: not readable.
    """
    with path.open("rb") as stream:
        data = stream.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise ValueError(f"larger than {LARGEST_FILE} bytes")
    return data


def tensors_in(data: bytes) -> dict[str, Tensor]:
    """Return the tensors by name, in the order of the names, on the CPU, in the precision of the file.

    Raises:
        ValueError: not safetensors, or numbers that are not finite.
    """
    import safetensors.torch

    try:
        tensors = safetensors.torch.load(data)
        endless = [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]
    except (
        safetensors.SafetensorError,
        RuntimeError,
        KeyError,
    ) as error:  # also types of number without arithmetic
        raise ValueError(str(error)) from error
    if endless:
        raise ValueError(f"'{shown(endless[0])}' holds numbers that are not finite")
    return {name: tensors[name] for name in sorted(tensors)}


def text_in(data: bytes, key: str) -> str | None:
    """Return a text of the header of content that ``tensors_in`` could read."""
    length = int.from_bytes(data[:8], "little")
    found = (json.loads(data[8 : 8 + length]).get("__metadata__") or {}).get(key)
    return found if isinstance(found, str) else None
