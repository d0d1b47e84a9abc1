"""Aligned crops of training photos, found and cut once and kept in a cache; the alignments that trainings share.

In training a pair shares the *input's* alignment, so that the motion of an expression (a dropped jaw, raised corners of
the mouth) is a motion between the two crops. Between two real photos the head moves too; this motion is removed with a
similarity transform on points that expressions hardly move.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt
import torch

from sargan_core.data.crop_cache import ArrayCache, Arrays, checksum, default_cache
from sargan_core.data.samples import Pair, Sample
from sargan_core.errors import NoFaceError, PhotoError, WeightsError
from sargan_core.faces.align import Alignment, align, extract, similarity, to_square
from sargan_core.faces.face import Face, Template
from sargan_core.faces.landmarks import MIRRORED
from sargan_core.faces.mouth import closed
from sargan_core.models.landmarks.finder import face_finder
from sargan_core.photo.content import largest_file, read_file, reason_of
from sargan_core.photo.photo import MAX_PIXELS, read_photo
from sargan_core.weights import find_record

# Part of every cache key: raise it when a change below changes the crops.
VERSION = 1
# Eye corners and the upper nose bridge, which expressions move least.
STABLE = (36, 39, 42, 45, 27, 28, 29)
EYE_CENTRES = (0, 1)
# Largest value (of 255) of a photo that counts as black.
BLACK = 16

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Crop = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float32]
Shape = npt.NDArray[np.float64]


class Finder(Protocol):
    """Finds faces: ``FaceFinder`` or a stand-in."""

    def find(self, pixels: Pixels) -> list[Face]:
        """Return the faces of an (H, W, 3) photo."""


class Cropper:
    """Cuts aligned crops out of training photos; faces and crops are cached by content.

    Args:
        template: the alignment of the model to be trained.
        landmarks: what finds landmarks, see ``FaceFinder``.
        known_first: align by the landmarks that came with the data set where there are any, instead of by
            landmarks found in the photo. Off by default, because in use a model gets found faces only; known
            landmarks are then used where nothing is found, and to choose among several faces.
        cache: the cache folder; None = the user's.
        finder: what finds faces, instead of ``FaceFinder(landmarks)``; its finds are cached under its class's
            name and ``landmarks``.
        max_pixels: refuse photos of more pixels.

    Raises:
        WeightsError: the landmark network's weights are missing (when the first face is looked for).
    """

    def __init__(
        self,
        template: Template,
        *,
        landmarks: str = "auto",
        known_first: bool = False,
        cache: Path | None = None,
        finder: Finder | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.template = template
        self._kind = landmarks
        self._known_first = known_first
        self._finder = finder
        self._max_pixels = max_pixels
        self._finder_key = _finder_key(landmarks, finder)
        self._cache = ArrayCache(cache or default_cache())
        self._checksums: dict[Path, str] = {}
        self._last: tuple[Path, Pixels] | None = None

    def face(self, sample: Sample) -> Face:
        """Return the face of a training photo: the one at the known landmarks, else the largest.

        Raises:
            PhotoError: the file cannot be read.
            NoFaceError: no face in it and no known landmarks.
        """
        known = None if sample.landmarks is None else face_from_landmarks(sample.landmarks)
        if known is not None and self._known_first:
            return known
        faces = self._faces(sample.path)
        if known is not None:
            middle = known.points.mean(0)
            faces = [face for face in faces if _distance(face, middle) < known.eye_distance]
            return min(faces, key=lambda face: _distance(face, middle), default=known)
        if not faces:
            pixels = self._pixels(sample.path)
            black = pixels.max() < BLACK * (int(np.iinfo(pixels.dtype).max) // 255)
            raise NoFaceError("the photo is black" if black else "no face found")
        return max(faces, key=lambda face: face.box[2] * face.box[3])

    def align(self, sample: Sample) -> Alignment:
        """Return the template fitted to a photo's own face; raises what ``face`` raises."""
        return align(self.face(sample), self.template)

    def align_target(self, pair: Pair, alignment: Alignment) -> Alignment:
        """Return the alignment for cutting a pair's target: the source's, moved along with the head.

        Args:
            pair: the two photos.
            alignment: the source's own alignment.

        Returns:
            Crop -> target photo. For pairs that are still by construction the matrix is the source's; for
            others a similarity transform fitted to eye corners and nose bridge (to the detector's two eyes
            where there are no landmarks) comes in between, refined by registration of the two crops.
        """
        if pair.still:
            return replace(alignment, landmarks=None)
        source, target = self._stable_points(pair)
        motion = to_square(similarity(source.astype(np.float64), target.astype(np.float64)))
        matrix = (motion @ to_square(alignment.matrix))[:2]
        fixed = Alignment(alignment.template, alignment.matrix)
        moving = Alignment(alignment.template, matrix)
        key = checksum(
            *("target", str(VERSION), self._checksum(pair.source.path), self._checksum(pair.target.path)),
            *(_template_key(alignment.template), fixed.matrix.tobytes(), moving.matrix.tobytes()),
        )
        kept = self._cache.load(key)
        if kept is None:
            crops = self.cut(pair.source.path, fixed), self.cut(pair.target.path, moving)
            kept = {"rest": register(*crops, alignment.template)}
            self._cache.store(key, kept)
        matrix = (to_square(matrix) @ to_square(kept["rest"]))[:2]
        return replace(alignment, matrix=matrix, landmarks=None)

    def cut(self, path: Path, alignment: Alignment) -> Crop:
        """Return a photo's crop under any alignment, (3, S, S) uint8 RGB.

        Raises:
            PhotoError: the file cannot be read.
        """
        residual = b"" if alignment.residual is None else alignment.residual.tobytes()
        template = _template_key(alignment.template)
        key = checksum(
            "crop", str(VERSION), self._checksum(path), template, alignment.matrix.tobytes(), residual
        )
        kept = self._cache.load(key)
        size = alignment.template.size
        if kept is not None and kept.get("crop", np.empty(0)).shape == (3, size, size):
            return np.asarray(kept["crop"], dtype=np.uint8)
        image = extract(self._pixels(path), alignment)[0].clamp(0, 1).numpy()
        crop: Crop = np.rint(image * 255).astype(np.uint8)
        self._cache.store(key, {"crop": crop})
        return crop

    def landmarks(self, sample: Sample, alignment: Alignment) -> Points | None:
        """Return (68, 2) float32 landmarks in crop pixels: the known ones, else those found, else None."""
        points = sample.landmarks
        if points is None:
            try:
                points = self.face(sample).landmarks
            except NoFaceError:
                return None
        return None if points is None else points_in_crop(alignment, points)

    def _stable_points(self, pair: Pair) -> tuple[Points, Points]:
        one, other = pair.source.found_landmarks, pair.target.found_landmarks
        if one is None or other is None or pair.source.source != pair.target.source:
            faces = self.face(pair.source), self.face(pair.target)
            one, other = faces[0].landmarks, faces[1].landmarks
            if one is None or other is None:
                return faces[0].points[list(EYE_CENTRES)], faces[1].points[list(EYE_CENTRES)]
        return one[list(STABLE)], other[list(STABLE)]

    def _faces(self, path: Path) -> list[Face]:
        key = checksum("faces", str(VERSION), self._finder_key, self._checksum(path))
        kept = self._cache.load(key)
        if kept is not None:
            return _unpack(kept)
        if self._finder is None:
            self._finder = face_finder(self._kind)
        faces = self._finder.find(self._pixels(path))
        self._cache.store(key, _pack(faces))
        return faces

    def _checksum(self, path: Path) -> str:
        if path not in self._checksums:
            try:
                self._checksums[path] = checksum(read_file(path, largest_file(MAX_PIXELS)))
            except (OSError, ValueError) as error:
                raise PhotoError(f"{path}: cannot be read ({reason_of(error)})") from error
        return self._checksums[path]

    def _pixels(self, path: Path) -> Pixels:
        # A photo is needed several times in a row: for its face, its own crop, its partner's crop.
        if self._last is None or self._last[0] != path:
            self._last = path, read_photo(path, max_pixels=self._max_pixels).pixels
        return self._last[1]


def face_from_landmarks(landmarks: Points) -> Face:
    """Return a face made of (68, 2) landmarks; its points are eye centres, nose tip and mouth corners."""
    corner, opposite = landmarks.min(0), landmarks.max(0)
    points = np.stack(
        [landmarks[36:42].mean(0), landmarks[42:48].mean(0), landmarks[30], landmarks[48], landmarks[54]]
    )
    box = (float(corner[0]), float(corner[1]), float(opposite[0] - corner[0]), float(opposite[1] - corner[1]))
    return Face(box, 1.0, points.astype(np.float32), landmarks.astype(np.float32))


def points_in_crop(alignment: Alignment, points: npt.ArrayLike) -> Points:
    """Return (N, 2) photo points (x, y) as (N, 2) float32 crop pixels."""
    where = torch.from_numpy(np.asarray(points, dtype=np.float32).T.copy())[None, :, :, None]
    inside: Points = alignment.to_crop(where)[0, :, :, 0].T.numpy()
    return inside


def _finder_key(kind: str, finder: Finder | None) -> str:
    """Return a key of the finder and its landmark weights, so that new weights do not use old cache entries."""
    if finder is not None:
        return f"{type(finder).__qualname__}/{kind}"
    try:
        return f"{kind}/{find_record('landmarks').sha256}"
    except WeightsError:
        return kind


def _template_key(template: Template) -> str:
    return json.dumps(template.to_json(), sort_keys=True)


def _distance(face: Face, middle: Points) -> float:
    return float(np.linalg.norm(face.points.mean(0) - middle))


def _pack(faces: Sequence[Face]) -> Arrays:
    none = np.full((68, 2), np.nan, np.float32)
    return {
        "box": np.array([face.box for face in faces], np.float64).reshape(-1, 4),
        "score": np.array([face.score for face in faces], np.float64),
        "points": np.array([face.points for face in faces], np.float32).reshape(-1, 5, 2),
        "landmarks": np.array(
            [none if face.landmarks is None else face.landmarks for face in faces], np.float32
        ).reshape(-1, 68, 2),
    }


def _unpack(arrays: Arrays) -> list[Face]:
    faces = []
    for number, box in enumerate(arrays["box"].tolist()):
        landmarks = arrays["landmarks"][number]
        faces.append(
            Face(
                (box[0], box[1], box[2], box[3]),
                float(arrays["score"][number]),
                arrays["points"][number],
                None if np.isnan(landmarks).any() else landmarks,
                number + 1,
            )
        )
    return faces


# The part of the face that registration compares, from the centre of the eyes, in eye distances: eyes and nose bridge,
# which no expression moves.
ABOVE, BELOW, ASIDE = 0.3, 0.7, 0.95
# Largest motion of the eyes, in eye distances, that registration may find.
FARTHEST = 0.12
ITERATIONS, ENOUGH, BLUR = 50, 1e-4, 5


def register(
    fixed: npt.NDArray[np.uint8], moving: npt.NDArray[np.uint8], template: Template
) -> npt.NDArray[np.float64]:
    """Return the small rotation and shift that maps points of one crop to the same points of another.

    Maximises the correlation of the two grey crops around the eyes and the nose bridge (Evangelidis &
    Psarakis 2008, as in ``cv2.findTransformECC``), which finds to a fraction of a pixel what landmarks only
    find to one or two.

    Args:
        fixed: (3, S, S) uint8 crop of the input.
        moving: (3, S, S) uint8 crop of the target, already within a few pixels.
        template: the alignment of both.

    Returns:
        (2, 3) float64, pixels of ``fixed`` -> pixels of ``moving``; the identity where nothing plausible was
        found.
    """
    still = np.eye(2, 3)
    left, right = template.pixels()[:2]
    distance = float(np.linalg.norm(right - left))
    middle = (left + right) / 2
    top, bottom = middle[1] - ABOVE * distance, middle[1] + BELOW * distance
    start, end = middle[0] - ASIDE * distance, middle[0] + ASIDE * distance
    mask = np.zeros(fixed.shape[1:], np.uint8)
    mask[max(0, round(top)) : round(bottom) + 1, max(0, round(start)) : round(end) + 1] = 255
    grey = [np.ascontiguousarray(crop.mean(0, dtype=np.float32)) for crop in (fixed, moving)]
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ITERATIONS, ENOUGH)
    try:
        _, found = cv2.findTransformECC(
            grey[0], grey[1], still.astype(np.float32), cv2.MOTION_EUCLIDEAN, criteria, mask, BLUR
        )
    except cv2.error:
        # No contrast, or no convergence: the alignment by landmarks is used.
        return still
    motion = np.asarray(found, dtype=np.float64)
    eyes = np.stack([left, right])
    moved = eyes @ motion[:, :2].T + motion[:, 2]
    if not np.linalg.norm(moved - eyes, axis=1).max() < FARTHEST * distance:
        return still
    return motion


# Places of eyes and mouth in the shared alignments, as fractions of the crop's side; there is room for a dropped jaw.
EYES_AND_MOUTH = ((0.355, 0.32), (0.645, 0.32), (0.5, 0.635))


def affine_template(size: int) -> Template:
    """Return the alignment by eyes and mouth, for crops of ``size`` pixels."""
    return Template(size, "affine", *EYES_AND_MOUTH)


def spline_template(shape: Shape, size: int) -> Template:
    """Return the alignment of all landmarks with ``shape``, (68, 2) pixels of crops of ``size``."""
    fractions = (shape + 0.5) / size
    return Template(size, "spline", *EYES_AND_MOUTH, tuple((float(x), float(y)) for x, y in fractions))


def symmetric(shape: Shape, size: int) -> Shape:
    """Return the mean of a face's landmarks and their mirror image, (68, 2) pixels of a crop of ``size``.

    Where the lips cross, they are brought together.
    """
    mirrored = shape[list(MIRRORED)] * [-1, 1] + [size - 1, 0]
    return closed((shape + mirrored) / 2)
