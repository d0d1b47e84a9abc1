"""Read rendered faces whose expression is known exactly, as codes of face units (docs/units.md).

There are two kinds: sets of random combinations of units (``units.npz`` beside a folder of pictures), and people who
pose the seven expressions by name, whose ``meta.csv`` lists the sculpted shapes of each picture.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sargan_core.data.samples import KnownLandmarks, Sample
from sargan_core.data.sources import Sources, read_sources
from sargan_core.errors import DataError
from sargan_core.expressions import Expression
from sargan_core.photo.archive import open_arrays
from sargan_core.photo.content import reason_of
from sargan_core.units import CODE_NAMES

ARRAYS, RECORDS = "units.npz", "meta.csv"
UNITS = "units"
JAW = slice(0, 17)
INNER_LIPS = slice(60, 68)
# Face units by the names that the records have for their sculpted shapes.
SCULPTED = {
    "eyebrows-{side}-inner-up": "brow_inner_up",
    "eyebrows-{side}-up": "brow_up",
    "eyebrows-{side}-down": "brow_down",
    "eye-{side}-closure": "lid_close",
    "eye-{side}-opened-up": "lid_wide",
    "eye-{side}-slit": "squint",
    "nose-{side}-elevation": "nose_wrinkle",
    "nose-{side}-dilatation": "nostril_wide",
    "cheek/{letter}-cheek-trans-up": "cheek_raise",
    "cheek/{letter}-cheek-volume-incr": "cheek_full",
}
SCULPTED_WHOLE = {
    "eyebrows/eyebrows-trans-down": ("brow_whole_down",),
    "nose-compression": ("nose_squeeze",),
    "mouth-corner-puller": ("corner_pull_L", "corner_pull_R"),
    "mouth-upward-retraction": ("smile_teeth_L", "smile_teeth_R"),
    "mouth-depression": ("corner_down_L", "corner_down_R"),
    "mouth-depression-retraction": ("lower_lip_down_L", "lower_lip_down_R"),
    "mouth-elevation": ("upper_lip_up_L", "upper_lip_up_R"),
    "mouth-retraction": ("lip_stretch_L", "lip_stretch_R"),
    "mouth-part-later": ("lips_part_side_L", "lips_part_side_R"),
    "mouth-parling": ("lips_part",),
    "mouth-eversion": ("chin_raise",),
    "mouth-compression": ("lip_press",),
    "mouth-pursing": ("pucker",),
    "mouth-open": ("jaw_open",),
    "neck-platysma": ("neck_tight",),
}

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class UnitFaces:
    """The pictures of a set of random units; arrays share their first index.

    Attributes:
        paths: the pictures.
        persons: who each shows, unique over all sources.
        codes: (N, U) float32 weights of the units, 1 = as sculpted.
        names: (U,) of the units, sides as ``_L`` and ``_R``.
        points: (N, 68, 2) float64 pixels, (x, y), pixel centres at integers, iBUG order: fixed points of the mesh.
        landmarks: (N, 68, 2) float32, as ``points``, but the hidden side of the jaw lies on the visible outline, as in
            photos whose points were set by hand.
        visible: (N, 68) bool; the inside of closed lips counts as visible.
        angles: (N, 3) float64 yaw, pitch and roll in degrees, 0 = frontal.
    """

    paths: tuple[Path, ...]
    persons: tuple[str, ...]
    codes: npt.NDArray[np.float32]
    names: tuple[str, ...]
    points: Array
    landmarks: npt.NDArray[np.float32]
    visible: npt.NDArray[np.bool_]
    angles: Array

    def samples(self) -> list[Sample]:
        """Return one sample per picture; its expression is in its code alone, so it counts as neutral."""
        file = self.paths[0].parent.parent / ARRAYS
        return [
            Sample(path, person, Expression.NEUTRAL, UNITS, known=KnownLandmarks(file, row, "landmarks"))
            for row, (path, person) in enumerate(zip(self.paths, self.persons, strict=True))
        ]


def unit_folders(folders: Sequence[Path]) -> list[Path]:
    """Return the folders of such sets: those given, and those right below them."""
    below = [inner for folder in folders if folder.is_dir() for inner in sorted(folder.iterdir())]
    return [folder for folder in dict.fromkeys([*folders, *below]) if (folder / ARRAYS).is_file()]


def read_other_sources(folders: Sequence[Path]) -> Sources:
    """Return what ``read_sources`` finds in the folders beside the sets of units.

    Raises:
        DataError: nothing usable in a folder.
    """
    homes = unit_folders(folders)
    others = [folder for folder in folders if folder not in homes]
    sources = read_sources(others) if others or not homes else Sources((), ())
    # The pictures of the sets have no name of an expression, and need none.
    skipped = [item for item in sources.skipped if not any(home in item.path.parents for home in homes)]
    return Sources(sources.samples, tuple(skipped))


def read_with_units(folders: Sequence[Path]) -> tuple[Sources, list[UnitFaces]]:
    """Return what ``read_other_sources`` finds, and the sets of units in or right below the folders.

    Raises:
        DataError: nothing usable in a folder, or a set's arrays are damaged.
    """
    return read_other_sources(folders), [read_units(home) for home in unit_folders(folders)]


def read_units(folder: Path) -> UnitFaces:
    """Return the set in ``folder``.

    Raises:
        DataError: its arrays are damaged.
    """
    file = folder / ARRAYS
    wanted = (
        *("names", "id", "identity", "code", "code_names"),
        *("landmarks", "jaw_contour", "visible", "pose"),
    )
    try:
        with open_arrays(file) as arrays:
            values = {name: arrays[name] for name in wanted}
        people = values["id"][values["identity"]]
        landmarks = values["landmarks"].astype(np.float32)
        landmarks[:, JAW] = values["jaw_contour"]
        visible = values["visible"].astype(bool)
        visible[:, INNER_LIPS] = True
        return UnitFaces(
            paths=tuple(folder / "images" / str(name) for name in values["names"]),
            persons=tuple(f"{UNITS}-{person}" for person in people),
            codes=values["code"].astype(np.float32),
            names=tuple(str(name) for name in values["code_names"]),
            points=values["landmarks"].astype(np.float64) - 0.5,
            landmarks=landmarks - 0.5,
            visible=visible,
            angles=values["pose"].astype(np.float64),
        )
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({reason_of(error)}); fetch the data set again") from error
    except (KeyError, IndexError) as error:
        raise DataError(f"{file}: its arrays do not belong together; fetch the data set again") from error


def read_records(folders: Sequence[Path]) -> dict[str, tuple[Array, Array]]:
    """Return code (U,) and angles (3,) of people who pose by name, by ``expression/person``.

    Raises:
        DataError: a record cannot be read.
    """
    records: dict[str, tuple[Array, Array]] = {}
    for path in (folder / RECORDS for folder in folders):
        if not path.is_file():
            continue
        try:
            with path.open(newline="", encoding="utf-8") as stream:
                for line in csv.DictReader(stream):
                    if "units" in line and "yaw" in line:
                        angles = np.array([float(line[name]) for name in ("yaw", "pitch", "roll")])
                        records[f"{line['expression']}/{line['id']}"] = sculpted_code(line["units"]), angles
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{path}: cannot be read ({error}); fetch the data set again") from error
    return records


def sculpted_code(text: str) -> Array:
    """Return the code (U,) of a record such as ``eye-left-slit=0.2;mouth-open=0.1``; unknown shapes are ignored."""
    code = np.zeros(len(CODE_NAMES))
    named = dict(SCULPTED_WHOLE)
    for pattern, unit in SCULPTED.items():
        for side in ("left", "right"):
            named[pattern.format(side=side, letter=side[0])] = (f"{unit}_{side[0].upper()}",)
    for item in filter(None, text.split(";")):
        name, _, weight = item.partition("=")
        for part in named.get(name, ()):
            code[CODE_NAMES.index(part)] = float(weight)
    return code
