"""The face units: name, effect and FACS number of each; codes made of them; and parsing of what users type."""

from __future__ import annotations

import difflib
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from sargan_core.errors import UsageError
from sargan_core.expressions import ExpressionMix, shortened


@dataclass(frozen=True)
class Unit:
    """One way in which a face moves.

    Attributes:
        name: without its side.
        says: what it does, in a few words.
        facs: the nearest action unit of the Facial Action Coding System; empty = none.
        largest: the largest weight in training; 1 is the unit as sculpted.
        sided: whether the subject's left and right side move separately, as ``name_L`` and ``name_R``.
        signed: whether weights may be negative.
    """

    name: str
    says: str
    facs: str
    largest: float
    sided: bool = True
    signed: bool = False

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of its entries in a code."""
        return (f"{self.name}_L", f"{self.name}_R") if self.sided else (self.name,)

    @property
    def lowest(self) -> float:
        """The smallest weight."""
        return -self.largest if self.signed else 0.0


UNITS = (
    Unit("brow_inner_up", "inner end of the brow up", "AU1", 1.8),
    Unit("brow_up", "whole brow up", "AU1+2", 1.25),
    Unit("brow_outer_up", "outer end of the brow up", "AU2", 1.3),
    Unit("brow_down", "brow down and together: a frown", "AU4", 1.6),
    Unit("brow_whole_down", "both brows down as they are", "AU4", 0.4, sided=False),
    Unit("lid_close", "eye shut", "AU43/45", 1.0),
    Unit("lid_wide", "upper lid up: a wide eye", "AU5", 1.5),
    Unit("squint", "lids narrow", "AU6+7", 0.55),
    Unit("nose_wrinkle", "nose wrinkled", "AU9", 1.5),
    Unit("nostril_wide", "nostril wide", "AU38", 1.3),
    Unit("nose_squeeze", "nose narrow", "AU39", 1.2, sided=False),
    Unit("nose_down", "tip of the nose down", "", 1.0, sided=False),
    Unit("cheek_raise", "cheek up", "AU6", 0.9),
    Unit("cheek_full", "cheek fuller", "", 0.7),
    Unit("cheek_puff", "cheek blown up", "AU34", 1.0),
    Unit("cheek_suck", "cheek sucked in", "AU35", 1.0),
    Unit("corner_pull", "corner of the mouth up and out: a smile", "AU12", 1.25),
    Unit("smile_teeth", "smile that parts the lips", "AU12+25", 1.15),
    Unit("corner_down", "corner of the mouth down", "AU15", 1.3),
    Unit("lower_lip_down", "lower lip down", "AU16", 1.2),
    Unit("upper_lip_up", "upper lip up", "AU10", 1.3),
    Unit("lip_stretch", "corner of the mouth out", "AU20", 1.2),
    Unit("lips_part_side", "lips apart on one side", "AU25", 1.1),
    Unit("lips_part", "lips apart", "AU25", 1.2, sided=False),
    Unit("chin_raise", "chin and lower lip up", "AU17", 1.2, sided=False),
    Unit("lip_press", "lips pressed together", "AU23/24", 1.1, sided=False),
    Unit("pucker", "lips puckered", "AU18", 1.1, sided=False),
    Unit("lips_forward", "lips forward", "AU22", 1.0, sided=False),
    Unit("jaw_open", "jaw down", "AU26/27", 0.95, sided=False),
    Unit("jaw_side", "jaw aside, above 0 to the subject's left", "AU30", 1.0, sided=False, signed=True),
    Unit("jaw_forward", "jaw forward, below 0 back", "AU29", 1.0, sided=False, signed=True),
    Unit("mouth_side", "mouth aside, above 0 to the subject's left", "", 1.0, sided=False, signed=True),
    Unit("tongue_out", "tongue out", "AU19", 1.0, sided=False),
    Unit("neck_tight", "neck tight", "AU21", 1.0, sided=False),
)
# Units that cannot be read where the mouth, or where the eyes are covered.
_NAMES = tuple(unit.name for unit in UNITS)
OF_MOUTH = _NAMES[_NAMES.index("cheek_puff") :]
OF_EYES = ("lid_close", "lid_wide", "squint")
# Names of the entries of a code, in order.
CODE_NAMES = tuple(part for unit in UNITS for part in unit.parts)
LOWEST = tuple(unit.lowest for unit in UNITS for _ in unit.parts)
LARGEST = tuple(unit.largest for unit in UNITS for _ in unit.parts)
_BY_NAME = {name: unit for unit in UNITS for name in (unit.name, *unit.parts)}


def _mirrored() -> tuple[int, ...]:
    other = {"_L": "_R", "_R": "_L"}
    return tuple(
        CODE_NAMES.index(name[:-2] + other[name[-2:]] if name[-2:] in other else name) for name in CODE_NAMES
    )


# Index and sign of each entry of a code in the code of the mirror image.
MIRRORED_CODE = _mirrored()
MIRRORED_SIGN = tuple(-1.0 if name in ("jaw_side", "mouth_side") else 1.0 for name in CODE_NAMES)
NOTHING = ExpressionMix(())
# Most characters of a mix in a file name; longer ones get a checksum.
LONGEST_SLUG = 80


@dataclass(frozen=True)
class UnitMix:
    """A mix of face units by name, and of expressions if there are any.

    Attributes:
        units: (name, weight) pairs; a name without a side means both sides.
        mix: expressions to add; may be empty.
        strength: factor on both.
    """

    units: tuple[tuple[str, float], ...]
    mix: ExpressionMix = NOTHING
    strength: float = 1.0

    def __str__(self) -> str:
        named = ",".join(f"{name}={weight * self.strength:g}" for name, weight in self.units)
        return f"{self.mix.scaled(self.strength)},{named}" if self.mix.parts else named

    @property
    def slug(self) -> str:
        """The mix as part of a file name, e.g. ``corner_pull80-brow_up_L50``."""
        named = "-".join(f"{name}{round(weight * self.strength * 100)}" for name, weight in self.units)
        slug = f"{self.mix.scaled(self.strength).slug}-{named}" if self.mix.parts else named
        if len(slug) <= LONGEST_SLUG:
            return slug
        return f"units-{hashlib.sha256(slug.encode()).hexdigest()[:8]}"

    @property
    def is_identity(self) -> bool:
        """Whether the mix asks for no change at all."""
        return self.strength == 0 or (self.mix.is_identity and all(weight == 0 for _, weight in self.units))

    @property
    def code(self) -> tuple[float, ...]:
        """The weight of every entry of a code, in the order of ``CODE_NAMES``, without the expressions by name."""
        wanted = dict.fromkeys(CODE_NAMES, 0.0)
        for name, weight in self.units:
            for part in (name,) if name in wanted else _BY_NAME[name].parts:
                wanted[part] = weight * self.strength
        return tuple(wanted.values())

    def scaled(self, strength: float) -> UnitMix:
        """Return the mix with every weight multiplied by ``strength``.

        Raises:
            UsageError: a weight is out of the unit's range then.
        """
        scaled = UnitMix(self.units, self.mix, self.strength * strength)
        for name, weight in self.units:
            _in_range(_BY_NAME[name], name, weight * scaled.strength, " x --strength")
        return scaled


def code_json(code: Sequence[float]) -> dict[str, float]:
    """Return the entries of a code that are known and not 0, by name, for reports."""
    rounded = {name: round(weight, 3) for name, weight in zip(CODE_NAMES, code, strict=True)}
    return {name: weight for name, weight in rounded.items() if weight and not math.isnan(weight)}


def without_units(code: Sequence[float], names: Sequence[str]) -> tuple[float, ...]:
    """Return a code in which some units, by their names without sides, are not known: NaN."""
    return tuple(
        math.nan if _BY_NAME[name].name in names else weight
        for name, weight in zip(CODE_NAMES, code, strict=True)
    )


def parse_units(text: str, mix: ExpressionMix | None = None) -> UnitMix:
    """Read ``NAME=WEIGHT[,NAME=WEIGHT...]``, e.g. ``corner_pull=0.8,brow_up_L=0.5``.

    Args:
        text: as typed.
        mix: expressions to add.

    Raises:
        UsageError: an unknown unit, a unit given twice, or a weight that is not a number or out of range.
    """
    units: dict[str, float] = {}
    taken: set[str] = set()
    for item in text.split(","):
        name, equals, number = (part.strip() for part in item.partition("="))
        unit = _BY_NAME.get(name)
        if unit is None:
            close = difflib.get_close_matches(name, _BY_NAME, n=1, cutoff=0.6)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise UsageError(f"unknown unit '{shortened(name)}'.{hint} List them with: sargan models units")
        try:
            weight = float(number) if equals else math.nan
        except ValueError:
            weight = math.nan
        if not math.isfinite(weight):
            raise UsageError(f"--units '{shortened(item)}': give a number after the name, such as {name}=0.5")
        _in_range(unit, name, weight)
        parts = {name} if name in unit.parts else set(unit.parts)
        if parts & taken:
            raise UsageError(f"--units names {name} twice; give each unit and side once")
        taken |= parts
        units[name] = weight + 0.0
    return UnitMix(tuple(units.items()), mix or NOTHING)


def _in_range(unit: Unit, name: str, weight: float, factor: str = "") -> None:
    if not unit.lowest - 1e-9 <= weight <= unit.largest + 1e-9:
        raise UsageError(f"--units {name}={weight:g}{factor}: goes from {unit.lowest:g} to {unit.largest:g}")
