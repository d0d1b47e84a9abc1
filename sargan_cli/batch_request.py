"""What ``sargan batch`` is asked for: texts of the command line become expressions, strengths, lists, an engine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sargan_cli import options
from sargan_cli.files import Like, batch_like
from sargan_core.errors import UsageError
from sargan_core.expressions import ExpressionMix, parse_mix

if TYPE_CHECKING:
    from sargan_core.batch import plan
    from sargan_core.batch.local import Engine

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
    from sargan_core.batch.sources import read_list

    if listed is None:
        if not inputs:
            raise UsageError("name a folder or photos, or a list of photos with --from")
        if null:
            raise UsageError("--null is about the list after --from; give one")
        return None
    if listed != "-":
        try:
            return read_list(Path(listed).read_bytes(), null=null)
        except OSError as error:
            raise UsageError(f"--from {listed}: cannot be read ({error.strerror}); check the name") from error
    if sys.stdin.isatty():
        raise UsageError("--from - reads names from stdin, but stdin is a terminal; pipe a list in")
    return read_list(sys.stdin.buffer.read(), null=null)


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
    expr: list[str] | None, like: Like | None, max_pixels: int | None
) -> list[ExpressionMix | plan.Like]:
    """Return the expressions, mixes or the reference that were asked for.

    Raises:
        UsageError: none, an unknown expression, or a reference that cannot be read.
    """
    if like is not None:
        return [batch_like(like, max_pixels)]
    if not expr:
        known = ", ".join(options.EXPRESSIONS)
        raise UsageError(f"say which expression with --expr NAME ({known}, or all), or --like PHOTO")
    names = [name for text in expr for name in (options.EXPRESSIONS if text == ALL else (text,))]
    return [parse_mix(name) for name in names]


def wanted_strengths(texts: list[str] | None) -> list[float]:
    """Return the strengths that were asked for, 1 by default.

    Raises:
        UsageError: one of them is no number.
    """
    if not texts:
        return [1.0]
    try:
        return [float(item) for text in texts for item in text.split(",")]
    except ValueError:
        raise UsageError(f"--strength {','.join(texts)}: give numbers such as 0.25,0.5,1") from None


def wanted_engine(name: Literal["local", "ray"]) -> Engine:
    """Return the engine that ``--engine`` names."""
    if name == "ray":
        from sargan_core.batch.ray import run_ray

        return run_ray
    from sargan_core.batch.local import run_local

    return run_local
