"""68 landmarks in iBUG order for a found face: the built-in network, or face-alignment's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
import numpy.typing as npt
import torch

from sargan_core.faces.warp import sample

if TYPE_CHECKING:
    from sargan_core.faces.face import Face, Pixels


KINDS = ("auto", "builtin", "fan", "detector")


class LandmarkFinder(Protocol):
    """Finds 68 landmarks of a face that the detector found."""

    def landmarks(self, pixels: Pixels, face: Face) -> npt.NDArray[np.float32]:
        """Return (68, 2) float32 photo pixels, (x, y), in iBUG-68 order."""
        ...


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


def upright_crop(pixels: Pixels, matrix: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float32]:
    """Return the (size, size) float32 luminance crop in [0, 1] that ``matrix`` (crop -> photo) describes."""
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]]) @ matrix[:, :2].T + matrix[:, 2]
    height, width = pixels.shape[:2]
    x0, y0 = np.clip(np.floor(corners.min(0)).astype(int), 0, [width - 1, height - 1])
    x1, y1 = np.clip(np.ceil(corners.max(0)).astype(int) + 1, [x0 + 1, y0 + 1], [width, height])
    window = pixels[y0:y1, x0:x1]
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
    # Not by OpenCV, which rounds places to a 32nd of a pixel: the last bit of the matrix, which depends on the CPU,
    # would move some of them by that much.
    ticks = np.arange(size)
    across, down = (row[0] * ticks[None] + row[1] * ticks[:, None] + row[2] for row in local)
    where = torch.from_numpy(np.stack([across, down]).astype(np.float32))[None]
    crop: npt.NDArray[np.float32] = sample(torch.from_numpy(luminance)[None, None], where)[0, 0].numpy()
    return crop
