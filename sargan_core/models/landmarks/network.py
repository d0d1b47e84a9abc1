"""The landmark network: 68 points from a face crop, small enough for any CPU."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from sargan_core.device import one_thread
from sargan_core.errors import UsageError, WeightsError
from sargan_core.models.layers import convolution, standardised

if TYPE_CHECKING:
    from sargan_core.faces.face import Face, Pixels
from sargan_core.faces.find import FaceFinder
from sargan_core.faces.landmarks import KINDS, MIRRORED, LandmarkFinder, upright_crop

# Where the network's crops put left eye, right eye and mouth, as fractions of its side.
CROP_POINTS = np.array([[0.36, 0.36], [0.64, 0.36], [0.5, 0.65]])


# The first pass corrects the detector's coarse points, the second sees the face where training put it.
PASSES = 2


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
            crop = upright_crop(pixels, matrix, SIZE)
            batch = torch.from_numpy(np.stack([crop, crop[:, ::-1].copy()]))[:, None].to(self._device)
            with torch.inference_mode(), one_thread():
                straight, mirrored = self._network(batch).cpu().double().numpy()
            mirrored[:, 0] = SIZE - 1 - mirrored[:, 0]
            landmarks = apply_matrix(matrix, (straight + mirrored[list(MIRRORED)]) / 2)
            points = np.stack(
                [landmarks[36:42].mean(0), landmarks[42:48].mean(0), landmarks[[48, 54]].mean(0)]
            )
        return landmarks.astype(np.float32)


@cache
def _load() -> LandmarkNetwork:
    from sargan_core.weights import find_record, load_tensors

    network = LandmarkNetwork()
    record = find_record("landmarks")
    tensors = {name: tensor.float() for name, tensor in load_tensors(record).items()}
    missing, unexpected = network.load_state_dict(tensors, strict=False)
    # The counters of batch normalisation serve training only and are not in the file.
    if unexpected or not all(name.endswith("num_batches_tracked") for name in missing):
        raise WeightsError(f"{record.file}: the weights do not fit the landmark network; reinstall sargan")
    return network.eval()


POINTS = 68


SIZE = 112


CELLS = 28


class LandmarkNetwork(nn.Module):
    """Heat maps of 68 points on a 28 x 28 grid, read out by soft-argmax.

    Input: (B, 1, 112, 112) float32 luminance in [0, 1], a crop whose eyes lie on one level, 0.28 of its side apart.
    Output: (B, 68, 2) float32 crop pixels, (x, y), pixel centres at integers, iBUG-68 order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.at_28 = nn.Sequential(convolution(1, 16, 2, 5), convolution(16, 32, 2), convolution(32, 32))
        self.at_14 = nn.Sequential(convolution(32, 64, 2), convolution(64, 64))
        self.at_7 = nn.Sequential(convolution(64, 128, 2), convolution(128, 128), convolution(128, 128))
        self.up_14 = convolution(128 + 64, 64)
        self.up_28 = convolution(64 + 32, 64)
        self.heat = nn.Conv2d(64, POINTS, 1)
        ticks = (torch.arange(CELLS, dtype=torch.float32) + 0.5) * SIZE / CELLS - 0.5
        self.register_buffer("ticks", ticks, persistent=False)

    def forward(self, crops: Tensor) -> Tensor:
        """Return the landmarks of each crop."""
        half = self.at_28(standardised(crops))
        quarter = self.at_14(half)
        eighth = self.at_7(quarter)
        quarter = self.up_14(torch.cat([functional.interpolate(eighth, scale_factor=2.0), quarter], 1))
        half = self.up_28(torch.cat([functional.interpolate(quarter, scale_factor=2.0), half], 1))
        share = torch.softmax(self.heat(half).flatten(2), dim=2).view(-1, POINTS, CELLS, CELLS)
        ticks = self.ticks
        assert isinstance(ticks, Tensor)
        return torch.stack([(share.sum(2) * ticks).sum(2), (share.sum(3) * ticks).sum(2)], dim=2)
