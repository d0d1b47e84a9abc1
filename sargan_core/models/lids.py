"""Shut eyes: the landmark network was never shown one and finds the lids of a shut eye where an open one has them.

A few thousand numbers look at each eye and say whether it is shut; the points of its lids are then put together, so
that a wink or a blink of a reference is seen as a motion of its lids.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sargan_core.faces.align import similarity
from sargan_core.faces.eyes import EYES
from sargan_core.faces.find import Pixels

HEIGHT, WIDTH = 24, 32
# Where the outer and the inner corner of the eye lie in the patch.
CORNERS = np.array([[6.0, 12.0], [25.0, 12.0]])
# Below the first answer an eye is open, from the second on shut.
SHUT = (0.6, 0.85)
# The lids of a shut eye meet at this share of the way from the upper to the lower one.
MEETING = 0.85


class LidsNetwork(nn.Module):
    """(N, 2, 24, 32) patches of eyes, outer corner on the left -> (N,) logits, high = shut."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2, 8, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16 * (HEIGHT // 4) * (WIDTH // 4), 1),
        )

    def forward(self, patches: Tensor) -> Tensor:
        """Return the logit of each patch."""
        logits: Tensor = self.layers(patches)
        return logits[:, 0]


def eye_patches(
    pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], landmarks: npt.NDArray[np.float64]
) -> Tensor:
    """Return both eyes of a face, (2, 2, 24, 32) float32: light and redness, each freed of its mean and contrast.

    Args:
        pixels: (H, W, 3) RGB photo.
        landmarks: (68, 2) photo pixels.
    """
    peak = float(np.iinfo(pixels.dtype).max)
    patches = []
    for eye, mirrored in zip(EYES, (False, True), strict=True):
        # From left to right in the picture: outer and inner corner of one eye, inner and outer of the other.
        corners = landmarks[[eye[0], eye[3]]]
        places = CORNERS[::-1] * [-1, 1] + [WIDTH - 1, 0] if mirrored else CORNERS
        matrix = similarity(places, corners)
        patch = cv2.warpAffine(
            pixels,
            matrix,
            (WIDTH, HEIGHT),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        ).astype(np.float32)
        patch = (patch[:, ::-1] if mirrored else patch) / peak
        light = patch @ np.array([0.299, 0.587, 0.114], np.float32)
        redness = (patch[..., 0] - patch[..., 1]) / (patch.sum(2) + 0.05)
        patches.append(np.stack([_standard(light), _standard(redness)]))
    return torch.from_numpy(np.stack(patches).astype(np.float32))


def with_shut_lids(
    network: LidsNetwork, pixels: Pixels, landmarks: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return the landmarks with the lids of shut eyes together, (68, 2) photo pixels."""
    points = landmarks.astype(np.float64)
    device = next(network.parameters()).device
    with torch.inference_mode():
        answers = torch.sigmoid(network(eye_patches(pixels, points).to(device))).cpu().tolist()
    shares = [min(1.0, max(0.0, (answer - SHUT[0]) / (SHUT[1] - SHUT[0]))) for answer in answers]
    return shut_lids(points, shares).astype(np.float32)


def shut_lids(
    landmarks: npt.NDArray[np.float64], shares: Sequence[float] | npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the landmarks with the lids of each of ``EYES`` together by a share, 1 = shut."""
    points = landmarks.copy()
    for eye, share in zip(EYES, shares, strict=True):
        for upper, lower in ((eye[1], eye[5]), (eye[2], eye[4])):
            meeting = landmarks[upper] + MEETING * (landmarks[lower] - landmarks[upper])
            points[upper] += share * (meeting - landmarks[upper])
            points[lower] += share * (meeting - landmarks[lower])
    return points


def _standard(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    spread = max(float(values.std()), 0.02)
    standard: npt.NDArray[np.float32] = (values - values.mean()) / spread
    return standard
