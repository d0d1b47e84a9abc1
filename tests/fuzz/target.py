"""What a fuzz target is: good inputs, a way to change them, and a check of what is made of them.

A check passes when the input is accepted or refused with an error of this project, and neither hangs, nor writes to
the process's standard error, nor leaves anything behind. It raises whatever else happens.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mutation import mutated

Check = Callable[[bytes, Path], None]


@dataclass(frozen=True)
class Target:
    """One kind of input.

    Attributes:
        seeds: good inputs, made when asked for.
        check: reads an input; the path is a folder for files.
        change: makes an input from a seed.
    """

    seeds: Callable[[], list[bytes]]
    check: Check
    change: Callable[[bytes, random.Random], bytes] = field(default=mutated)


def inputs(target: Target, seed: int, runs: int) -> Iterator[bytes]:
    """``runs`` inputs of a target; the same for the same seed."""
    seeds = target.seeds()
    for number in range(runs):
        source = random.Random(seed * 1_000_003 + number)
        yield target.change(source.choice(seeds), source)
