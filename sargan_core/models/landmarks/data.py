"""The pictures that the landmark networks learn from, and how far each of their points is to be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sargan_core.data.crop_table import CropTable, column
from sargan_core.data.rendered import UnitFaces, read_with_units
from sargan_core.data.samples import SYNTH, TRANSFER, Sample, Skipped
from sargan_core.data.split import Split, split_by_person
from sargan_core.errors import DataError, PhotoError
from sargan_core.expressions import Expression
from sargan_core.outcome import Progress
from sargan_core.photo.photo import MAX_PIXELS, read_photo

# Side of the pictures in training: about 50 pixels between the eyes.
SIDE = 224
# Who set the points of a picture: a hand, a face mesh found in the photo, or the mesh that was rendered.
HAND, FOUND, RENDERED = 0, 1, 2
JAW, BROWS = slice(0, 17), slice(17, 27)
# Factor on the weight of hidden points: they are known, but nothing shows them.
HIDDEN = 0.4
# Weight of a lid unit from which an eye counts as closed.
SHUT = 0.6
# Pictures that the transferred set has of one person and expression.
TAKES = 3


@dataclass(frozen=True, eq=False, kw_only=True)
class LandmarkPictures(CropTable):
    """Luminance pictures (N, 224, 224) with known landmarks.

    Attributes:
        trust: (N, 68) float32, weight of each point in the loss.
        kind: (N,) int64: ``HAND``, ``FOUND`` or ``RENDERED``.
        chances: (N,) float64, how often each picture is drawn, relative.
    """

    trust: npt.NDArray[np.float32] = column(np.float32, (68,))
    kind: npt.NDArray[np.int64] = column(np.int64)
    chances: npt.NDArray[np.float64] = column(np.float64)


@dataclass(frozen=True)
class KnownFace:
    """A picture with known points.

    Attributes:
        path: the picture.
        person: who it shows, unique over all sources.
        points: (68, 2) float32 pixels, pixel centres at integers.
        trust: (68,) float32, weight of each point in the loss.
        kind: ``HAND``, ``FOUND`` or ``RENDERED``.
        chance: how often it is drawn, relative.
        title: its kind, as the card names it.
    """

    path: Path
    person: str
    points: npt.NDArray[np.float32]
    trust: npt.NDArray[np.float32]
    kind: int
    chance: float
    title: str


def known_faces(
    folders: Sequence[Path], test_fraction: float
) -> tuple[list[KnownFace], Split, list[Skipped]]:
    """Return all pictures with known points, the split, and what was left out.

    Raises:
        DataError: no picture with known points.
    """
    sources, sets = read_with_units(folders)
    samples = [sample for sample in sources.samples if sample.known is not None]
    faces = [_of_sample(sample) for sample in samples]
    for units in sets:
        faces += _of_units(units)
    if not faces:
        raise DataError(f"{folders[0]}: no landmarks come with these photos; the landmark networks need them")
    composites = {sample.person for sample in samples if sample.train_only}
    people = [
        Sample(face.path, face.person, Expression.NEUTRAL, "", train_only=face.person in composites)
        for face in faces
    ]
    return faces, split_by_person(people, test_fraction), list(sources.skipped)


def _of_sample(sample: Sample) -> KnownFace:
    trust = np.ones(68, np.float32)
    kind, chance, title = HAND, 4.0, "real, neutral (hand-set points)"
    if sample.source == SYNTH:
        # Their jaw points stay on the mesh instead of the visible outline, and their brow points are on the skin.
        trust[JAW], trust[BROWS] = 0.2, 0.5
        kind, chance, title = RENDERED, 0.45, "rendered, seven expressions"
    elif sample.source == TRANSFER:
        chance, title = 2.0 / TAKES, "real, transferred expression"
    elif sample.expression is not Expression.NEUTRAL:
        # These points come from a face mesh, whose jaw and brows differ from the hand-set ones.
        trust[:] = 0.6
        trust[JAW] = trust[BROWS] = 0.05
        kind, title = FOUND, "real, smiling (mesh points)"
    landmarks = sample.landmarks
    assert landmarks is not None
    return KnownFace(sample.path, sample.person, landmarks, trust, kind, chance, title)


def _of_units(units: UnitFaces) -> list[KnownFace]:
    lids = [index for index, name in enumerate(units.names) if name.startswith("lid_close")]
    shut = units.codes[:, lids].max(1, initial=0) > SHUT
    faces = []
    for index, path in enumerate(units.paths):
        trust = np.ones(68, np.float32)
        trust[JAW], trust[BROWS] = 0.2, 0.6
        trust[~units.visible[index]] *= HIDDEN
        turned = "turned 20 degrees and more" if abs(units.angles[index, 0]) >= 20 else "nearly frontal"
        faces.append(
            KnownFace(
                path,
                units.persons[index],
                units.landmarks[index],
                trust,
                RENDERED,
                1.7 if shut[index] else 1.0,
                f"rendered, single units, {turned}",
            )
        )
    return faces


def read_pictures(
    faces: Sequence[KnownFace],
    skipped: list[Skipped],
    progress: Progress = lambda done, total: None,
    max_pixels: int = MAX_PIXELS,
) -> LandmarkPictures:
    """Return the pictures; those that cannot be read are added to ``skipped``.

    Raises:
        DataError: none can be read.
    """
    images, points, read = [], [], []
    for done, face in enumerate(faces, start=1):
        try:
            pixels = read_photo(face.path, max_pixels=max_pixels).pixels
        except PhotoError as error:
            skipped.append(Skipped(face.path, str(error)))
            continue
        if pixels.dtype == np.uint16:
            pixels = (pixels // 257).astype(np.uint8)
        scale = SIDE / max(pixels.shape[:2])
        size = [max(1, round(side * scale)) for side in pixels.shape[1::-1]]
        grey = cv2.resize(
            cv2.cvtColor(np.ascontiguousarray(pixels, np.uint8), cv2.COLOR_RGB2GRAY),
            size,
            interpolation=cv2.INTER_AREA,
        )
        images.append(np.pad(grey, [(0, SIDE - side) for side in grey.shape], mode="edge"))
        points.append((face.points + 0.5) * scale - 0.5)
        read.append(face)
        progress(done, len(faces))
    if not read:
        raise DataError(f"{faces[0].path}: none of the photos to train on can be read")
    return LandmarkPictures(
        images=np.stack(images),
        landmarks=np.stack(points).astype(np.float32),
        trust=np.stack([face.trust for face in read]),
        kind=np.array([face.kind for face in read]),
        chances=np.array([face.chance for face in read], np.float64),
    )
