"""All crops of a training run in memory: images, landmarks, people, labels and pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sargan_core.data.crops import Cropper
from sargan_core.data.samples import Pair, Sample, Skipped
from sargan_core.errors import DataError, NoFaceError, PhotoError
from sargan_core.faces.align import Alignment
from sargan_core.faces.face import Template
from sargan_core.outcome import Progress


@dataclass(frozen=True)
class CropSet:
    """Crops ready for training; arrays share their first index i.

    Attributes:
        template: the alignment of all crops.
        images: (N, 3, S, S) uint8 RGB.
        landmarks: (N, 68, 2) float32 crop pixels, (x, y), pixel centres at integers; NaN where unknown.
        labels: (N,) int64, ``Expression.label``.
        own: (N,) bool: aligned by its own face; False for a pair's target, which has its input's alignment.
        persons: (N,) str.
        sources: (N,) str, the data set.
        paths: (N,) str, the photo.
        pairs: (P, 2) int64: index of the input's own crop, index of the target's crop.
    """

    template: Template
    images: npt.NDArray[np.uint8]
    landmarks: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    own: npt.NDArray[np.bool_]
    persons: npt.NDArray[np.str_]
    sources: npt.NDArray[np.str_]
    paths: npt.NDArray[np.str_]
    pairs: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.images)


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
