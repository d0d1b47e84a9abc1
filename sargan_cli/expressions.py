"""What ``--expr``, ``--units``, ``--like`` and ``--strength`` ask for, checked together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sargan_core.errors import PhotoError, UsageError
from sargan_core.expressions import MAX_STRENGTH, Expression, ExpressionMix, Like, parse_mix, parse_strength
from sargan_core.photo.files import shown
from sargan_core.units import CODE_NAMES, UNITS, UnitMix, parse_units

if TYPE_CHECKING:
    from sargan_core.photo.photo import Photo

NAMES = tuple(sorted(expression.value for expression in Expression))
# Stands for all seven expressions in a batch.
ALL = "all"


def complete_mix(incomplete: str) -> list[str]:
    """Return completions of a half-typed ``--expr``."""
    start, comma, name = incomplete.rpartition(",")
    return [start + comma + known for known in NAMES if known.startswith(name)]


def complete_mix_or_all(incomplete: str) -> list[str]:
    """Return completions of a half-typed ``--expr`` of a batch, with ``all``."""
    mixes = complete_mix(incomplete)
    return [*mixes, ALL] if ALL.startswith(incomplete) else mixes


def complete_units(incomplete: str) -> list[str]:
    """Return completions of a half-typed ``--units``."""
    start, comma, name = incomplete.rpartition(",")
    names = dict.fromkeys([*(unit.name for unit in UNITS), *CODE_NAMES])
    return [f"{start}{comma}{known}=" for known in names if known.startswith(name)]


def strength_of(number: float) -> float:
    """Check a strength: the range declared with the option does not refuse NaN."""
    return parse_strength(str(number), "--strength")


def strengths_of(texts: list[str] | None) -> list[float]:
    """Return the strengths of a batch, 1 by default.

    Raises:
        UsageError: a text is not a strength.
    """
    return [parse_strength(item, "--strength") for text in texts or ("1",) for item in text.split(",")]


def one_mix(
    expr: list[str] | None, units: str | None, strength: float, *, grid: bool
) -> ExpressionMix | UnitMix:
    """Return the mix for ``sargan edit``; an empty one for ``--grid``.

    Raises:
        UsageError: there is none or more than one, a name is unknown, or the strength makes a weight too large.
    """
    if grid:
        if expr or units is not None:
            option = "--units" if units is not None else "--expr"
            raise UsageError(f"--grid shows all seven expressions; leave out {option}")
        return ExpressionMix(())
    if units is None:
        return _one_expression(expr, strength)
    mix = parse_units(units, _one_expression(expr, strength) if expr else None)
    # Refuses weights that the strength makes too large before a photo is read.
    mix.scaled(strength)
    return mix


def _one_expression(expr: list[str] | None, strength: float) -> ExpressionMix:
    if not expr:
        raise UsageError(
            f"say which expression with --expr NAME ({', '.join(NAMES)}), --like PHOTO for that of a photo, "
            "--units NAME=WEIGHT for single face units, or --grid for all of them"
        )
    if len(expr) > 1:
        raise UsageError(
            f"--expr takes one mix: --expr {','.join(expr)}; for several results call edit again"
        )
    mix = parse_mix(expr[0])
    for expression, weight in mix.scaled(strength).parts:
        if weight > MAX_STRENGTH:
            raise UsageError(
                f"{expression}: weight x --strength is {weight:g}; together they go up to {MAX_STRENGTH:g}"
            )
    return mix


def several_mixes(expr: list[str] | None, units: list[str] | None) -> list[ExpressionMix | UnitMix]:
    """Return the mixes for ``sargan batch``.

    Raises:
        UsageError: there is none, or a name is unknown.
    """
    if units:
        if expr and (len(expr) > 1 or expr[0] == ALL):
            raise UsageError("--units goes on top of one --expr at most; run the others one after the other")
        return [parse_units(text, parse_mix(expr[0]) if expr else None) for text in units]
    if not expr:
        raise UsageError(
            f"say which expression with --expr NAME ({', '.join(NAMES)}, or all), --units NAME=WEIGHT "
            "or --like PHOTO"
        )
    return [parse_mix(name) for text in expr for name in (NAMES if text == ALL else (text,))]


def reference_of(
    like: Path | None, face: int | None, expr: list[str] | None, units: str | list[str] | None
) -> Like | None:
    """Return the reference of ``--like`` and ``--like-face``, None without them.

    Raises:
        UsageError: ``--expr`` or ``--units`` is given too, or ``--like-face`` without ``--like``.
    """
    if like is None:
        if face is not None:
            raise UsageError("--like-face chooses a face of the photo after --like; name that photo")
        return None
    if expr:
        raise UsageError(
            "--expr names an expression and --like takes one from a photo; a face can show only one, so give one"
        )
    if units:
        raise UsageError(
            "--units and --like both choose the face units; give one (--json prints those of a --like photo)"
        )
    return Like(like, face)


def read_like(like: Like, max_pixels: int | None) -> tuple[Photo, Like]:
    """Return the reference photo, and the reference with its checksum; ``max_pixels`` None = the library's limit.

    Raises:
        UsageError: it cannot be read.
    """
    from sargan_core.batch.steps import read_reference

    try:
        photo, sha256 = read_reference(like, max_pixels)
    except PhotoError as error:
        raise UsageError(f"--like {error}") from error
    return photo, replace(like, sha256=sha256)


def batch_like(like: Like, max_pixels: int | None) -> Like:
    """Return the reference of a batch with its checksum; engines read the photo again.

    Raises:
        UsageError: it cannot be read, or it is a pipe.
    """
    _, like = read_like(like, max_pixels)
    if not like.path.is_file():  # a pipe that the shell handed over is empty now
        raise UsageError(f"--like {shown(like.path)}: is a pipe, which can be read only once; name a file")
    return like
