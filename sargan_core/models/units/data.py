"""What the encoder learns from: crops of faces with the code of each, exact for rendered people, fitted for photos."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sargan_core.data.crop_table import CropTable, column
from sargan_core.data.samples import SYNTH, Sample, Skipped, pairs
from sargan_core.data.sources import read_sources
from sargan_core.data.split import Split, split_by_person
from sargan_core.errors import DataError, PhotoError
from sargan_core.expressions import Expression
from sargan_core.faces.align import similarity
from sargan_core.faces.landmarks import upright_crop
from sargan_core.models.units.face_model import Array, FaceModel
from sargan_core.models.units.network import CROP_POINTS, SIZE
from sargan_core.models.units.pairs import fitted_code
from sargan_core.photo.photo import MAX_PIXELS, read_photo
from sargan_core.progress import Progress
from sargan_core.units import CODE_NAMES

# Room around the network's crop for shift and scale in training.
MARGIN = 8
SIDE = SIZE + 2 * MARGIN
# Crops that a plan looks at.
FEW = 60
ARRAYS, BASIS, RECORDS = "units.npz", "unit_basis.npz", "meta.csv"
# How much a code that was fitted to landmarks of a photo counts beside an exact one.
FITTED_TRUST = 0.4
# Sculpted units by the names that records of rendered people have for them.
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


@dataclass(frozen=True, eq=False, kw_only=True)
class CodedFaces(CropTable):
    """Luminance crops (N, 144, 144) of faces with their codes.

    Attributes:
        code: (N, U) float32.
        trust: (N,) float32, how much the code counts.
        angles: (N, 3) float32 yaw, pitch, roll in degrees in the crop; NaN where they are not known.
        number: (N,) int64; rows with the same number >= 0 have one code on two people.
    """

    code: npt.NDArray[np.float32] = column(np.float32, (len(CODE_NAMES),))
    trust: npt.NDArray[np.float32] = column(np.float32)
    angles: npt.NDArray[np.float32] = column(np.float32, (3,))
    number: npt.NDArray[np.int64] = column(np.int64)


@dataclass
class _Row:
    path: Path
    landmarks: Array
    code: Array
    trust: float
    angles: Array
    number: int
    person: str
    kind: str


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
    folders: Sequence[Path],
    test_fraction: float,
    max_pixels: int = MAX_PIXELS,
    progress: Progress = lambda done, total: None,
    least: bool = False,
) -> tuple[CodedFaces, Split, FaceModel, list[Skipped]]:
    """Return all crops with their codes, who is held out, the face model, and what was left out.

    Args:
        folders: one with ``units.npz`` and any with labelled photos.
        test_fraction: part of the people held out.
        max_pixels: photos of more are left out.
        progress: called with (done, total).
        least: cut a few crops only, for a plan.

    Raises:
        DataError: no folder of rendered units, or nothing in the others.
    """
    homes = [folder for folder in folders if (folder / ARRAYS).is_file()]
    if not homes:
        raise DataError(f"{folders[0]}: no {ARRAYS} here; the encoder learns from rendered units")
    model = read_basis(homes[0])
    photos = [folder for folder in folders if folder not in homes]
    found = read_sources(photos) if photos else None
    samples = found.samples if found else ()
    rows = [row for home in homes for row in _rendered(home)]
    records = _records(photos)
    rows += _posed(samples, records)
    rows += _photographed(samples, model, _by_expression(samples, records))
    split = split_by_person(
        [*samples, *(Sample(row.path, row.person, Expression.NEUTRAL, "units") for row in rows)],
        test_fraction,
    )
    skipped = list(found.skipped) if found else []
    faces, missed = _cut(rows[:: max(1, len(rows) // FEW)] if least else rows, max_pixels, progress)
    return faces, split, model, skipped + missed


def encoder_matrix(landmarks: Array) -> Array:
    """Return the (2, 3) matrix from the encoder's crop to the picture of (68, 2) landmarks."""
    anchors = np.stack([landmarks[36:42].mean(0), landmarks[42:48].mean(0), landmarks[[48, 54]].mean(0)])
    return similarity(CROP_POINTS * SIZE - 0.5, anchors)


def _rendered(home: Path) -> list[_Row]:
    with np.load(home / ARRAYS, allow_pickle=False) as arrays:
        values = {
            name: arrays[name] for name in ("names", "id", "identity", "code", "code_id", "landmarks", "pose")
        }
    rows = []
    for index, name in enumerate(values["names"]):
        landmarks = values["landmarks"][index].astype(np.float64) - 0.5
        angles = _in_crop(values["pose"][index].astype(np.float64), landmarks)
        person = f"units-{values['id'][values['identity'][index]]}"
        code = values["code"][index].astype(np.float64)
        number = int(values["code_id"][index])
        rows.append(_Row(home / "images" / str(name), landmarks, code, 1.0, angles, number, person, "units"))
    return rows


def _records(folders: Sequence[Path]) -> dict[str, tuple[Array, Array]]:
    """Return code and pose of rendered people of posed expressions, by ``expression/person``."""
    records: dict[str, tuple[Array, Array]] = {}
    for path in (folder / RECORDS for folder in folders):
        if not path.is_file():
            continue
        try:
            with path.open(newline="", encoding="utf-8") as stream:
                for line in csv.DictReader(stream):
                    if "units" in line and "yaw" in line:
                        pose = np.array([float(line[name]) for name in ("yaw", "pitch", "roll")])
                        records[f"{line['expression']}/{line['id']}"] = sculpted_code(line["units"]), pose
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{path}: cannot be read ({error}); fetch the data set again") from error
    return records


def codes_by_expression(folders: Sequence[Path]) -> dict[Expression, Array]:
    """Return the codes (N, U) that rendered people posed for each expression.

    Raises:
        DataError: there are no such people.
    """
    photos = [folder for folder in folders if not (folder / ARRAYS).is_file()]
    samples = read_sources(photos).samples if photos else ()
    codes = _by_expression(samples, _records(photos))
    if not codes:
        raise DataError(
            f"{folders[0]}: no rendered people who pose the expressions by name; add them with another --data (synth)"
        )
    return codes


def _by_expression(
    samples: Sequence[Sample], records: dict[str, tuple[Array, Array]]
) -> dict[Expression, Array]:
    codes: dict[Expression, list[Array]] = {}
    for sample in samples:
        if sample.source == SYNTH and _key(sample) in records and sample.expression is not Expression.NEUTRAL:
            codes.setdefault(sample.expression, []).append(records[_key(sample)][0])
    return {expression: np.stack(some) for expression, some in codes.items()}


def _key(sample: Sample) -> str:
    return f"{sample.path.parent.name}/{sample.path.stem}"


def _posed(samples: Sequence[Sample], records: dict[str, tuple[Array, Array]]) -> list[_Row]:
    """Return the rendered people of seven posed expressions, whose records name the sculpted units."""
    rows = []
    for sample in samples:
        landmarks = sample.landmarks
        if sample.source != SYNTH or _key(sample) not in records or landmarks is None:
            continue
        code, pose = records[_key(sample)]
        points = landmarks.astype(np.float64)
        rows.append(_Row(sample.path, points, code, 1.0, _in_crop(pose, points), -1, sample.person, SYNTH))
    return rows


def sculpted_code(text: str) -> Array:
    """Return the code (U,) of a record such as ``eye-left-slit=0.2;mouth-open=0.1``."""
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


def _photographed(samples: Sequence[Sample], model: FaceModel, known: dict[Expression, Array]) -> list[_Row]:
    """Return neutral photos, whose code is 0, and others with the code that their landmarks ask for."""
    unknown = np.full(3, np.nan)
    nothing = np.zeros(len(CODE_NAMES))
    rows = []
    for sample in samples:
        if (
            sample.source != SYNTH
            and sample.expression is Expression.NEUTRAL
            and sample.landmarks is not None
        ):
            landmarks = sample.landmarks.astype(np.float64)
            rows.append(_Row(sample.path, landmarks, nothing, 1.0, unknown, -1, sample.person, sample.source))
    for pair in pairs(samples):
        one, other = pair.source, pair.target
        if one.expression is not Expression.NEUTRAL or other.source == SYNTH or other.expression not in known:
            continue
        before, after = (
            (one.landmarks, other.landmarks) if pair.still else (one.found_landmarks, other.found_landmarks)
        )
        if before is None or after is None or other.landmarks is None:
            continue
        code = fitted_code(
            model, before.astype(np.float64), after.astype(np.float64), known[other.expression]
        )
        landmarks = other.landmarks.astype(np.float64)
        rows.append(_Row(other.path, landmarks, code, FITTED_TRUST, unknown, -1, other.person, other.source))
    return rows


def _in_crop(angles: Array, landmarks: Array) -> Array:
    """Return yaw, pitch and roll (3,) of a head as it is seen in the encoder's crop, which is turned upright."""
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
        code=np.stack([row.code for row in kept]).astype(np.float32),
        trust=np.array([row.trust for row in kept], np.float32),
        angles=np.stack([row.angles for row in kept]).astype(np.float32),
        number=np.array([row.number for row in kept]),
        persons=np.array([row.person for row in kept]),
        sources=np.array([row.kind for row in kept]),
    )
    return faces, skipped
