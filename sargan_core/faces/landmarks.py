"""68 landmarks in iBUG order for a found face: the built-in network, or face-alignment's."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
import numpy.typing as npt
import torch

from sargan_core.device import one_thread
from sargan_core.errors import UsageError, WeightsError
from sargan_core.models.landmarks import SIZE, LandmarkNetwork

if TYPE_CHECKING:
    from sargan_core.faces.find import Face, Pixels

KINDS = ("auto", "builtin", "fan", "detector")
# Where the network's crops put left eye, right eye and mouth, as fractions of its side.
CROP_POINTS = np.array([[0.36, 0.36], [0.64, 0.36], [0.5, 0.65]])
# The first pass corrects the detector's coarse points, the second sees the face where training put it.
PASSES = 2


class LandmarkFinder(Protocol):
    """Finds 68 landmarks of a face that the detector found."""

    def landmarks(self, pixels: Pixels, face: Face) -> npt.NDArray[np.float32]:
        """Return (68, 2) float32 photo pixels, (x, y), in iBUG-68 order."""
        ...


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
        from sargan_core.faces.fan import FanLandmarks

        return FanLandmarks(device)
    raise UsageError(f"unknown landmarks '{kind}'; known: {', '.join(KINDS)}")


class BuiltinLandmarks:
    """The small network that comes with the package.

    Raises:
        WeightsError: its weights are missing or damaged.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._network = _load().to(device)
        self._device = device

    def landmarks(self, pixels: Pixels, face: Face) -> npt.NDArray[np.float32]:
        """Return (68, 2) float32 photo pixels, (x, y), in iBUG-68 order."""
        from sargan_core.faces.align import anchors, apply_matrix, similarity

        points = anchors(face)
        landmarks = np.empty((68, 2))
        for _ in range(PASSES):
            matrix = similarity(CROP_POINTS * SIZE - 0.5, points)
            crop = upright_crop(pixels, matrix)
            batch = torch.from_numpy(np.stack([crop, crop[:, ::-1].copy()]))[:, None].to(self._device)
            with torch.inference_mode(), one_thread():
                straight, mirrored = self._network(batch).cpu().double().numpy()
            mirrored[:, 0] = SIZE - 1 - mirrored[:, 0]
            landmarks = apply_matrix(matrix, (straight + mirrored[list(MIRRORED)]) / 2)
            points = np.stack(
                [landmarks[36:42].mean(0), landmarks[42:48].mean(0), landmarks[[48, 54]].mean(0)]
            )
        return landmarks.astype(np.float32)


# iBUG-68 index of each point after a left-right flip.
MIRRORED = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
    *(64, 63, 62, 61, 60, 67, 66, 65),
)


def upright_crop(
    pixels: Pixels, matrix: npt.NDArray[np.float64], size: int = SIZE
) -> npt.NDArray[np.float32]:
    """Return the (size, size) float32 luminance crop in [0, 1] that ``matrix`` (crop -> photo) describes."""
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]]) @ matrix[:, :2].T + matrix[:, 2]
    height, width = pixels.shape[:2]
    x0, y0 = np.clip(np.floor(corners.min(0)).astype(int), 0, [width - 1, height - 1])
    x1, y1 = np.clip(np.ceil(corners.max(0)).astype(int) + 1, [x0 + 1, y0 + 1], [width, height])
    window = np.ascontiguousarray(pixels[y0:y1, x0:x1])
    factor = max(1, int(np.sqrt(abs(np.linalg.det(matrix[:, :2])))))
    if factor > 1:
        reduced = (max(1, (x1 - x0) // factor), max(1, (y1 - y0) // factor))
        window = cv2.resize(window, reduced, interpolation=cv2.INTER_AREA)
    ratio = np.array([window.shape[1] / (x1 - x0), window.shape[0] / (y1 - y0)])
    luminance = window.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    luminance /= np.iinfo(pixels.dtype).max
    local = matrix.copy()
    local[:, 2] += 0.5 - np.array([x0, y0])
    local *= ratio[:, None]
    local[:, 2] -= 0.5
    crop: npt.NDArray[np.float32] = cv2.warpAffine(
        luminance,
        local,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return crop


@cache
def _load() -> LandmarkNetwork:
    from sargan_core.models.weights import find_record, load_tensors

    network = LandmarkNetwork()
    record = find_record("landmarks")
    tensors = {name: tensor.float() for name, tensor in load_tensors(record).items()}
    missing, unexpected = network.load_state_dict(tensors, strict=False)
    # The counters of batch normalisation serve training only and are not in the file.
    if unexpected or not all(name.endswith("num_batches_tracked") for name in missing):
        raise WeightsError(f"{record.file}: the weights do not fit the landmark network; reinstall sargan")
    return network.eval()
