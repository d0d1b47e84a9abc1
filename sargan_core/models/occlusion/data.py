"""Training pictures: faces of the training sets with drawn objects (``objects``) in front of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sargan_core.data.rendered import ARRAYS, unit_folders
from sargan_core.data.split import Split
from sargan_core.faces.align import similarity
from sargan_core.faces.landmarks import MIRRORED
from sargan_core.models.landmarks.data import KnownFace, known_faces
from sargan_core.models.occlusion.network import TEMPLATE
from sargan_core.models.occlusion.objects import with_distractors, with_objects
from sargan_core.models.occlusion.scene import Scene
from sargan_core.models.occlusion.shapes import Colours, Plane
from sargan_core.photo.archive import open_arrays
from sargan_core.photo.photo import read_photo

# Side of the pictures that views are drawn from, and how much of a face's surroundings they hold: 1 = a view.
SIDE, ROOM = 208, 1.3
# Part of the views that has nothing before the face.
CLEAN = 0.35
# Weight of the unit from which a tongue is seen.
LEAST_TONGUE = 0.15
# Pictures of each kind that are used, every so many.
STEPS = {"rendered, seven": 3, "rendered, single": 2, "transferred": 3}


@dataclass(frozen=True)
class Base:
    """A face with nothing in front of it.

    Attributes:
        picture: (SIDE, SIDE, 3) uint8.
        points: (68, 2) its pixels.
    """

    picture: npt.NDArray[np.uint8]
    points: npt.NDArray[np.float64]


def bases(folders: Sequence[Path]) -> tuple[list[Base], list[Base], Split]:
    """Return the faces of training people, those of test people, and the split; people with glasses are left out."""
    faces, split, _ = known_faces(folders, 0.2)
    covered = _covered(folders)
    bare = [face for face in faces if face.path not in covered]
    chosen, seen = [], dict.fromkeys(STEPS, 0)
    for face in bare:
        kind = next((kind for kind in STEPS if kind in face.title), None)
        if kind is not None:
            seen[kind] += 1
            if seen[kind] % STEPS[kind]:
                continue
        chosen.append(face)
    train, test = set(split.train), set(split.test)
    return (
        [_base(face) for face in chosen if face.person in train],
        [_base(face) for face in chosen if face.person in test],
        split,
    )


def _covered(folders: Sequence[Path]) -> set[Path]:
    """Return the pictures of rendered people with glasses or their tongue out, for which there is no mask."""
    paths: set[Path] = set()
    for folder in unit_folders(folders):
        with open_arrays(folder / ARRAYS) as arrays:
            out = arrays["code"][:, list(arrays["code_names"]).index("tongue_out")] > LEAST_TONGUE
            covered = out | arrays["id_glasses"].astype(bool)[arrays["identity"]]
            paths |= {folder / "images" / str(name) for name in arrays["names"][covered]}
    return paths


def _base(face: KnownFace) -> Base:
    pixels = read_photo(face.path).pixels
    matrix = _matrix(face.points.astype(np.float64), SIDE, ROOM)
    picture = cv2.warpAffine(
        pixels, matrix, (SIDE, SIDE), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
    )
    return Base(np.asarray(picture, np.uint8), face.points @ matrix[:, :2].T + matrix[:, 2])


def _matrix(points: npt.NDArray[np.float64], size: int, room: float) -> npt.NDArray[np.float64]:
    """Return the (2, 3) matrix from pixels of a photo to those of the crop."""
    targets = np.array([TEMPLATE.left_eye, TEMPLATE.right_eye, TEMPLATE.mouth])
    targets = ((targets - 0.5) / room + 0.5) * size - 0.5
    own = np.stack([points[36:42].mean(0), points[42:48].mean(0), points[[48, 54]].mean(0)])
    return similarity(own, targets)


def view(random: np.random.Generator, base: Base) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return one training picture, (S, S, 3) uint8, and its mask of objects, (S, S) uint8 in 0..255."""
    size = TEMPLATE.size
    points = base.points.copy()
    picture = base.picture
    if random.random() < 0.5:
        picture = picture[:, ::-1]
        points = points[list(MIRRORED)] * [-1, 1] + [SIDE - 1, 0]
    matrix = _matrix(points, size, 1.0)
    angle, zoom = random.normal(0, 0.08), np.exp(random.normal(0, 0.08))
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.full(2, (size - 1) / 2)
    linear = turn @ matrix[:, :2]
    shift = turn @ (matrix[:, 2] - middle) + middle + random.normal(0, 0.025 * size, 2)
    matrix = np.concatenate([linear, shift[:, None]], 1)
    seen = cv2.warpAffine(
        np.ascontiguousarray(picture),
        matrix,
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    scene = Scene(seen.astype(np.float32) / 255, points @ linear.T + shift)
    scene = Scene(with_distractors(random, scene), scene.points)
    if random.random() < CLEAN:
        shown: Colours = scene.picture
        label: Plane = np.zeros((size, size), np.float32)
    else:
        shown, label = with_objects(random, scene)
    return _spoilt(random, shown), np.round(label * 255).astype(np.uint8)


def _spoilt(random: np.random.Generator, picture: Colours) -> npt.NDArray[np.uint8]:
    """Return a picture in other light and colours, blurred, noisy, as a JPEG."""
    picture = np.clip(picture, 1e-3, 1) ** np.float32(np.exp(random.normal(0, 0.25)))
    picture = picture * np.float32(np.exp(random.normal(0, 0.2)))
    picture = picture * np.exp(random.normal(0, 0.08, 3)).astype(np.float32)
    draw = random.random()
    if draw < 0.15:
        grey = picture @ np.array([0.299, 0.587, 0.114], np.float32)
        tint = np.exp(random.normal(0, 0.1, 3)) if draw < 0.05 else np.ones(3)
        picture = grey[..., None] * tint.astype(np.float32)
    elif draw < 0.4:
        grey = picture.mean(2, keepdims=True)
        picture = grey + np.float32(random.uniform(0.4, 1.4)) * (picture - grey)
    if random.random() < 0.4:
        picture = cv2.GaussianBlur(picture, (0, 0), random.uniform(0.3, 1.2))
    if random.random() < 0.5:
        picture = picture + random.normal(0, random.uniform(0, 0.05), picture.shape)
    if random.random() < 0.1:
        # The coarse grain of old film.
        grain = cv2.GaussianBlur(random.standard_normal(picture.shape[:2]), (0, 0), random.uniform(0.4, 1.2))
        picture = picture + (random.uniform(0.02, 0.12) * grain / grain.std())[..., None]
    levels = np.clip(np.round(picture * 255), 0, 255).astype(np.uint8)
    if random.random() < 0.5:
        done, coded = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(30, 95))])
        assert done
        levels = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return levels
