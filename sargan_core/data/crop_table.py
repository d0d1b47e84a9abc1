"""The table of crops that trainings learn from: typed columns, chosen rows, one file format."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from sargan_core.data.crops import Cropper
from sargan_core.data.samples import Pair, Sample, Skipped
from sargan_core.errors import DataError, NoFaceError, PhotoError
from sargan_core.expressions import LABELS
from sargan_core.faces.align import Alignment
from sargan_core.faces.face import Template
from sargan_core.outcome import Progress
from sargan_core.photo.content import open_file
from sargan_core.photo.files import replacing

Rows = npt.NDArray[np.bool_] | npt.NDArray[np.int64] | Sequence[int]

# Largest header of a pack in bytes; it names the person of every crop, and a million crops need half of this.
LARGEST_HEADER = 2**25

# What reading a pack raises when the file is damaged or something else.
UNREADABLE = (
    *(OSError, KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError),
    *(SafetensorError, DataError),
)

# Names in a pack that differ from the names of the columns.
STORED_AS = {"images": "crops"}

# What the rows of a column belong to: the crops; the links, which are groups of crops (pairs, triples) given by their
# row numbers; or the table as a whole.
CROPS, LINKS, TABLE = "crops", "links", "table"


def column(
    kind: type[np.generic], shape: tuple[int, ...] | None = (), *, of: str = CROPS, link: bool = False
) -> Any:
    """Declare a column of a ``CropTable``.

    Args:
        kind: NumPy type of its values.
        shape: of one row; -1 = any length, None = any shape.
        of: ``CROPS``, ``LINKS`` or ``TABLE``.
        link: the values are row numbers of crops.
    """
    return field(
        default_factory=lambda: np.zeros((0, *(max(length, 0) for length in shape or ())), kind),
        metadata={"kind": kind, "shape": shape, "of": of, "link": link},
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class CropTable:
    """Face crops and what is known of each, as NumPy columns that share their first index.

    A column that is not known has no rows. Subclasses add columns with ``column``.

    Attributes:
        images: (N, 3, S, S) uint8 RGB, or (N, S, S) uint8 luminance.
        landmarks: (N, 68, 2) float32 crop pixels, (x, y), pixel centres at integers; NaN where unknown.
        labels: (N,) int64, ``Expression.label``.
        persons: (N,) str, unique over all sources.
        sources: (N,) str, the data set.

    Raises:
        DataError: a column of another length, shape or type, or a row number or label that does not exist.
    """

    images: npt.NDArray[np.uint8] = column(np.uint8, None)
    landmarks: npt.NDArray[np.float32] = column(np.float32, (68, 2))
    labels: npt.NDArray[np.int64] = column(np.int64)
    persons: npt.NDArray[np.str_] = column(np.str_)
    sources: npt.NDArray[np.str_] = column(np.str_)

    def __post_init__(self) -> None:
        for one in fields(self):
            if one.metadata:
                self._check(one.name, getattr(self, one.name), one.metadata)
        if len(self.labels) and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(LABELS):
            raise DataError(f"training data: a label is none of the {len(LABELS)} expressions")

    def _check(self, name: str, value: npt.NDArray[Any], rule: Mapping[str, Any]) -> None:
        wanted, found = rule["shape"], value.shape[1:]
        shaped = wanted is None or (
            len(found) == len(wanted) and all(b in (-1, a) for a, b in zip(found, wanted, strict=True))
        )
        whole = rule["of"] != CROPS or len(value) in (0, len(self))
        if not (shaped and whole and np.issubdtype(value.dtype, rule["kind"])):
            raise DataError(f"training data: {name} is {value.shape} {value.dtype}, for {len(self)} crops")
        if rule["link"] and value.size and not 0 <= int(value.min()) <= int(value.max()) < len(self):
            wrong = value[(value < 0) | (value >= len(self))][0]
            raise DataError(f"training data: {name} names crop {wrong}, there are {len(self)}")

    def __len__(self) -> int:
        return len(self.images)

    def select(self, rows: Rows) -> Self:
        """Return the crops of a mask (N,) or of row numbers, with the links that all of whose crops are kept."""
        crops = np.arange(len(self))[np.asarray(rows) if len(rows) else slice(0)]
        place = self._places(crops)
        whole = [(place[value] >= 0).all(1) for value in self._links() if len(value)]
        return self._taken(crops, np.flatnonzero(whole[0]) if whole else np.zeros(0, np.int64), place)

    def select_links(self, rows: Rows) -> Self:
        """Return the links ``rows`` in this order, with the crops that they name."""
        links = np.asarray(rows, np.int64)
        crops = np.unique(np.concatenate([value[links].reshape(-1) for value in self._links()]))
        return self._taken(crops, links, self._places(crops))

    def pictures(self, rows: Any) -> Tensor:
        """Return the images of ``rows`` (row numbers of any shape) as float32 in [0, 1], on the CPU."""
        return torch.from_numpy(self.images[np.asarray(rows)]).float() / 255

    def save(self, path: Path, *, overwrite: bool = True) -> None:
        """Write the table as one file that appears whole or not at all.

        Raises:
            OutputExistsError: the file exists and ``overwrite`` is false.
            PhotoError: it cannot be written.
        """
        arrays, described = {}, {}
        for one in fields(self):
            name, value = STORED_AS.get(one.name, one.name), getattr(self, one.name)
            if isinstance(value, Template):
                described[name] = json.dumps(value.to_json())
            elif value.dtype.kind == "U":
                described[name] = json.dumps(value.tolist())
            elif len(value):
                arrays[name] = np.ascontiguousarray(value)
        with replacing(path, overwrite=overwrite) as temporary:
            try:
                save_file(arrays, temporary, described)
            except SafetensorError as error:
                # The library gives the system's error number at the end of its message.
                number = re.search(r"os error (\d+)", str(error))
                raise OSError(int(number[1]) if number else errno.EIO, str(error)) from error

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what ``save`` wrote.

        Raises:
            DataError: the file cannot be read or holds something else.
        """
        try:
            stored = _read(path)
            values = {
                one.name: stored.pop(STORED_AS.get(one.name, one.name))
                for one in fields(cls)
                if STORED_AS.get(one.name, one.name) in stored
            }
            if stored:
                raise ValueError(f"holds {', '.join(sorted(stored))}")
            return cls(**values)
        except UNREADABLE as error:
            raise DataError(f"{path}: not a pack of crops for this training ({error})") from error

    def _links(self) -> list[npt.NDArray[np.int64]]:
        listed = [one for one in fields(self) if one.metadata and one.metadata["link"]]
        return [getattr(self, one.name) for one in listed if one.metadata["of"] == LINKS]

    def _places(self, crops: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the new row number of each crop, -1 for those left out."""
        place = np.full(len(self), -1)
        place[crops] = np.arange(len(crops))
        return place

    def _taken(
        self, crops: npt.NDArray[np.int64], links: npt.NDArray[np.int64], place: npt.NDArray[np.int64]
    ) -> Self:
        rows = {CROPS: crops, LINKS: links}
        changes = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.metadata and one.metadata["of"] in rows and len(value):
                taken = value[rows[one.metadata["of"]]]
                changes[one.name] = place[taken] if one.metadata["link"] else taken
        return replace(self, **changes)


def _read(path: Path) -> dict[str, Any]:
    """Return the arrays, texts and template of a pack by their stored names; raises one of ``UNREADABLE``."""
    # The header is checked first: safetensors would wait for a pipe, and a pack may be too large to be read whole.
    with open_file(path) as file:
        if int.from_bytes(file.read(8), "little") > LARGEST_HEADER:
            raise ValueError(f"a header of more than {LARGEST_HEADER:,} bytes")
    with safe_open(path, framework="np") as stream:
        texts = {name: json.loads(value) for name, value in (stream.metadata() or {}).items()}
        values = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    for name, value in texts.items():
        values[name] = Template.from_json(value) if name == "template" else np.array(value, np.str_)
    return values


@dataclass(frozen=True, eq=False, kw_only=True)
class CropSet(CropTable):
    """Crops of photos in one alignment, and the pairs among them.

    Attributes:
        template: the alignment of all crops.
        own: (N,) bool: aligned by its own face; False for a pair's target, which has its input's alignment.
        paths: (N,) str, the photo.
        pairs: (P, 2) int64: row of the input's own crop, row of the target's crop.
    """

    template: Template
    own: npt.NDArray[np.bool_] = column(np.bool_)
    paths: npt.NDArray[np.str_] = column(np.str_)
    pairs: npt.NDArray[np.int64] = column(np.int64, (2,), of=LINKS, link=True)

    @cached_property
    def neutral(self) -> npt.NDArray[np.int64]:
        """(N,) row of the input whose alignment each crop has: of the person's neutral crop where pairs start there."""
        owner = np.arange(len(self))
        owner[self.pairs[:, 1]] = self.pairs[:, 0]
        return owner

    @property
    def motions(self) -> npt.NDArray[np.float32]:
        """Landmarks minus those of the neutral face, (N, 68, 2) crop pixels."""
        return self.landmarks - self.landmarks[self.neutral]


class _Rows:
    """The growing columns of a crop set; the arrays are as long as they can become."""

    def __init__(self, cropper: Cropper, most: int) -> None:
        size = cropper.template.size
        self.cropper = cropper
        self.images = np.empty((most, 3, size, size), np.uint8)
        self.landmarks = np.full((most, 68, 2), np.nan, np.float32)
        self.samples: list[Sample] = []
        self.own: list[bool] = []

    def add(self, sample: Sample, alignment: Alignment, own: bool) -> int:
        index = len(self.samples)
        self.images[index] = self.cropper.cut(sample.path, alignment)
        points = self.cropper.landmarks(sample, alignment)
        if points is not None:
            self.landmarks[index] = points
        self.samples.append(sample)
        self.own.append(own)
        return index


def make_crop_set(
    samples: Sequence[Sample],
    pairs: Sequence[Pair],
    cropper: Cropper,
    progress: Progress = lambda done, total: None,
) -> tuple[CropSet, list[Skipped]]:
    """Cut every sample by its own face and every pair's target by its input's.

    Memory is 3 S² bytes for each sample and each pair: choose the pairs (``pairs()`` gives all, also between
    two expressions that are not neutral).

    Args:
        samples: the photos to cut by their own face; inputs of ``pairs`` that are not among them are added.
        pairs: the pairs to train on.
        cropper: cuts and caches.
        progress: called with (done, total) after each photo and each pair.

    Returns:
        The crops, and every photo that had to be left out with the reason; pairs with such a photo are left
        out.

    Raises:
        DataError: nothing is left, or the cache folder cannot be written.
    """
    wanted = list(dict.fromkeys([*samples, *(pair.source for pair in pairs)]))
    total = len(wanted) + len(pairs)
    rows = _Rows(cropper, total)
    skipped: dict[Path, str] = {}
    own: dict[Sample, tuple[int, Alignment]] = {}
    by_input: dict[Sample, list[Pair]] = {}
    for pair in pairs:
        by_input.setdefault(pair.source, []).append(pair)
    indices: list[tuple[int, int]] = []
    done = 0
    for sample in wanted:
        try:
            alignment = cropper.align(sample)
            own[sample] = rows.add(sample, alignment, own=True), alignment
        except (PhotoError, NoFaceError) as error:
            skipped[sample.path] = _reason(error, sample.path)
        done += 1
        progress(done, total)
        for pair in by_input.get(sample, ()):
            if sample in own and pair.target.path not in skipped:
                index, alignment = own[sample]
                try:
                    moved = cropper.align_target(pair, alignment)
                    indices.append((index, rows.add(pair.target, moved, own=False)))
                except (PhotoError, NoFaceError) as error:
                    skipped[pair.target.path] = _reason(error, pair.target.path)
            done += 1
            progress(done, total)
    if not rows.samples:
        raise DataError(
            f"none of the {len(wanted)} photos has a usable face; look at what was skipped and why"
        )
    crops = CropSet(
        template=cropper.template,
        images=rows.images[: len(rows.samples)],
        landmarks=rows.landmarks[: len(rows.samples)],
        labels=np.array([sample.expression.label for sample in rows.samples], np.int64),
        own=np.array(rows.own, np.bool_),
        persons=np.array([sample.person for sample in rows.samples]),
        sources=np.array([sample.source for sample in rows.samples]),
        paths=np.array([str(sample.path) for sample in rows.samples]),
        pairs=np.array(indices, np.int64).reshape(-1, 2),
    )
    return crops, [Skipped(path, reason) for path, reason in skipped.items()]


def _reason(error: Exception, path: Path) -> str:
    return str(error).removeprefix(f"{path}: ")
