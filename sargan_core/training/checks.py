"""Checks of training settings, made before any photo is read."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from sargan_core.errors import UsageError
from sargan_core.weights import LARGEST_SETTING

# Limits with which the seed of a step, see ``step_random``, fits into 64 bits.
LARGEST_SEED = 2**32 - 1
LARGEST_COUNT = 10**9
# Smallest side that the published discriminator takes, which halves it six times.
LEAST_SIZE = 64

Settings = TypeVar("Settings")


def check_rate(rate: float) -> None:
    """Raise UsageError for a learning rate that moves no weight, or that is not finite."""
    if not math.isfinite(rate) or rate <= 0:
        raise UsageError(
            f"--rate {rate:g}: must be a number above 0; the recipes' own lie from 0.0001 to 0.003"
        )


def check_test_fraction(fraction: float) -> None:
    """Raise UsageError for a part of the people that cannot be held out."""
    if not 0 <= fraction <= 0.9:
        raise UsageError(f"--test {fraction:g}: must be from 0 to 0.9")


def check_counts(counts: Mapping[str, int]) -> None:
    """Raise UsageError for a count, by the name of its option, that is below 1 or above LARGEST_COUNT."""
    for name, count in counts.items():
        if not 1 <= count <= LARGEST_COUNT:
            raise UsageError(f"{name} {count}: must be from 1 to {LARGEST_COUNT}")


def check_seed(seed: int) -> None:
    """Raise UsageError for a seed that the generators of random numbers do not take."""
    if not 0 <= seed <= LARGEST_SEED:
        raise UsageError(f"--seed {seed}: must be from 0 to {LARGEST_SEED}")


def settings_from_json(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Build a settings dataclass, and those inside it, from ``dataclasses.asdict`` of one.

    Raises:
        TypeError, AttributeError: the values are not those of such settings.
    """
    hints = get_type_hints(kind)
    return kind(**{name: _built(hints.get(name), value) for name, value in values.items()})


def _built(hint: Any, value: Any) -> Any:
    for kind in get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,):
        if isinstance(value, dict) and is_dataclass(kind):
            return settings_from_json(cast(Any, kind), value)
    return tuple(value) if isinstance(value, list) and get_origin(hint) is tuple else value


def check_types(settings: Any) -> None:
    """Compare the values in a settings dataclass, and in those inside it, with their annotations.

    Raises:
        TypeError: a value is of another type, as in a file that was edited by hand.
    """
    hints = get_type_hints(type(settings))
    for member in fields(settings):
        value = getattr(settings, member.name)
        if not _fits(value, hints[member.name]):
            raise TypeError(f"{member.name} is {value!r}")
        if is_dataclass(value):
            check_types(value)


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) in (Union, types.UnionType):
        return any(_fits(value, kind) for kind in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(isinstance(item, get_args(hint)[0]) for item in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def check_size(size: int, step: int, least: int, name: str) -> None:
    """Raise UsageError if ``size`` is no multiple of ``step`` from ``least`` up to what weights files may hold."""
    first, last = -(-least // step) * step, LARGEST_SETTING // step * step
    if size % step == 0 and first <= size <= last:
        return
    below = min(max(size // step * step, first), last)
    near = sorted({below, min(below + step, last)} if size > first else {first})
    listed = " or ".join(str(number) for number in near)
    multiple = f"a multiple of {step} " if step > 1 else ""
    raise UsageError(
        f"--size {size}: {name} takes {multiple}from {first} to {last}; the nearest that works is {listed}"
    )


def check_width(width: int) -> None:
    """Raise UsageError for a width that is too small or that weights files may not hold."""
    if not 4 <= width <= LARGEST_SETTING:
        raise UsageError(f"--width {width}: must be from 4 to {LARGEST_SETTING}")
