"""The landmark network: 68 points from a face crop, small enough for any CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sargan_core.errors import UsageError
from sargan_core.models.layers import convolution, standardised

if TYPE_CHECKING:
    pass
from sargan_core.faces.find import FaceFinder
from sargan_core.faces.landmarks import KINDS, LandmarkFinder

# Where the network's crops put left eye, right eye and mouth, as fractions of its side.
CROP_POINTS = np.array([[0.36, 0.36], [0.64, 0.36], [0.5, 0.65]])


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
        from sargan_core.models.landmarks.builtin import BuiltinLandmarks

        return BuiltinLandmarks(device)
    if kind == "fan":
        from sargan_core.models.landmarks.fan import FanLandmarks

        return FanLandmarks(device)
    raise UsageError(f"unknown landmarks '{kind}'; known: {', '.join(KINDS)}")


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
