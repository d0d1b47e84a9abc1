"""What the encoder learns from: crops of faces with the code of each, exact for rendered people, fitted for photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sargan_core.data.crop_table import CropTable, column
from sargan_core.data.rendered import (
    ARRAYS,
    UNITS,
    UnitFaces,
    read_other_sources,
    read_records,
    read_units,
    unit_folders,
)
from sargan_core.data.samples import SYNTH, Sample, Skipped, pairs
from sargan_core.data.sources import Sources
from sargan_core.data.split import Split, split_by_person
from sargan_core.errors import DataError, PhotoError
from sargan_core.expressions import Expression
from sargan_core.faces.align import similarity
from sargan_core.faces.landmarks import upright_crop
from sargan_core.models.units.face_model import Array, FaceModel
from sargan_core.models.units.fit import TRUST, Expected, bounded_ridge, eye_distance, fit_face, fit_pose
from sargan_core.models.units.network import CROP_POINTS, SIZE
from sargan_core.outcome import Progress
from sargan_core.photo.photo import MAX_PIXELS, read_photo
from sargan_core.units import CODE_NAMES, LARGEST, LOWEST

# Room around the network's crop for shift and scale in training.
MARGIN = 8
SIDE = SIZE + 2 * MARGIN
# Crops that a plan looks at.
FEW = 60
BASIS = "unit_basis.npz"
# Weight in the loss of a code that was fitted to the landmarks of a photo; exact ones have 1.
FITTED_TRUST = 0.4


@dataclass(frozen=True, eq=False, kw_only=True)
class CodedFaces(CropTable):
    """Luminance crops (N, 144, 144) of faces with their codes.

    Attributes:
        code: (N, U) float32.
        trust: (N,) float32, weight of the code in the loss.
        angles: (N, 3) float32 yaw, pitch, roll in degrees in the crop; NaN where they are not known.
    """

    code: npt.NDArray[np.float32] = column(np.float32, (len(CODE_NAMES),))
    trust: npt.NDArray[np.float32] = column(np.float32)
    angles: npt.NDArray[np.float32] = column(np.float32, (3,))


@dataclass(frozen=True)
class _Row:
    path: Path
    person: str
    source: str
    landmarks: Array
    code: Array
    trust: float = 1.0
    angles: Array = field(default_factory=lambda: np.full(3, np.nan))


@dataclass(frozen=True)
class UnitPhotos:
    """What was found in the folders, before any picture is read.

    Attributes:
        rendered: sets of pictures with random codes.
        sources: the other photos.
        records: code and angles of rendered people who pose by name, by ``expression/person``.
        posed: codes (N, U) of these people, by expression; neutral is left out.
        model: the face model.
    """

    rendered: tuple[UnitFaces, ...]
    sources: Sources
    records: Mapping[str, tuple[Array, Array]]
    posed: Mapping[Expression, Array]
    model: FaceModel

    def neutral_landmarks(self, persons: Sequence[str]) -> list[Array]:
        """Return the known landmarks (68, 2) of the neutral photographs of ``persons``."""
        known = set(persons)
        return [
            sample.landmarks.astype(np.float64)
            for sample in self.sources.samples
            if _is_neutral_photo(sample) and sample.person in known and sample.landmarks is not None
        ]

    def rows(self) -> list[_Row]:
        """Return every picture whose code is known or can be fitted."""
        rows = [row for faces in self.rendered for row in _rendered(faces)]
        return [*rows, *self._posed(), *self._photographed()]

    def _posed(self) -> list[_Row]:
        """Return the rendered people who pose by name."""
        rows = []
        for sample in self.sources.samples:
            landmarks = sample.landmarks
            if sample.source != SYNTH or _key(sample) not in self.records or landmarks is None:
                continue
            code, angles = self.records[_key(sample)]
            points = landmarks.astype(np.float64)
            crop_angles = _in_crop(angles, points)
            rows.append(_Row(sample.path, sample.person, SYNTH, points, code, 1.0, crop_angles))
        return rows

    def _photographed(self) -> list[_Row]:
        """Return neutral photos, whose code is 0, and others with a code that is fitted to their landmarks."""
        samples, rows = self.sources.samples, []
        for sample in samples:
            if _is_neutral_photo(sample) and sample.landmarks is not None:
                points = sample.landmarks.astype(np.float64)
                rows.append(
                    _Row(sample.path, sample.person, sample.source, points, np.zeros(len(CODE_NAMES)))
                )
        for pair in pairs(samples):
            one, other = pair.source, pair.target
            if one.expression is not Expression.NEUTRAL or other.source == SYNTH:
                continue
            before, after = (
                (one.landmarks, other.landmarks)
                if pair.still
                else (one.found_landmarks, other.found_landmarks)
            )
            posed = self.posed.get(other.expression)
            if before is None or after is None or posed is None or other.landmarks is None:
                continue
            code = fitted_code(self.model, before.astype(np.float64), after.astype(np.float64), posed)
            points = other.landmarks.astype(np.float64)
            rows.append(_Row(other.path, other.person, other.source, points, code, FITTED_TRUST))
        return rows


def read_unit_photos(folders: Sequence[Path]) -> UnitPhotos:
    """Return what the folders hold: at least one set with ``units.npz``, and rendered people who pose by name.

    Raises:
        DataError: one of these is missing, or something cannot be read.
    """
    homes = unit_folders(folders)
    if not homes:
        raise DataError(f"{folders[0]}: no {ARRAYS} here; the encoder learns from rendered units")
    sources, records = read_other_sources(folders), read_records(folders)
    codes: dict[Expression, list[Array]] = {}
    for sample in sources.samples:
        if sample.source == SYNTH and _key(sample) in records and sample.expression is not Expression.NEUTRAL:
            codes.setdefault(sample.expression, []).append(records[_key(sample)][0])
    if not codes:
        raise DataError(
            f"{folders[0]}: no rendered people who pose the expressions by name; add them with another --data (synth)"
        )
    posed = {expression: np.stack(some) for expression, some in codes.items()}
    rendered = tuple(read_units(home) for home in homes)
    return UnitPhotos(rendered, sources, records, posed, read_basis(homes[0]))


def read_basis(folder: Path) -> FaceModel:
    """Return the face model of a folder of rendered units.

    Raises:
        DataError: it is not there, or its units are others.
    """
    path = folder / BASIS
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if tuple(arrays["names"].tolist()) != CODE_NAMES:
                raise ValueError("other units")
            numbers = {name: arrays[name].astype(np.float64) for name in ("mean", "modes", "offsets")}
            whole = {name: arrays[name].astype(np.int64) for name in ("triangles", "landmarks")}
            return FaceModel(**numbers, **whole)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: no face model can be read ({error}); fetch the data set again") from error


def coded_faces(
    photos: UnitPhotos,
    test_fraction: float,
    max_pixels: int = MAX_PIXELS,
    progress: Progress = lambda done, total: None,
    least: bool = False,
) -> tuple[CodedFaces, Split, list[Skipped]]:
    """Return all crops with their codes, who is held out, and what was left out.

    Args:
        photos: see ``read_unit_photos``.
        test_fraction: part of the people held out.
        max_pixels: photos of more pixels are left out.
        progress: called with (done, total).
        least: cut a few crops only, for a plan.

    Raises:
        DataError: none of the pictures can be read.
    """
    rows = photos.rows()
    split = split_by_person(
        [
            *photos.sources.samples,
            *(Sample(row.path, row.person, Expression.NEUTRAL, UNITS) for row in rows),
        ],
        test_fraction,
    )
    faces, missed = _cut(rows[:: max(1, len(rows) // FEW)] if least else rows, max_pixels, progress)
    return faces, split, [*photos.sources.skipped, *missed]


def encoder_matrix(landmarks: Array) -> Array:
    """Return the (2, 3) matrix from the encoder's crop to the picture of (68, 2) landmarks."""
    anchors = np.stack([landmarks[36:42].mean(0), landmarks[42:48].mean(0), landmarks[[48, 54]].mean(0)])
    return similarity(CROP_POINTS * SIZE - 0.5, anchors)


def _rendered(faces: UnitFaces) -> list[_Row]:
    columns = zip(faces.paths, faces.persons, faces.points, faces.codes, faces.angles, strict=True)
    return [
        _Row(path, person, UNITS, points, code.astype(np.float64), 1.0, _in_crop(angles, points))
        for path, person, points, code, angles in columns
    ]


def _is_neutral_photo(sample: Sample) -> bool:
    return sample.source != SYNTH and sample.expression is Expression.NEUTRAL


def _key(sample: Sample) -> str:
    return f"{sample.path.parent.name}/{sample.path.stem}"


def _in_crop(angles: Array, landmarks: Array) -> Array:
    """Return yaw, pitch and roll (3,) of a head in the encoder's crop, which is rotated upright."""
    matrix = encoder_matrix(landmarks)
    turned = float(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])))
    return angles - [0.0, 0.0, turned]


def _cut(rows: Sequence[_Row], max_pixels: int, progress: Progress) -> tuple[CodedFaces, list[Skipped]]:
    crops, points, kept, skipped = [], [], [], []
    for done, row in enumerate(rows, start=1):
        matrix = encoder_matrix(row.landmarks)
        matrix[:, 2] -= matrix[:, :2] @ [MARGIN, MARGIN]
        try:
            pixels = read_photo(row.path, max_pixels=max_pixels).pixels
        except PhotoError as error:
            skipped.append(Skipped(row.path, str(error)))
            continue
        crops.append((upright_crop(pixels, matrix, SIDE) * 255).round().clip(0, 255).astype(np.uint8))
        points.append((row.landmarks - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T)
        kept.append(row)
        progress(done, len(rows))
    if not kept:
        raise DataError(f"{rows[0].path}: none of the pictures can be read")
    faces = CodedFaces(
        images=np.stack(crops),
        landmarks=np.stack(points).astype(np.float32),
        persons=np.array([row.person for row in kept]),
        sources=np.array([row.source for row in kept]),
        code=np.stack([row.code for row in kept]).astype(np.float32),
        trust=np.array([row.trust for row in kept], np.float32),
        angles=np.stack([row.angles for row in kept]).astype(np.float32),
    )
    return faces, skipped


# Standard deviation of the measured motion of a landmark, as a fraction of the distance between the eyes.
MOTION_NOISE = 0.015
# Standard deviation of a code around the nearest posed one: of the units that the expression uses, and of all others.
SPREAD, SPREAD_OTHERS = 0.3, 0.06
# How often pose and code are fitted in turn.
TURNS = 4
# Strengths at which posed codes are compared with the photo.
STRENGTHS = (0.4, 0.7, 1.0, 1.3)
# Landmarks that move with the head only: ends of the jaw line, nose, corners of the eyes.
STEADY = np.array([0, 1, 2, 14, 15, 16, 27, 28, 29, 30, 33, 36, 39, 42, 45])


def fitted_code(model: FaceModel, before: Array, after: Array, posed: Array) -> Array:
    """Return the code (U,) of a face by comparison with the neutral photo of the same person.

    Args:
        model: the face model.
        before: (68, 2) landmarks of the person's neutral photo.
        after: (68, 2) landmarks of the photo with an expression, found the same way.
        posed: (N, U) codes that people posed for the same expression.
    """
    neutral = fit_face(model, before, _no_expression())
    mean, modes, offsets = model.points
    person = mean + np.tensordot(neutral.identity, modes[: len(neutral.identity)], 1)
    # What the model misses of this person moves with the head.
    missing = (before - neutral.pose.project(person)) @ np.linalg.pinv(neutral.pose.matrix).T
    person = person + missing
    weights = TRUST / (MOTION_NOISE * eye_distance(before)) ** 2
    steady = np.zeros(68)
    steady[STEADY] = 1.0
    pose = fit_pose(person, after, steady)
    motion = after - pose.project(person)
    candidates = np.concatenate([strength * posed for strength in STRENGTHS])
    shown = np.einsum("nu,ulk->nlk", candidates, offsets @ pose.matrix.T)
    error = (((shown - motion) ** 2).sum(2) * weights).sum(1)
    spread = np.where(posed.any(0), SPREAD, SPREAD_OTHERS)
    expected = Expected(candidates[int(error.argmin())], spread, np.array(LOWEST), np.array(LARGEST) * 1.2)
    code = np.clip(expected.code, expected.low, expected.high)
    for _ in range(TURNS):
        pose = fit_pose(person + np.tensordot(code, offsets, 1), after, weights)
        motion = after - pose.project(person)
        columns = (offsets @ pose.matrix.T).reshape(len(offsets), -1).T
        code = bounded_ridge(columns, motion.ravel(), np.repeat(weights, 2), expected, code)
    return code


# Principal components of the landmark offsets that are kept.
COMPONENTS = 12


def landmark_habits(model: FaceModel, faces: Sequence[Array]) -> Array:
    """Return how landmarks of photographs differ from those of the face model, (1 + COMPONENTS, 68, 3).

    Annotators set some points beside the model's vertices, and people differ in ways that its modes do not hold;
    neither must be read as an expression. Residuals of fits without an expression are brought into the model's frame;
    the result is their mean and their principal components in standard deviations. Depth cannot be seen and stays 0.

    Args:
        model: the face model.
        faces: landmarks (68, 2) of neutral, frontal faces.
    """
    residuals = np.zeros((len(faces), 68, 3))
    mean, modes, _ = model.points
    for row, landmarks in enumerate(faces):
        fit = fit_face(model, landmarks, _no_expression())
        person = mean + np.tensordot(fit.identity, modes[: len(fit.identity)], 1)
        residuals[row] = (landmarks - fit.pose.project(person)) @ np.linalg.pinv(fit.pose.matrix).T
    residuals[..., 2] = 0
    average = residuals.mean(0)
    _, sizes, axes = np.linalg.svd((residuals - average).reshape(len(residuals), -1), full_matrices=False)
    scaled = axes[:COMPONENTS] * (sizes[:COMPONENTS, None] / np.sqrt(len(residuals)))
    return np.concatenate([average[None], scaled.reshape(-1, 68, 3)])


def _no_expression() -> Expected:
    zero = np.zeros(len(CODE_NAMES))
    return Expected(zero, zero, zero, zero)
