"""Records made of plain values that a file brought along, every member of the type that its record declares."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar

Record = TypeVar("Record")


# No figure, time or size of this project comes near it, and sums of numbers below it are finite.
LARGEST = 1e15


def record_of(kind: type[Record], values: Any) -> Record:
    """Return a record of a dataclass from what ``asdict`` and JSON made of one.

    Members may be texts, whole numbers, numbers, records, dictionaries by text, tuples, and ``None`` where it is
    declared. For a number that was not finite, which JSON cannot say, ``None`` is read as NaN.

    Raises:
        ValueError: a member is missing, unknown, or of another type; the message says which.
    """
    made: Record = _value(kind, values, kind.__name__)
    return made


def _value(kind: Any, value: Any, name: str) -> Any:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _value(inner[0], value, name)
    if is_dataclass(kind):
        return _record(kind, value, name)
    if origin is dict and isinstance(value, dict):
        return {key: _value(inner[1], item, f"{name}, {key!r:.40}") for key, item in value.items()}
    if origin is tuple and isinstance(value, list):
        kinds = [inner[0]] * len(value) if inner[-1] is ... else inner
        if len(kinds) == len(value):
            return tuple(_value(each, item, name) for each, item in zip(kinds, value, strict=True))
    if kind is float and (value is None or _is_number(value, int | float)):
        return math.nan if value is None else float(value)
    if (kind is int and _is_number(value, int)) or (kind is str and isinstance(value, str)):
        return value
    raise ValueError(f"{name} is {value!r:.40}")


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and abs(value) <= LARGEST


def _record(kind: Any, value: Any, name: str) -> Any:
    known = _members(kind)
    if not isinstance(value, Mapping) or value.keys() != known.keys():
        odd = sorted(value.keys() ^ known.keys()) if isinstance(value, Mapping) else ["all"]
        raise ValueError(f"{name} has members missing or unknown: {', '.join(odd[:4])[:80]}")
    return kind(**{member: _value(known[member], value[member], member) for member in known})


@cache
def _members(kind: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}
