"""Read a folder of rendered faces with single face units: pictures, points, and the code of each expression."""

from __future__ import annotations

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

ARRAYS = "units.npz"
UNITS = "units"
JAW = slice(0, 17)
INNER_LIPS = slice(60, 68)


@dataclass(frozen=True)
class UnitFaces:
    """The pictures of a folder; arrays share their first index.

    Attributes:
        paths: the pictures.
        persons: who each shows, unique over all sources.
        codes: (N, U) float32 weights of the units, 1 = as sculpted.
        names: (U,) of the units, sides as ``_L`` and ``_R``.
        landmarks: (N, 68, 2) float32 pixels, (x, y), pixel centres at integers, iBUG order. The hidden side of the jaw
            lies on the outline that is seen, as in photos whose points were set by hand.
        visible: (N, 68) bool; the inside of shut lips counts as visible.
        yaw: (N,) float32 degrees, 0 = frontal.
    """

    paths: tuple[Path, ...]
    persons: tuple[str, ...]
    codes: npt.NDArray[np.float32]
    names: tuple[str, ...]
    landmarks: npt.NDArray[np.float32]
    visible: npt.NDArray[np.bool_]
    yaw: npt.NDArray[np.float32]

    def samples(self) -> list[Sample]:
        """Return a sample a picture; what it expresses is in its code alone, it counts as neutral."""
        file = self.paths[0].parent.parent / ARRAYS
        return [
            Sample(path, person, Expression.NEUTRAL, UNITS, known=KnownLandmarks(file, row, "landmarks"))
            for row, (path, person) in enumerate(zip(self.paths, self.persons, strict=True))
        ]


def unit_folders(folders: Sequence[Path]) -> list[Path]:
    """Return the folders of such sets: those given, and those right below them."""
    below = [inner for folder in folders if folder.is_dir() for inner in sorted(folder.iterdir())]
    return [folder for folder in dict.fromkeys([*folders, *below]) if (folder / ARRAYS).is_file()]


def read_with_units(folders: Sequence[Path]) -> tuple[Sources, list[UnitFaces]]:
    """Return what ``read_sources`` finds in the folders, and the sets of face units in or right below them.

    Raises:
        DataError: nothing usable in a folder, or a set's arrays are damaged.
    """
    homes = unit_folders(folders)
    others = [folder for folder in folders if folder not in homes]
    sources = read_sources(others) if others or not homes else Sources((), ())
    # Their pictures have no name of an expression, and need none.
    skipped = [item for item in sources.skipped if not any(home in item.path.parents for home in homes)]
    return Sources(sources.samples, tuple(skipped)), [read_units(home) for home in homes]


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
            landmarks=landmarks - 0.5,
            visible=visible,
            yaw=values["pose"][:, 0].astype(np.float32),
        )
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({reason_of(error)}); fetch the data set again") from error
    except (KeyError, IndexError) as error:
        raise DataError(f"{file}: its arrays do not belong together; fetch the data set again") from error
