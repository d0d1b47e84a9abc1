"""What the file names of the published data sets say: KDEF, RaFD, JAFFE."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sargan_core.expressions import TABLE, Expression

NAMED_SETS = ("kdef", "rafd", "jaffe")
STRAIGHT = "S"
KDEF_VIEWS = ("S", "HL", "HR", "FL", "FR")


@dataclass(frozen=True)
class NamedPhoto:
    """What a file name says.

    Attributes:
        source: ``kdef``, ``rafd`` or ``jaffe``.
        person: the person, unique within the source.
        expression: the expression.
        take: see ``Sample.take``.
    """

    source: str
    person: str
    expression: Expression
    take: str = ""


@dataclass(frozen=True)
class Unwanted:
    """The name belongs to a known data set, but the photo is not used; ``reason`` says why."""

    reason: str


_KDEF_CODES = {record.kdef: record.expression for record in TABLE}
_JAFFE_CODES = {record.jaffe: record.expression for record in TABLE}
_RAFD_NAMES = {record.rafd: record.expression for record in TABLE}

_KDEF = re.compile(rf"([AB])([FM])(\d\d)({'|'.join(_KDEF_CODES)})({'|'.join(KDEF_VIEWS)})", re.IGNORECASE)
# Known errors of the distributed set: two truncated names. Its all-black photos are seen in their pixels.
_KDEF_TRUNCATED = frozenset({"AF31V", "AM31H"})
_RAFD = re.compile(r"Rafd(\d{3})_(\d\d)_([a-z]+)_([a-z]+)_([a-z]+)_(frontal|left|right)", re.IGNORECASE)
_JAFFE = re.compile(rf"([A-Z]{{2}})\.({'|'.join(_JAFFE_CODES)})(\d+)\.\d+", re.IGNORECASE)


def parse_file_name(stem: str, every_view: bool = False) -> NamedPhoto | Unwanted | None:
    """Return what a file name without its suffix says; None where it belongs to none of the three sets.

    KDEF ``AF01ANS``: session, sex, number, expression, view; the person is sex + number, the same in both
    sessions. RaFD ``Rafd090_28_Caucasian_male_angry_frontal``: camera angle, person, group, sex, expression,
    gaze. JAFFE ``KA.AN1.39``: person, expression and its number, serial number.

    Args:
        stem: the file name without suffix, in any case.
        every_view: also take faces that are turned (KDEF half and full profiles, RaFD cameras beside 090) and
            gazes beside frontal.
    """
    if match := _KDEF.fullmatch(stem):
        session, sex, number, code, view = (part.upper() for part in match.groups())
        if view != STRAIGHT and not every_view:
            return Unwanted(f"KDEF view {view}; only straight views are used")
        take = session if view == STRAIGHT else f"{session}-{view}"
        return NamedPhoto("kdef", sex + number, _KDEF_CODES[code], take)
    if stem.upper() in _KDEF_TRUNCATED:
        return Unwanted("truncated KDEF name, a known error of that set; rename it if you know what it shows")
    if match := _RAFD.fullmatch(stem):
        camera, person, _, _, expression, gaze = (part.lower() for part in match.groups())
        if expression not in _RAFD_NAMES:
            return Unwanted(f"RaFD expression '{expression}' is none of the seven")
        if (camera != "090" or gaze != "frontal") and not every_view:
            return Unwanted(f"RaFD camera {camera}, gaze {gaze}; only camera 090 with frontal gaze is used")
        return NamedPhoto("rafd", person, _RAFD_NAMES[expression], f"{camera}-{gaze}")
    if match := _JAFFE.fullmatch(stem):
        person, code, _ = match.groups()
        return NamedPhoto("jaffe", person.upper(), _JAFFE_CODES[code.upper()])
    return None
