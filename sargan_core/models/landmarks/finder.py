"""Find faces and their 68 landmarks: with the networks that come with the package, or with others."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from sargan_core.device import one_thread
from sargan_core.errors import UsageError, WeightsError
from sargan_core.faces.find import FaceFinder
from sargan_core.faces.landmarks import KINDS, MIRRORED, LandmarkFinder, upright_crop
from sargan_core.models.landmarks.network import (
    CROP_POINTS,
    EYE_POINTS,
    MOUTH_POINTS,
    PATCH,
    SIZE,
    LandmarkNetworks,
    eye_frame,
    mouth_frame,
)
from sargan_core.models.layers import for_inference

if TYPE_CHECKING:
    from sargan_core.faces.face import Face, Pixels

Array = npt.NDArray[np.float64]

# Passes over the face: the first corrects the detector's coarse points, so that the second crop is as in training.
PASSES = 2
# Index of each mouth point after a left-right flip, in ``MOUTH_POINTS``.
MOUTH_MIRRORED = [MOUTH_POINTS.index(MIRRORED[point]) for point in MOUTH_POINTS]


def face_finder(landmarks: str = "auto", device: str = "cpu") -> FaceFinder:
    """Return a finder of faces and of their landmarks; build it once and use it for many photos.

    Args:
        landmarks: ``auto`` (the built-in network), ``builtin``, ``fan`` (face-alignment, its weights must be there) or
            ``detector`` (only the five points).
        device: where the landmark network runs.

    Raises:
        WeightsError: the landmark network's weights are missing or damaged.
        UsageError: unknown kind of landmarks.
    """
    return FaceFinder(landmark_finder(landmarks, device))


def landmark_finder(kind: str, device: str) -> LandmarkFinder | None:
    """Return the finder that ``kind`` names, None for ``detector``.

    Raises:
        UsageError: no such kind.
        WeightsError: its weights are missing or damaged.
    """
    if kind == "detector":
        return None
    if kind in ("auto", "builtin"):
        return BuiltinLandmarks(device)
    if kind == "fan":
        from sargan_core.models.landmarks.fan import FanLandmarks

        return FanLandmarks(device)
    raise UsageError(f"unknown landmarks '{kind}'; known: {', '.join(KINDS)}")


class BuiltinLandmarks:
    """The small networks that come with the package.

    Args:
        device: where they run.
        networks: others than those.

    Raises:
        WeightsError: their weights are missing or damaged.
    """

    def __init__(self, device: str = "cpu", networks: LandmarkNetworks | None = None) -> None:
        self._networks = (networks or _load()).to(device)
        self._device = device

    def landmarks(self, pixels: Pixels, face: Face) -> npt.NDArray[np.float32]:
        """Return (68, 2) float32 photo pixels, (x, y), in iBUG-68 order."""
        from sargan_core.faces.align import anchors, apply_matrix, similarity

        points = anchors(face)
        with torch.inference_mode(), one_thread():
            for _ in range(PASSES):
                matrix = similarity(np.array(CROP_POINTS) * SIZE - 0.5, points)
                (level,) = self._points(self._networks.face, upright_crop(pixels, matrix, SIZE))
                landmarks = apply_matrix(matrix, level)
                points = np.stack(
                    [landmarks[36:42].mean(0), landmarks[42:48].mean(0), landmarks[[48, 54]].mean(0)]
                )
            level = self._closer(pixels, matrix, level)
        return apply_matrix(matrix, level).astype(np.float32)

    def _closer(self, pixels: Pixels, matrix: Array, level: Array) -> Array:
        """Return ``level`` (68, 2) with the points of mouth, eyes and brows as crops of these show them."""
        result = level.copy()
        inner = _frame(mouth_frame, level)
        patch = upright_crop(pixels, _compose(matrix, inner), PATCH)
        straight, mirrored = self._points(self._networks.mouth, patch, patch[:, ::-1])
        mirrored[:, 0] = PATCH - 1 - mirrored[:, 0]
        mouth = (straight + mirrored[MOUTH_MIRRORED]) / 2
        result[list(MOUTH_POINTS)] = mouth @ inner[:, :2].T + inner[:, 2]

        flip = np.array([[-1.0, 0.0, SIZE - 1.0], [0.0, 1.0, 0.0]])
        frames = [_frame(eye_frame, level), _frame(eye_frame, _mirror(level))]
        outers = [matrix, _compose(matrix, flip)]
        patches = [
            upright_crop(pixels, _compose(outer, frame), PATCH)
            for outer, frame in zip(outers, frames, strict=True)
        ]
        left, right = (
            found @ frame[:, :2].T + frame[:, 2]
            for found, frame in zip(self._points(self._networks.eye, *patches), frames, strict=True)
        )
        result[list(EYE_POINTS)] = left
        right[:, 0] = SIZE - 1 - right[:, 0]
        result[[MIRRORED[point] for point in EYE_POINTS]] = right
        return result

    def _points(self, network: torch.nn.Module, *patches: npt.NDArray[np.float32]) -> list[Array]:
        batch = torch.from_numpy(np.stack(patches))[:, None].to(self._device)
        return list(network(batch).cpu().double().numpy())


def _mirror(level: Array) -> Array:
    """Return the points of the mirror image of a first crop, in their own order."""
    mirrored = level[list(MIRRORED)]
    mirrored[:, 0] = SIZE - 1 - mirrored[:, 0]
    return mirrored


def _frame(frame: object, level: Array) -> Array:
    """Return (2, 3) from pixels of a ``PATCH`` to those of the first crop."""
    assert callable(frame)
    centre, side = frame(torch.from_numpy(level)[None])
    scale = float(side[0]) / PATCH
    matrix = np.zeros((2, 3))
    matrix[0, 0] = matrix[1, 1] = scale
    matrix[:, 2] = centre[0].numpy() - (PATCH - 1) / 2 * scale
    return matrix


def _compose(outer: Array, inner: Array) -> Array:
    """Return (2, 3): ``inner`` first, then ``outer``."""
    linear: Array = outer[:, :2] @ inner
    linear[:, 2] += outer[:, 2]
    return linear


@cache
def _load() -> LandmarkNetworks:
    from sargan_core.weights import find_record, load_tensors

    networks = LandmarkNetworks()
    record = find_record("landmarks")
    tensors = {name: tensor.float() for name, tensor in load_tensors(record).items()}
    missing, unexpected = networks.load_state_dict(tensors, strict=False)
    # The counters of batch normalisation serve training only and are not in the file.
    if unexpected or not all(name.endswith("num_batches_tracked") for name in missing):
        raise WeightsError(f"{record.file}: the weights do not fit the landmark networks; reinstall sargan")
    networks.eval()
    for_inference(networks)
    return networks
