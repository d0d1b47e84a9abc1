"""The neutral network: how far a face's expression has moved its 68 landmarks away from where they rest.

Ours. It is what makes an expression that is read off one person's landmarks free of that person's own shape: the leak
warning of docs/papers.md 3.4. Landmarks alone cannot tell a wide mouth from a smiling one; the picture can.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sargan_core.faces.align import anchors, apply_matrix, similarity
from sargan_core.faces.find import Face, Pixels
from sargan_core.faces.landmarks import CROP_POINTS, MIRRORED, upright_crop
from sargan_core.models.landmarks import POINTS, SIZE, LandmarkNetwork
from sargan_core.models.layers import standardised

FEATURES = 128
# The head answers in units of about this many crop pixels, so that its numbers are of the order of 1.
UNIT = 4.0


class NeutralNetwork(nn.Module):
    """The trunk of the landmark network with a head that answers with motions.

    Input: (B, 1, 112, 112) float32 luminance in [0, 1], crops as of ``LandmarkNetwork``, and (B, 68, 2) landmarks in
    their pixels. Output: (B, 68, 2) float32 crop pixels, landmark minus the same landmark of the neutral face.
    """

    def __init__(self) -> None:
        super().__init__()
        trunk = LandmarkNetwork()
        self.at_28, self.at_14, self.at_7 = trunk.at_28, trunk.at_14, trunk.at_7
        self.squeeze = nn.Sequential(nn.Conv2d(128, 48, 1), nn.ReLU())
        self.features = nn.Sequential(nn.Linear(48 * 7 * 7, FEATURES), nn.ReLU())
        self.shape = nn.Sequential(nn.Linear(2 * POINTS, FEATURES), nn.ReLU())
        self.motion = nn.Sequential(
            nn.Linear(2 * FEATURES, FEATURES), nn.ReLU(), nn.Linear(FEATURES, 2 * POINTS)
        )

    def train(self, mode: bool = True) -> NeutralNetwork:
        """Keep the statistics of the landmark network's normalisation: the answer never depends on the batch."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, crops: Tensor, landmarks: Tensor) -> Tensor:
        """Return the motion of each landmark."""
        seen = self.at_7(self.at_14(self.at_28(standardised(crops))))
        seen = self.features(self.squeeze(seen).flatten(1))
        centred = landmarks - landmarks.mean(1, keepdim=True)
        known = self.shape(centred.flatten(1) / (SIZE / 4))
        motion: Tensor = self.motion(torch.cat([seen, known], 1))
        return UNIT * motion.view(-1, POINTS, 2)


def neutral_landmarks(network: NeutralNetwork, pixels: Pixels, face: Face) -> npt.NDArray[np.float64] | None:
    """Return where a face's landmarks would lie if it were neutral, (68, 2) photo pixels; None without landmarks.

    The mean of the answers for the picture and its mirror image.
    """
    if face.landmarks is None:
        return None
    matrix = similarity(CROP_POINTS * SIZE - 0.5, anchors(face))
    crop = upright_crop(pixels, matrix)
    landmarks = (np.asarray(face.landmarks, np.float64) - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    mirrored = landmarks[list(MIRRORED)] * [-1, 1] + [SIZE - 1, 0]
    device = next(network.parameters()).device
    crops = torch.from_numpy(np.stack([crop, crop[:, ::-1].copy()]))[:, None].to(device)
    points = torch.from_numpy(np.stack([landmarks, mirrored])).float().to(device)
    with torch.inference_mode():
        straight, other = network(crops, points).cpu().double().numpy()
    motion = (straight + other[list(MIRRORED)] * [-1, 1]) / 2
    return apply_matrix(matrix, landmarks - motion)
