"""The neutral network: how far a face's expression has moved its 68 landmarks from their neutral places.

Ours. It is what makes an expression that is read off one person's landmarks free of that person's own shape: the leak
warning of docs/papers.md 3.4. Landmarks alone cannot tell a wide mouth from a smiling one; the picture can.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from sargan_core.faces.align import anchors, apply_matrix, similarity
from sargan_core.faces.eyes import EYES
from sargan_core.faces.face import Face, Pixels
from sargan_core.faces.landmarks import MIRRORED, upright_crop
from sargan_core.models.landmarks.network import CROP_POINTS, POINTS, SIZE
from sargan_core.models.layers import convolution, standardised

FEATURES = 128
# Unit of the head's output in crop pixels, so that its numbers are of the order of 1.
UNIT = 4.0


class NeutralNetwork(nn.Module):
    """Convolutions on the face and a layer on the landmarks, joined by a head that predicts motions.

    Input: (B, 1, 112, 112) float32 luminance in [0, 1], crops as of ``FaceNetwork``, and (B, 68, 2) landmarks in
    their pixels. Output: (B, 68, 2) float32 crop pixels, landmark minus the same landmark of the neutral face.
    """

    def __init__(self) -> None:
        super().__init__()
        self.at_28 = nn.Sequential(convolution(1, 16, 2, 5), convolution(16, 32, 2), convolution(32, 32))
        self.at_14 = nn.Sequential(convolution(32, 64, 2), convolution(64, 64))
        self.at_7 = nn.Sequential(convolution(64, 128, 2), convolution(128, 128), convolution(128, 128))
        self.squeeze = nn.Sequential(nn.Conv2d(128, 48, 1), nn.ReLU())
        self.features = nn.Sequential(nn.Linear(48 * 7 * 7, FEATURES), nn.ReLU())
        self.shape = nn.Sequential(nn.Linear(2 * POINTS, FEATURES), nn.ReLU())
        self.motion = nn.Sequential(
            nn.Linear(2 * FEATURES, FEATURES), nn.ReLU(), nn.Linear(FEATURES, 2 * POINTS)
        )

    def train(self, mode: bool = True) -> NeutralNetwork:
        """Keep the initial statistics of the batch normalisation, so that the output does not depend on the batch."""
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

    This is the mean of the predictions for the picture and its mirror image.
    """
    if face.landmarks is None:
        return None
    matrix = similarity(np.array(CROP_POINTS) * SIZE - 0.5, anchors(face))
    crop = upright_crop(pixels, matrix, SIZE)
    landmarks = (np.asarray(face.landmarks, np.float64) - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    mirrored = landmarks[list(MIRRORED)] * [-1, 1] + [SIZE - 1, 0]
    device = next(network.parameters()).device
    crops = torch.from_numpy(np.stack([crop, crop[:, ::-1].copy()]))[:, None].to(device)
    points = torch.from_numpy(np.stack([landmarks, mirrored])).float().to(device)
    with torch.inference_mode():
        straight, other = network(crops, points).cpu().double().numpy()
    motion = (straight + other[list(MIRRORED)] * [-1, 1]) / 2
    return apply_matrix(matrix, landmarks - motion)


HEIGHT, WIDTH = 24, 32
# Places of the outer and the inner corner of the eye in the patch.
CORNERS = np.array([[6.0, 12.0], [25.0, 12.0]])
# Output below which an eye is open, and from which it is closed.
SHUT = (0.6, 0.85)
# The lids of a closed eye meet at this fraction of the way from the upper to the lower one.
MEETING = 0.85


class LidsNetwork(nn.Module):
    """(N, 2, 24, 32) patches of eyes, outer corner on the left -> (N,) logits, high = closed."""

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
    """Return both eyes of a face, (2, 2, 24, 32) float32: luminance and redness, each normalised.

    Args:
        pixels: (H, W, 3) RGB photo.
        landmarks: (68, 2) photo pixels.
    """
    peak = float(np.iinfo(pixels.dtype).max)
    patches = []
    for eye, mirrored in zip(EYES, (False, True), strict=True):
        # Left eye in the picture: outer, inner corner; right eye: inner, outer corner.
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
    """Return the landmarks with the lids of closed eyes brought together, (68, 2) photo pixels."""
    points = landmarks.astype(np.float64)
    device = next(network.parameters()).device
    with torch.inference_mode():
        answers = torch.sigmoid(network(eye_patches(pixels, points).to(device))).cpu().tolist()
    shares = [min(1.0, max(0.0, (answer - SHUT[0]) / (SHUT[1] - SHUT[0]))) for answer in answers]
    return shut_lids(points, shares).astype(np.float32)


def shut_lids(
    landmarks: npt.NDArray[np.float64], shares: Sequence[float] | npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the landmarks with the lids of each of ``EYES`` closed by a fraction, 1 = closed."""
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


Points = npt.NDArray[np.float64]
# Bounds of the change of the log luminance.
LIMITS = (-0.6, 0.4)


class Shading(nn.Module):
    """Change of the luminance with the motion of the landmarks, linear in it.

    Args:
        basis: (K, 136) unit vectors of motion; x and y of each landmark in turn, as fractions of the crop's side.
        pictures: (K, 1, s, s) change of the log luminance for a motion of 1 along each.
    """

    def __init__(self, basis: Tensor, pictures: Tensor) -> None:
        super().__init__()
        self.register_buffer("basis", basis.float())
        self.register_buffer("pictures", pictures.float())

    def forward(self, motion: Points, size: int) -> Tensor:
        """Return the factor (1, 1, S, S) on each pixel for a (68, 2) motion in pixels of an S x S crop."""
        basis, pictures = self.get_buffer("basis"), self.get_buffer("pictures")
        moved = torch.from_numpy((motion / size).ravel()).to(basis)
        change = torch.einsum("k,kchw->chw", basis @ moved, pictures)[None].clamp(*LIMITS)
        return functional.interpolate(change, (size, size), mode="bilinear", align_corners=False).exp()
