"""What ``sargan batch`` is asked for: texts of the command line become expressions, strengths, lists, an engine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sargan_cli import options
from sargan_cli.files import batch_like
from sargan_core.errors import UsageError
from sargan_core.expressions import ExpressionMix, Like, parse_mix, parse_strength
from sargan_core.photo.content import read_file, read_stream, reason_of
from sargan_core.photo.files import shown
from sargan_core.units import UnitMix, parse_units

if TYPE_CHECKING:
    from sargan_core.batch.run import Engine

ALL = "all"


def complete_expression(incomplete: str) -> list[str]:
    """Return the mixes that a half-typed ``--expr`` may become, or all of them."""
    mixes = options.complete_mix(incomplete)
    return [*mixes, ALL] if ALL.startswith(incomplete) else mixes


def names_in(listed: str | None, inputs: Sequence[str] | None, *, null: bool) -> list[str] | None:
    """Return the names in the list after ``--from``, None if there is none.

    Raises:
        UsageError: it cannot be read, or there are no inputs at all.
    """
    from sargan_core.batch.inputs import LARGEST_LIST, read_list

    if listed is None:
        if not inputs:
            raise UsageError("name a folder or photos, or a list of photos with --from")
        if null:
            raise UsageError("--null is about the list after --from; give one")
        return None
    if listed != "-":
        try:
            return read_list(read_file(Path(listed), LARGEST_LIST, pipes=True), null=null)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"--from {shown(listed)}: cannot be read ({reason_of(error)}); give a list of names"
            ) from error
    if sys.stdin.isatty():
        raise UsageError("--from - reads names from stdin, but stdin is a terminal; pipe a list in")
    try:
        return read_list(read_stream(sys.stdin.buffer, LARGEST_LIST), null=null)
    except (OSError, ValueError) as error:
        raise UsageError(f"--from -: cannot be read ({reason_of(error)}); pipe a list of names in") from error


def wanted_format(name: str | None) -> str | None:
    """Return the format that ``--format`` names.

    Raises:
        UsageError: there is no such format.
    """
    from sargan_core.photo.kinds import LISTED, kind_of_path

    if name is None:
        return None
    kind = kind_of_path(Path(f"photo.{name.lstrip('.')}"))
    if kind is None:
        raise UsageError(f"--format {name}: is no known format; use one of {LISTED}")
    return kind


def wanted_mixes(
    expr: list[str] | None, like: Like | None, max_pixels: int | None, units: list[str] | None = None
) -> list[ExpressionMix | UnitMix | Like]:
    """Return the expressions, mixes, face units or the reference that were asked for.

    Raises:
        UsageError: none, an unknown expression or unit, or a reference that cannot be read.
    """
    if like is not None:
        return [batch_like(like, max_pixels)]
    if units:
        if expr and (len(expr) > 1 or expr[0] == ALL):
            raise UsageError("--units goes on top of one --expr at most; run the others one after the other")
        return [parse_units(text, parse_mix(expr[0]) if expr else None) for text in units]
    if not expr:
        known = ", ".join(options.EXPRESSIONS)
        raise UsageError(
            f"say which expression with --expr NAME ({known}, or all), --units NAME=WEIGHT or --like PHOTO"
        )
    names = [name for text in expr for name in (options.EXPRESSIONS if text == ALL else (text,))]
    return [parse_mix(name) for name in names]


def wanted_strengths(texts: list[str] | None) -> list[float]:
    """Return the strengths that were asked for, 1 by default.

    Raises:
        UsageError: one of them is no strength.
    """
    return [parse_strength(item, "--strength") for text in texts or ("1",) for item in text.split(",")]


def wanted_engine(name: Literal["local", "ray"]) -> Engine:
    """Return the engine that ``--engine`` names."""
    if name == "ray":
        from sargan_core.batch.ray import run_ray

        return run_ray
    from sargan_core.batch.local import run_local

    return run_local
