"""One training photo, and which two photos of a person make a pair."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sargan_core.errors import DataError
from sargan_core.expressions import Expression
from sargan_core.photo.archive import open_arrays
from sargan_core.photo.content import reason_of

TRANSFER = "transfer"
SYNTH = "synth"
# Sets whose pictures of one person differ in nothing but the expression.
STILL = frozenset({TRANSFER, SYNTH})


@dataclass(frozen=True)
class KnownLandmarks:
    """Location of landmarks that come with a data set; they are read on demand.

    Attributes:
        file: an npz file.
        row: the photo's row in its arrays.
        points: name of the (n, 68, 2) array with the best iBUG-68 points.
        found: name of the (n, 68, 2) array whose points were found the same way in all photos of the set, or
            None.
        centre: coordinate of the top left pixel's centre in the file's units: 0.5 where the origin is the
            image's corner, 0 where it is that pixel's centre.
    """

    file: Path
    row: int
    points: str
    found: str | None = None
    centre: float = 0.5

    def read(self, name: str) -> npt.NDArray[np.float32]:
        """Return this photo's (n, 2) float32 points of array ``name``, (x, y), pixel centres at integers.

        Raises:
            DataError: the npz file does not hold the array or the row.
        """
        array = _array(self.file, name)
        if array.ndim != 3 or not 0 <= self.row < len(array):
            raise DataError(f"{self.file}: array '{name}' has no row {self.row}; fetch the data set again")
        return np.asarray(array[self.row] - self.centre, dtype=np.float32)


@lru_cache(maxsize=16)
def _array(file: Path, name: str) -> npt.NDArray[np.float32]:
    try:
        with open_arrays(file) as arrays:
            return np.asarray(arrays[name], dtype=np.float32)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{file}: cannot read array '{name}' ({reason_of(error)}); fetch the data set again"
        ) from error


@dataclass(frozen=True)
class Sample:
    """One photo of one person with one expression.

    Attributes:
        path: the image file.
        person: who it is, unique over all sources: ``kdef-F01``, ``london-001``; never holds a second
            meaning, so that a split by this name keeps a person on one side.
        expression: what the face shows.
        source: the data set: ``kdef``, ``rafd``, ``jaffe``, ``london``, ``transfer``, ``neutral_extra``,
            ``synth``, or the name of a class folder or CSV file.
        take: pictures of one person pair up within a take (KDEF session and view, RaFD gaze and camera,
            variant number); empty = with every take.
        known: the landmarks that came with the photo, if any.
        train_only: never a test photo, because it was made from other people's photos.
    """

    path: Path
    person: str
    expression: Expression
    source: str
    take: str = ""
    known: KnownLandmarks | None = None
    train_only: bool = False

    @property
    def landmarks(self) -> npt.NDArray[np.float32] | None:
        """The best known (68, 2) float32 points, iBUG order, image pixels (x, y), centres at integers."""
        return self.known.read(self.known.points) if self.known else None

    @property
    def found_landmarks(self) -> npt.NDArray[np.float32] | None:
        """As ``landmarks``, but found in one and the same way over the set, so that two photos compare."""
        return self.known.read(self.known.found) if self.known and self.known.found else None


@dataclass(frozen=True)
class Skipped:
    """A file that was left out; ``reason`` does not name the file, so that equal reasons can be counted."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Pair:
    """Two photos of one person: the input and the wanted output."""

    source: Sample
    target: Sample

    @property
    def still(self) -> bool:
        """Whether the two are pixel-aligned by construction, so that no motion has to be undone."""
        return self.source.source in STILL or self.target.source in STILL


def pairs(samples: Iterable[Sample]) -> list[Pair]:
    """Return every ordered pair of photos of one person with different expressions.

    Both come from the same source and the same take (an empty take goes with every take). The pictures of
    ``transfer`` also pair up with the neutral photo of their person, from whatever source, because they were
    made from it; their other real photos are left aside.
    """
    people: dict[str, list[Sample]] = {}
    for sample in samples:
        people.setdefault(sample.person, []).append(sample)
    return [
        Pair(source, target)
        for person in sorted(people)
        for source in people[person]
        for target in people[person]
        if source.expression is not target.expression and _partners(source, target)
    ]


def _partners(one: Sample, other: Sample) -> bool:
    if one.source == other.source:
        return not one.take or not other.take or one.take == other.take
    made, photo = (one, other) if one.source == TRANSFER else (other, one)
    return made.source == TRANSFER and photo.expression is Expression.NEUTRAL


def people(samples: Sequence[Sample]) -> list[str]:
    """Return the names of all people in ``samples``, sorted."""
    return sorted({sample.person for sample in samples})
