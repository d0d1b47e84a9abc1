"""Parse the file names of the published data sets KDEF, RaFD and JAFFE, and recognise the shared sets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sargan_core.data.samples import SYNTH, TRANSFER, KnownLandmarks
from sargan_core.errors import DataError
from sargan_core.expressions import TABLE, Expression
from sargan_core.photo.archive import open_arrays
from sargan_core.photo.content import reason_of

NAMED_SETS = ("kdef", "rafd", "jaffe")
STRAIGHT = "S"
KDEF_VIEWS = ("S", "HL", "HR", "FL", "FR")


@dataclass(frozen=True)
class NamedPhoto:
    """Content of a file name.

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
# Known errors of the distributed set: two truncated names. Its black photos are recognised by their pixels.
_KDEF_TRUNCATED = frozenset({"AF31V", "AM31H"})
_RAFD = re.compile(r"Rafd(\d{3})_(\d\d)_([a-z]+)_([a-z]+)_([a-z]+)_(frontal|left|right)", re.IGNORECASE)
_JAFFE = re.compile(rf"([A-Z]{{2}})\.({'|'.join(_JAFFE_CODES)})(\d+)\.\d+", re.IGNORECASE)


def parse_file_name(stem: str) -> NamedPhoto | Unwanted | None:
    """Parse a file name without its suffix; None if it belongs to none of the three sets.

    KDEF ``AF01ANS``: session, sex, number, expression, view; the person is sex + number, the same in both
    sessions. RaFD ``Rafd090_28_Caucasian_male_angry_frontal``: camera angle, person, group, sex, expression,
    gaze. JAFFE ``KA.AN1.39``: person, expression and its number, serial number.
    """
    if match := _KDEF.fullmatch(stem):
        session, sex, number, code, view = (part.upper() for part in match.groups())
        if view != STRAIGHT:
            return Unwanted(f"KDEF view {view}; only straight views are used")
        return NamedPhoto("kdef", sex + number, _KDEF_CODES[code], session)
    if stem.upper() in _KDEF_TRUNCATED:
        return Unwanted("truncated KDEF name, a known error of that set; rename it if you know what it shows")
    if match := _RAFD.fullmatch(stem):
        camera, person, _, _, expression, gaze = (part.lower() for part in match.groups())
        if expression not in _RAFD_NAMES:
            return Unwanted(f"RaFD expression '{expression}' is none of the seven")
        if camera != "090" or gaze != "frontal":
            return Unwanted(f"RaFD camera {camera}, gaze {gaze}; only camera 090 with frontal gaze is used")
        return NamedPhoto("rafd", person, _RAFD_NAMES[expression], f"{camera}-{gaze}")
    if match := _JAFFE.fullmatch(stem):
        person, code, _ = match.groups()
        return NamedPhoto("jaffe", person.upper(), _JAFFE_CODES[code.upper()])
    return None


LANDMARKS = "landmarks.npz"
LONDON = "london"
NEUTRAL_EXTRA = "neutral_extra"
SET_NAMES = (LONDON, TRANSFER, NEUTRAL_EXTRA, SYNTH)


@dataclass(frozen=True)
class SharedSet:
    """One recognised set.

    Attributes:
        name: ``london``, ``transfer``, ``neutral_extra`` or ``synth``.
        known: file relative to the set's folder, with forward slashes -> where its landmarks lie.
    """

    name: str
    known: dict[str, KnownLandmarks]

    def person(self, identity: str) -> tuple[str, bool]:
        """Return the person of a face id, and whether that person may only be trained on.

        The ids of ``transfer`` are those of ``london`` (three digits) and ``neutral_extra``; ids that begin
        with m are composites of London people.
        """
        if self.name == SYNTH:
            return f"synth-{identity}", False
        if identity[:1].isdigit():
            return f"london-{identity}", False
        return f"extra-{identity}", identity.startswith("m")


def read_shared_set(folder: Path) -> SharedSet | None:
    """Return the shared set that lies in ``folder``, or None where it holds something else.

    Raises:
        DataError: ``landmarks.npz`` is damaged.
    """
    file = folder / LANDMARKS
    if not file.exists():
        return None
    try:
        with open_arrays(file) as arrays:
            names = {
                name: arrays[name].reshape(-1) for name, kind in arrays.kinds.items() if kind.kind == "U"
            }
            present = arrays.kinds.keys()
    except (OSError, ValueError) as error:
        raise DataError(
            f"{file}: not a readable npz file ({reason_of(error)}); fetch the data set again"
        ) from error
    if {"names", "landmarks"} <= present:
        rows = enumerate(names.get("names", ()))
        return SharedSet(SYNTH, {str(name): KnownLandmarks(file, row, "landmarks") for row, name in rows})
    if {"files", "ibug68", "ibug68_manual", "mesh478"} <= present:
        rows = enumerate(names.get("files", ()))
        return SharedSet(
            TRANSFER,
            {str(name): KnownLandmarks(file, row, "ibug68_manual", "ibug68") for row, name in rows},
        )
    if "neutral_ids" not in present:
        return None
    known = {}
    for expression in ("neutral", "happy"):
        points = f"{expression}_ibug68"
        best = f"{points}_manual" if f"{points}_manual" in present else points
        for row, identity in enumerate(names.get(f"{expression}_ids", ())):
            known[f"{expression}/{identity}.jpg"] = KnownLandmarks(file, row, best, points)
    return SharedSet(LONDON if "happy_ids" in present else NEUTRAL_EXTRA, known)
