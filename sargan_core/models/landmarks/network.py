"""The two landmark networks: all 68 points of a face crop, then lips, lids and brows again from closer by."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sargan_core.models.layers import convolution, standardised

POINTS = 68
# Side of the first network's crop, in pixels.
SIZE = 112
# Where its crops put left eye, right eye and mouth, as fractions of the side.
CROP_POINTS = ((0.36, 0.36), (0.64, 0.36), (0.5, 0.65))
# Sides of the second network's crops of mouth and eye.
PATCH = 64
MOUTH_POINTS = tuple(range(48, 68))
# Brow and eye on the left of the picture; those on the right are looked at as mirror images.
EYE_POINTS = (*range(17, 22), *range(36, 42))


class _Place(nn.Module):
    """Reads heat maps (B, K, S, S) out as the places of their mass, (B, K, 2) pixels of the crop."""

    def __init__(self, size: int, cells: int) -> None:
        super().__init__()
        ticks = (torch.arange(cells, dtype=torch.float32) + 0.5) * size / cells - 0.5
        self.register_buffer("ticks", ticks, persistent=False)

    def forward(self, heat: Tensor) -> Tensor:
        share = torch.softmax(heat.flatten(2), dim=2).view(heat.shape)
        ticks = self.ticks
        assert isinstance(ticks, Tensor)
        return torch.stack([(share.sum(2) * ticks).sum(2), (share.sum(3) * ticks).sum(2)], dim=2)


class FaceNetwork(nn.Module):
    """Heat maps of 68 points on a 28 x 28 grid, read out by soft-argmax.

    Input: (B, 1, 112, 112) float32 luminance in [0, 1], a crop whose eyes lie on one level, 0.28 of its side apart.
    Output: (B, 68, 2) float32 crop pixels, (x, y), pixel centres at integers, iBUG-68 order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.at_28 = nn.Sequential(convolution(1, 24, 2, 5), convolution(24, 40, 2), convolution(40, 40))
        self.at_14 = nn.Sequential(convolution(40, 80, 2), convolution(80, 80), convolution(80, 80))
        self.at_7 = nn.Sequential(convolution(80, 160, 2), convolution(160, 160), convolution(160, 160))
        self.at_7_again = nn.Sequential(convolution(160, 160), convolution(160, 160))
        self.up_14 = convolution(160 + 80, 80)
        self.up_28 = convolution(80 + 40, 56)
        self.heat = nn.Conv2d(56, POINTS, 1)
        self.place = _Place(SIZE, 28)

    def forward(self, crops: Tensor) -> Tensor:
        """Return the landmarks of each crop."""
        half = self.at_28(standardised(crops))
        quarter = self.at_14(half)
        eighth = self.at_7(quarter)
        eighth = eighth + self.at_7_again(eighth)
        quarter = self.up_14(torch.cat([functional.interpolate(eighth, scale_factor=2.0), quarter], 1))
        half = self.up_28(torch.cat([functional.interpolate(quarter, scale_factor=2.0), half], 1))
        places: Tensor = self.place(self.heat(half))
        return places


class PatchNetwork(nn.Module):
    """Heat maps of a few points on a 16 x 16 grid of a part of the face.

    Input: (B, 1, 64, 64) float32 luminance in [0, 1]. Output: (B, K, 2) float32 crop pixels.

    Args:
        points: how many points, K.
    """

    def __init__(self, points: int) -> None:
        super().__init__()
        self.at_16 = nn.Sequential(convolution(1, 24, 2, 5), convolution(24, 32, 2), convolution(32, 32))
        self.at_8 = nn.Sequential(convolution(32, 64, 2), convolution(64, 64))
        self.at_4 = nn.Sequential(convolution(64, 96, 2), convolution(96, 96), convolution(96, 96))
        self.up_8 = convolution(96 + 64, 64)
        self.up_16 = convolution(64 + 32, 48)
        self.heat = nn.Conv2d(48, points, 1)
        self.place = _Place(PATCH, 16)

    def forward(self, crops: Tensor) -> Tensor:
        """Return the points of each crop."""
        half = self.at_16(standardised(crops))
        quarter = self.at_8(half)
        eighth = self.at_4(quarter)
        quarter = self.up_8(torch.cat([functional.interpolate(eighth, scale_factor=2.0), quarter], 1))
        half = self.up_16(torch.cat([functional.interpolate(quarter, scale_factor=2.0), half], 1))
        places: Tensor = self.place(self.heat(half))
        return places


class LandmarkNetworks(nn.Module):
    """What is trained and shipped together.

    Attributes:
        face: all points.
        mouth: ``MOUTH_POINTS`` of a crop of the mouth.
        eye: ``EYE_POINTS`` of a crop of the eye on the left of the picture, or of the mirror image of the other one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.face = FaceNetwork()
        self.mouth = PatchNetwork(len(MOUTH_POINTS))
        self.eye = PatchNetwork(len(EYE_POINTS))


def mouth_frame(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return centre (B, 2) and side (B,) of the mouth's crop for (B, 68, 2) points of an upright face."""
    lips = points[:, 48:68]
    low, high = lips.amin(1), lips.amax(1)
    extent = (high - low).amax(1)
    return (low + high) / 2, 1.6 * torch.maximum(extent, 0.75 * eye_distance(points))


def eye_frame(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return centre and side of the crop of brow and eye on the left of the picture, as ``mouth_frame``."""
    part = points[:, list(EYE_POINTS)]
    return (part.amin(1) + part.amax(1)) / 2, 1.2 * eye_distance(points)


def eye_distance(points: Tensor) -> Tensor:
    """Return (B,) distances of the middles of both eyes, at least a share of the distance from eyes to mouth."""
    left, right = points[:, 36:42].mean(1), points[:, 42:48].mean(1)
    mouth = points[:, 48:60].mean(1)
    # A head that is turned far has eyes that lie near each other.
    return torch.maximum((right - left).norm(dim=1), 0.8 * (mouth - (left + right) / 2).norm(dim=1))
