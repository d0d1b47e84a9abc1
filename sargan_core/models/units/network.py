"""The encoder: a picture of a face and its landmarks become the code of its expression and the head's rotation."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from sargan_core.models.layers import convolution, standardised
from sargan_core.units import CODE_NAMES, LARGEST, LOWEST

# Side of the encoder's crop, and where left eye, right eye and mouth lie in it, as fractions.
SIZE = 128
CROP_POINTS = np.array([[0.36, 0.36], [0.64, 0.36], [0.5, 0.65]])
# A code may go this much beyond what was rendered.
REACH = 1.15
# Degrees that the network calls 1.
DEGREES = 30.0


def code_bounds() -> tuple[Tensor, Tensor]:
    """Return the lowest and the highest value of each entry of a code, (U,) each."""
    return torch.tensor(LOWEST) * REACH, torch.tensor(LARGEST) * REACH


class _Block(nn.Module):
    """Two convolutions with a bypass."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = convolution(channels, channels)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


class UnitEncoder(nn.Module):
    """Input: (B, 1, 128, 128) float32 luminance in [0, 1], a crop whose eyes lie on one level, and (B, 68, 2) landmarks
    in its pixels; landmarks that are all NaN are not known.

    Output: (B, U) code, bounded, and (B, 3) yaw, pitch, roll of the head in the crop, in degrees.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.width = width
        self.trunk = nn.Sequential(
            convolution(1, width // 2, 2, 5),
            convolution(width // 2, width, 2),
            _Block(width),
            convolution(width, 2 * width, 2),
            _Block(2 * width),
            convolution(2 * width, 4 * width, 2),
            _Block(4 * width),
        )
        # Where something is matters as much as what it is, so places are kept: 8 x 8 of few channels.
        self.squeeze = nn.Sequential(nn.Conv2d(4 * width, width, 1), nn.ReLU(), nn.Flatten())
        self.features = nn.Sequential(nn.Linear(64 * width, 8 * width), nn.ReLU(), nn.Dropout(0.2))
        self.points = nn.Sequential(
            nn.Linear(137, 4 * width), nn.ReLU(), nn.Linear(4 * width, 4 * width), nn.ReLU()
        )
        self.mixed = nn.Sequential(nn.Linear(12 * width, 8 * width), nn.ReLU())
        self.head = nn.Linear(8 * width, len(CODE_NAMES) + 3)
        low, high = code_bounds()
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("high", high, persistent=False)

    def answer(self, crops: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor]:
        """Return code and rotation before the code is bounded, which training needs: bounds have no gradient."""
        seen = self.features(self.squeeze(self.trunk(standardised(crops))))
        known = torch.isfinite(landmarks).all(2).all(1, keepdim=True).to(crops)
        centred = torch.nan_to_num((landmarks - (SIZE - 1) / 2) / (SIZE / 4)).flatten(1)
        found = self.head(
            self.mixed(torch.cat([seen, self.points(torch.cat([centred * known, known], 1))], 1))
        )
        return found[:, : len(CODE_NAMES)], found[:, len(CODE_NAMES) :] * DEGREES

    def forward(self, crops: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor]:
        """Return the code and the rotation of each crop."""
        code, angles = self.answer(crops, landmarks)
        return torch.minimum(torch.maximum(code, self.get_buffer("low")), self.get_buffer("high")), angles
