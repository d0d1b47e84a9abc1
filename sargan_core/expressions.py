"""The seven expressions: their names, aliases, label order and the codes of the data sets."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sargan_core.errors import UsageError


class Expression(StrEnum):
    """One of the seven expressions; the value is the name used in files and on the command line."""

    FEARFUL = "fearful"
    ANGRY = "angry"
    DISGUSTED = "disgusted"
    HAPPY = "happy"
    NEUTRAL = "neutral"
    SAD = "sad"
    SURPRISED = "surprised"

    def __str__(self) -> str:
        return self.value

    @property
    def label(self) -> int:
        """Index of the expression in label vectors: the alphabetical order of the KDEF codes."""
        return LABELS.index(self)


@dataclass(frozen=True)
class ExpressionRecord:
    """One expression with its aliases and its codes in the data sets."""

    expression: Expression
    aliases: tuple[str, ...]
    kdef: str
    jaffe: str
    rafd: str


# Label order = alphabetical order of the straight KDEF codes AFS … SUS, as in the published networks.
TABLE: tuple[ExpressionRecord, ...] = (
    ExpressionRecord(Expression.FEARFUL, ("fear", "afraid", "scared"), "AF", "FE", "fearful"),
    ExpressionRecord(Expression.ANGRY, ("anger", "mad"), "AN", "AN", "angry"),
    ExpressionRecord(Expression.DISGUSTED, ("disgust",), "DI", "DI", "disgusted"),
    ExpressionRecord(Expression.HAPPY, ("happiness", "joy", "smile", "smiling"), "HA", "HA", "happy"),
    ExpressionRecord(Expression.NEUTRAL, ("none", "calm"), "NE", "NE", "neutral"),
    ExpressionRecord(Expression.SAD, ("sadness", "unhappy"), "SA", "SA", "sad"),
    ExpressionRecord(Expression.SURPRISED, ("surprise",), "SU", "SU", "surprised"),
)
LABELS: tuple[Expression, ...] = tuple(record.expression for record in TABLE)


def _names() -> dict[str, Expression]:
    names: dict[str, Expression] = {}
    for record in TABLE:
        for name in (record.expression.value, *record.aliases, record.kdef, record.kdef + "S", record.jaffe):
            names[name.lower()] = record.expression
    return names


NAMES: dict[str, Expression] = _names()
MAX_STRENGTH = 2.0
LONGEST_SHOWN = 40  # most characters of a typed text that a message repeats


def parse_expression(name: str) -> Expression:
    """Return the expression for a name, alias, KDEF or JAFFE code, in upper or lower case.

    Raises:
        UsageError: no expression has this name; the message lists them and suggests the closest.
    """
    expression = NAMES.get(name.strip().lower())
    if expression is not None:
        return expression
    close = difflib.get_close_matches(name.strip().lower(), NAMES, n=1, cutoff=0.6)
    hint = f" Did you mean '{NAMES[close[0]]}'?" if close else ""
    listed = ", ".join(sorted(expression.value for expression in Expression))
    raise UsageError(f"unknown expression '{shortened(name)}'.{hint} Known: {listed}")


def shortened(text: str) -> str:
    """Return a text that was typed, short enough for one line of a message."""
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"


def parse_strength(text: str, named: str = "strength") -> float:
    """Return the strength, or the weight in a mix, in a text.

    ``named`` is what the message calls it.

    Raises:
        UsageError: not a number from 0 to ``MAX_STRENGTH``.
    """
    try:
        # Adding 0 takes the sign from -0, which would show in file names.
        strength = float(text) + 0.0
    except ValueError:
        strength = math.nan
    if not 0.0 <= strength <= MAX_STRENGTH:  # written so that NaN is refused too
        raise UsageError(
            f"{named} '{shortened(text)}': give a number from 0 to {MAX_STRENGTH:g}, such as 0.5"
        )
    return strength


@dataclass(frozen=True)
class ExpressionMix:
    """A weighted mix of expressions, e.g. 60 % happy and 40 % surprised.

    Attributes:
        parts: (expression, weight) pairs, each expression once, weights in [0, 2].
    """

    parts: tuple[tuple[Expression, float], ...]

    def __str__(self) -> str:
        if len(self.parts) == 1 and self.parts[0][1] == 1.0:
            return self.parts[0][0].value
        return ",".join(f"{expression}:{weight:g}" for expression, weight in self.parts)

    @property
    def slug(self) -> str:
        """The mix as part of a file name, e.g. ``happy`` or ``happy60-sad40``."""
        if len(self.parts) == 1 and self.parts[0][1] == 1.0:
            return self.parts[0][0].value
        return "-".join(f"{expression}{round(weight * 100)}" for expression, weight in self.parts)

    @property
    def is_identity(self) -> bool:
        """Whether the mix asks for no change at all."""
        return all(weight == 0 for _, weight in self.parts)

    def scaled(self, strength: float) -> ExpressionMix:
        """Return the mix with every weight multiplied by ``strength``."""
        return ExpressionMix(tuple((expression, weight * strength) for expression, weight in self.parts))


def parse_mix(text: str) -> ExpressionMix:
    """Read ``NAME[:weight][,NAME:weight…]`` into a mix; a bare name has weight 1.

    Raises:
        UsageError: unknown name, name given twice, or a weight that is not a number in [0, 2].
    """
    parts: list[tuple[Expression, float]] = []
    for item in text.split(","):
        name, colon, number = item.partition(":")
        expression = parse_expression(name)
        try:
            weight = parse_strength(number) if colon else 1.0
        except UsageError as error:
            raise UsageError(
                f"'{shortened(item)}': the weight after ':' must be a number from 0 to 2, e.g. {expression}:0.6"
            ) from error
        if any(expression is known for known, _ in parts):
            raise UsageError(f"'{shortened(text)}' names {expression} twice; give each expression once")
        parts.append((expression, weight))
    return ExpressionMix(tuple(parts))


@dataclass(frozen=True)
class Like:
    """A photo whose expression is wanted, instead of a name.

    Attributes:
        path: the photo.
        face: which of its faces, counted from left to right; None = the largest.
        sha256: checksum of its content if it is read again later; empty = it is read once.
    """

    path: Path
    face: int | None = None
    sha256: str = ""

    def __str__(self) -> str:
        return f"like {self.path.name}"

    @property
    def slug(self) -> str:
        """The reference as part of a file name, e.g. ``like-friend``."""
        return f"like-{self.path.stem}"
