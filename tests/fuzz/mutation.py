"""Mutations of bytes and of JSON, from seeds of a random generator, so that every run can be repeated."""

from __future__ import annotations

import json
import random
import struct
import zlib
from copy import deepcopy
from typing import Any

NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 7, 63, 64, 4096, 10**6, 2**31, 2**63, -(10**30), 0.5, -0.0, 1e308, float("nan"),
    float("inf"), "", "x", "pixel", "../../etc/passwd", "/etc/passwd", "a\0b", "\ud800", "\x1b[31m", "x" * 5000, [], {},
    [1, 2], [[0.5, 0.5]] * 68, [None], {"a": {"b": []}}, [[[[[[]]]]]], "happy", "done", "<script>alert(1)</script>",
)  # fmt: skip


def mutated(data: bytes, random: random.Random, most: int = 6) -> bytes:
    """Bytes with up to ``most`` places changed, cut, doubled or overwritten."""
    out = bytearray(data)
    for _ in range(random.randint(1, most)):
        if not out:
            break
        at = random.randrange(len(out))
        match random.randrange(7):
            case 0:
                out[at] ^= 1 << random.randrange(8)
            case 1:
                out[at] = random.randrange(256)
            case 2:
                size = random.choice((1, 2, 4))
                number = random.choice(NUMBERS) & (256**size - 1)
                out[at : at + size] = number.to_bytes(size, random.choice(("little", "big")))
            case 3:
                del out[at : at + random.choice((1, 2, 4, 16, 200))]
            case 4:
                out[at:at] = out[at : at + random.choice((1, 4, 16, 200))]
            case 5:
                del out[random.randrange(len(out)) :]
            case _:
                other = random.randrange(len(out))
                length = random.choice((1, 4, 16, 64))
                out[at : at + length] = out[other : other + length]
    return bytes(out)


def with_checksums(data: bytes) -> bytes:
    """A PNG with the checksums of its chunks made right, so that what lies behind them is reached."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return data
    out, at = bytearray(data), 8
    while at + 12 <= len(out):
        length = int.from_bytes(out[at : at + 4], "big")
        if at + 12 + length > len(out):
            break
        checksum = zlib.crc32(out[at + 4 : at + 8 + length])
        out[at + 8 + length : at + 12 + length] = struct.pack(">I", checksum)
        at += 12 + length
    return bytes(out)


def mutated_json(value: Any, random: random.Random, most: int = 3) -> Any:
    """A JSON value with up to ``most`` members replaced, taken out or added."""
    value = json.loads(json.dumps(value))
    for _ in range(random.randint(1, most)):
        parents: list[Any] = []
        _containers(value, parents)
        if not parents:
            return deepcopy(random.choice(VALUES))
        parent = random.choice(parents)
        keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
        match random.randrange(6):
            case 0 if keys:
                del parent[random.choice(keys)]
            case 1 if isinstance(parent, dict):
                parent[random.choice(("extra", "size", "", "name", "__class__"))] = deepcopy(
                    random.choice(VALUES)
                )
            case 2 if isinstance(parent, list):
                parent.extend([deepcopy(random.choice(VALUES))] * random.choice((1, 70)))
            case _ if keys:
                parent[random.choice(keys)] = deepcopy(random.choice(VALUES))
    return value


def changed_json(data: bytes, random: random.Random) -> bytes:
    """JSON with its bytes or its members changed, seldom a nesting without end."""
    if random.random() < 0.2:
        return mutated(data, random)
    if random.random() < 0.03:
        return b"[" * 200_000
    return json.dumps(mutated_json(json.loads(data), random)).encode()


def _containers(value: Any, found: list[Any]) -> None:
    if isinstance(value, dict | list):
        found.append(value)
        for item in value.values() if isinstance(value, dict) else value:
            _containers(item, found)
