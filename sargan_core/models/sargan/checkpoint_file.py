"""Files written by ``torch.save``: the tensors of a state dict; nothing is run, nothing built that was not checked.

Two layouts: an archive (PyTorch from 1.6) of ``…/data.pkl`` and a file of bytes a storage, or several pickles one after
the other with the storages behind them. What a tensor's description claims is compared with the bytes that are there
before any memory is asked for: each number of the file may belong to one tensor, so a file cannot grow.
"""

from __future__ import annotations

import math
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import torch
from torch import Tensor

from sargan_core.errors import WeightsError
from sargan_core.models.sargan.checkpoint_pickle import Call, Name, PickleError, Pickles, Stored
from sargan_core.photo.archive import DAMAGED, open_archive
from sargan_core.photo.content import open_file, reason_of
from sargan_core.photo.files import some_names

# A generator of this kind has 10 to 40 MB; a checkpoint may hold its discriminator and optimizers besides.
LARGEST_CHECKPOINT = 2**30
LARGEST_PICKLE = 2**22
# Bytes of the tensors that are wanted of it.
LARGEST_STATE = 2**28
CONTAINERS = ("generator", "G", "state_dict", "model")
LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
TYPES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
TENSOR = "torch._utils._rebuild_tensor_v2"
PARAMETER = "torch._utils._rebuild_parameter"
QUANTISED = "torch._utils._rebuild_qtensor"


class _Storages(Protocol):
    """Where the numbers of a file lie."""

    def size(self, key: str) -> int:
        """Return how many bytes a storage has; KeyError = it is not there."""
        ...

    def read(self, key: str) -> bytearray:
        """Return a storage's bytes."""
        ...


@dataclass(frozen=True)
class _Shape:
    """A tensor's description, checked against its storage.

    Attributes:
        key: the storage.
        dtype: type of its numbers.
        offset, size, stride: in numbers, as ``torch.as_strided`` takes them.
    """

    key: str
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return math.prod(self.size) * self.dtype.itemsize


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a state dict by name, in the order of the file, on the CPU.

    The state dict may lie in a dictionary under one of ``CONTAINERS``.

    Raises:
        WeightsError: no such file, nothing but plain tensors is expected, or more is claimed than the file holds.
    """
    try:
        with open_file(path) as stream:
            if (size := stream.seek(0, 2)) > LARGEST_CHECKPOINT:
                raise ValueError(f"it is larger than {LARGEST_CHECKPOINT:,} bytes")
            stream.seek(0)
            value, storages = _archive(stream, path) if _is_archive(stream) else _sequence(stream, size)
            return _tensors(_state(value, path), storages, path)
    except DAMAGED as error:
        raise WeightsError(
            f"{path}: a damaged archive ({str(error)[:80]}); give the generator's checkpoint"
        ) from error
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: there is no such file; check the name") from error
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{path}: not a plain PyTorch checkpoint ({reason_of(error)}); give the generator's checkpoint"
        ) from error


def _is_archive(stream: BinaryIO) -> bool:
    start = stream.read(4)
    stream.seek(0)
    return start == b"PK\x03\x04"


class _Archive:
    """The storages of an archive."""

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        self._archive = archive
        self._folder = folder

    def size(self, key: str) -> int:
        return self._archive.getinfo(f"{self._folder}data/{key}").file_size

    def read(self, key: str) -> bytearray:
        return bytearray(self._archive.read(f"{self._folder}data/{key}"))


def _archive(stream: BinaryIO, path: Path) -> tuple[Any, _Storages]:
    # A part counts as often as it is listed; stored as they are, all together are no larger than the file.
    archive = open_archive(stream, LARGEST_CHECKPOINT)
    parts = archive.infolist()
    if any(part.file_size > part.compress_size for part in parts):
        raise WeightsError(
            f"{path}: holds compressed parts, as no checkpoint does; give the generator's checkpoint"
        )
    pickles = [part for part in parts if part.filename.endswith("data.pkl")]
    if len(pickles) != 1 or pickles[0].file_size > LARGEST_PICKLE:
        raise PickleError("an archive, but none of a checkpoint")
    folder = pickles[0].filename.removesuffix("data.pkl")
    orders = [part for part in parts if part.filename == f"{folder}byteorder" and part.file_size < 16]
    if any(archive.read(part) != sys.byteorder.encode() for part in orders):
        raise PickleError("written on a machine with another order of bytes")
    return Pickles(archive.read(pickles[0])).next(), _Archive(archive, folder)


class _Sequence:
    """The storages behind the pickles of the older layout."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.places: dict[str, tuple[int, int]] = {}

    def size(self, key: str) -> int:
        return self.places[key][1]

    def read(self, key: str) -> bytearray:
        start, length = self.places[key]
        self._stream.seek(start)
        return bytearray(self._stream.read(length))


def _sequence(stream: BinaryIO, size: int) -> tuple[Any, _Storages]:
    head = stream.read(LARGEST_PICKLE)
    if not head.startswith(LEGACY):
        raise PickleError("neither an archive nor pickles of PyTorch")
    pickles = Pickles(head)
    _magic, _protocol, system, value, keys = (pickles.next() for _ in range(5))
    if not isinstance(system, dict) or not isinstance(keys, list):
        raise PickleError("damaged: no list of storages")
    if system.get("little_endian", True) != (sys.byteorder == "little"):
        raise PickleError("written on a machine with another order of bytes")
    # The length before each storage counts numbers; how large one is, only what refers to it says.
    types = dict(_referred(value))
    storages = _Sequence(stream)
    at = pickles.position
    for key in keys:
        if not isinstance(key, str) or key not in types or at + 8 > size:
            raise PickleError("damaged: a storage that nothing refers to")
        stream.seek(at)
        length = int.from_bytes(stream.read(8), "little") * types[key].itemsize
        storages.places[key] = at + 8, length
        at += 8 + length
        if at > size:
            raise PickleError("damaged: cut short")
    return value, storages


def _referred(value: Any) -> list[tuple[str, torch.dtype]]:
    """Return the storages that a value refers to, each part of it looked at once."""
    found, left, seen = [], [value], set()
    while left:
        item = left.pop()
        if isinstance(item, Stored):
            found.append(_storage(item))
        elif isinstance(item, dict | list | tuple | Call) and id(item) not in seen:
            seen.add(id(item))
            left += (
                item.values()
                if isinstance(item, dict)
                else item
                if not isinstance(item, Call)
                else item.arguments
            )
    return found


def _storage(value: Any) -> tuple[str, torch.dtype]:
    """Return key and type of a storage."""
    reference = value.reference if isinstance(value, Stored) else ()
    if not isinstance(reference, tuple) or len(reference) < 5 or reference[0] != "storage":
        raise PickleError("a tensor without stored numbers")
    kind, key = reference[1:3]
    if not isinstance(kind, Name) or kind.name not in TYPES or not isinstance(key, str):
        raise PickleError("numbers of an unknown type")
    if len(reference) > 5 and reference[5] is not None:
        raise PickleError("a storage that is part of another one")
    return key, TYPES[kind.name]


def _state(value: Any, path: Path) -> Mapping[str, Any]:
    if isinstance(value, dict):
        value = next((value[key] for key in CONTAINERS if isinstance(value.get(key), dict)), value)
    if not isinstance(value, dict) or not value:
        raise WeightsError(f"{path}: holds no state dict; give the generator's checkpoint")
    others = [str(key) for key, item in value.items() if not isinstance(item, Call)]
    if others:
        raise WeightsError(f"{path}: not a state dict, these are no tensors: {some_names(others)}")
    return {str(key): item for key, item in value.items()}


def _tensors(state: Mapping[str, Any], storages: _Storages, path: Path) -> dict[str, Tensor]:
    shapes = {name: _shape(call, storages) for name, call in state.items()}
    total = sum(shape.bytes for shape in shapes.values())
    held = sum(storages.size(key) for key in {shape.key for shape in shapes.values()})
    if total > held:
        raise PickleError("its tensors are larger than what it holds")
    if total > LARGEST_STATE:
        raise PickleError(f"tensors of more than {LARGEST_STATE:,} bytes")
    # Each storage is read once, however many tensors lie in it.
    users: dict[str, list[str]] = {}
    for name, shape in shapes.items():
        users.setdefault(shape.key, []).append(name)
    tensors: dict[str, Tensor] = {}
    for key, names in users.items():
        data = storages.read(key)
        if len(data) < storages.size(key):
            raise PickleError("damaged: cut short")
        tensors |= {name: _tensor(shapes[name], data) for name in names}
    return {name: tensors[name] for name in shapes}


def _shape(call: Call, storages: _Storages) -> _Shape:
    """Return the description of a tensor that a pickle would build, or of the parameter around one."""
    if call.name == PARAMETER and call.arguments and isinstance(call.arguments[0], Call):
        call = call.arguments[0]
    if call.name == QUANTISED:
        raise PickleError("quantised tensors; give the checkpoint from before quantising")
    if call.name != TENSOR or len(call.arguments) < 4:
        raise PickleError(f"'{call.name[:80]}', which no plain checkpoint needs")
    stored, offset, size, stride = call.arguments[:4]
    key, dtype = _storage(stored)
    if (
        not _are_sizes((offset,))
        or not _are_sizes(size)
        or not _are_sizes(stride)
        or len(size) != len(stride)
    ):
        raise PickleError("a tensor whose shape means nothing")
    try:
        held = storages.size(key) // dtype.itemsize
    except KeyError as error:
        raise PickleError("a tensor whose numbers are not in the file") from error
    # The last number's place; and no number is used twice, as strides of 0 would.
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if math.prod(size) > held or (math.prod(size) and last >= held):
        raise PickleError("a tensor larger than its numbers")
    return _Shape(key, dtype, offset, size, stride)


def _are_sizes(values: Any) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) <= 8
        and all(isinstance(value, int) and 0 <= value < LARGEST_CHECKPOINT for value in values)
    )


def _tensor(shape: _Shape, data: bytearray) -> Tensor:
    if not math.prod(shape.size):
        return torch.empty(shape.size, dtype=shape.dtype)
    numbers = torch.frombuffer(data, dtype=shape.dtype, count=len(data) // shape.dtype.itemsize)
    return numbers.as_strided(shape.size, shape.stride, shape.offset).clone(
        memory_format=torch.contiguous_format
    )
