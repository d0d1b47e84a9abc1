"""Training of the landmark networks: random views of pictures with known points, and the losses."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sargan_core.faces.landmarks import MIRRORED
from sargan_core.models.landmarks.data import HAND, LandmarkPictures
from sargan_core.models.landmarks.network import (
    CROP_POINTS,
    EYE_POINTS,
    MOUTH_POINTS,
    PATCH,
    POINTS,
    SIZE,
    LandmarkNetworks,
    eye_frame,
    mouth_frame,
)
from sargan_core.training.augment import degrade, sample_views

# Pairs of points across the opening of an eye or of the mouth; their distance is the opening.
OPPOSITE = ((37, 41), (38, 40), (43, 47), (44, 46), (61, 67), (62, 66), (63, 65))


class Lesson(nn.Module):
    """The networks in training, with what the kinds of points differ in.

    The networks predict points where a person would set them. The points of a mesh lie elsewhere on the same face; one
    shift per point, the same for all faces of a kind, is learned for each kind of mesh.

    Args:
        pictures: what is learned from.
        batch: pictures per step.
        device: where the networks learn.
    """

    def __init__(
        self, pictures: LandmarkPictures, batch: int = 96, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__()
        self.networks = LandmarkNetworks()
        self.shift = nn.Parameter(torch.zeros(2, POINTS, 2))
        self.batch = batch
        # On the device, as all of them fit there and steps are short.
        self.images = torch.from_numpy(pictures.images)[:, None].to(device)
        self.points = torch.from_numpy(pictures.landmarks).to(device)
        self.trust = torch.from_numpy(pictures.trust).to(device)
        self.kind = torch.from_numpy(pictures.kind).to(device)
        self.chances = torch.from_numpy(pictures.chances).to(device)
        self.to(device)

    def shifts(self, kind: Tensor) -> Tensor:
        """Return the shift (B, 68, 2) of each kind in eye distances; it is symmetric."""
        flipped = self.shift[:, list(MIRRORED)] * self.shift.new_tensor([-1.0, 1.0])
        every = torch.cat([torch.zeros_like(self.shift[:1]), (self.shift + flipped) / 2])
        return every[kind]

    def loss(self) -> Tensor:
        """Draw a batch and return its loss, in pixels of the first network's crop."""
        drawn = torch.multinomial(self.chances, self.batch, replacement=True)
        images, points = self.images[drawn].float() / 255, self.points[drawn]
        trust, kind = self.trust[drawn], self.kind[drawn]
        flip = torch.rand(self.batch, device=images.device) < 0.5
        mirror = points[:, list(MIRRORED)]
        mirror = torch.stack([images.shape[-1] - 1 - mirror[..., 0], mirror[..., 1]], -1)
        points = torch.where(flip[:, None, None], mirror, points)
        trust = torch.where(flip[:, None], trust[:, list(MIRRORED)], trust)
        images = torch.where(flip[:, None, None, None], images.flip(3), images)
        return self._face(images, points, trust, kind) + self._patches(images, points, trust, kind)

    def _face(self, images: Tensor, points: Tensor, trust: Tensor, kind: Tensor) -> Tensor:
        matrix = jittered(upright(points, SIZE), SIZE, shift=4.5, turn=0.16, zoom=0.13)
        views = degrade(sample_views(images, matrix, SIZE), 0.7)
        found = self.networks.face(views) + 0.28 * SIZE * self.shifts(kind)
        return point_loss(found, inverse(matrix, points), trust, tuple(range(POINTS)))

    def _patches(self, images: Tensor, points: Tensor, trust: Tensor, kind: Tensor) -> Tensor:
        # Patches are cut around points with the error of the first network.
        base = upright(points, SIZE)
        level = inverse(base, points)
        near = level + 0.7 * torch.randn_like(level[:, :1]) + 0.5 * torch.randn_like(level)
        loss = images.new_zeros(())
        for network, frame, listed in (
            (self.networks.mouth, mouth_frame, MOUTH_POINTS),
            (self.networks.eye, eye_frame, EYE_POINTS),
        ):
            centre, side = frame(near)
            scale = side / PATCH
            inner = torch.zeros(len(side), 2, 3, device=side.device)
            inner[:, 0, 0] = inner[:, 1, 1] = scale
            inner[:, :, 2] = centre - (PATCH - 1) / 2 * scale[:, None]
            matrix = jittered(compose(base, inner), PATCH, shift=2.5, turn=0.09, zoom=0.08)
            views = degrade(sample_views(images, matrix, PATCH), 0.6)
            found = network(views) + (0.28 * SIZE / scale)[:, None, None] * self.shifts(kind)[:, list(listed)]
            truth = inverse(matrix, points)[:, list(listed)]
            loss = loss + point_loss(found, truth, trust[:, list(listed)], listed) / 2
        return loss


def random_pictures(count: int = 8, side: int = 2 * SIZE) -> LandmarkPictures:
    """Return random pictures to time a step with; their points are spread like those of a face."""
    random = torch.Generator().manual_seed(0)
    points = torch.rand(count, POINTS, 2, generator=random) * side / 8 + 3 * side / 8
    for listed, (x, y) in (
        (range(36, 42), (0.4, 0.4)),
        (range(42, 48), (0.6, 0.4)),
        (range(48, 68), (0.5, 0.6)),
    ):
        points[:, list(listed)] += side * (torch.tensor([x, y]) - 0.5)
    return LandmarkPictures(
        images=torch.randint(0, 256, (count, side, side), generator=random, dtype=torch.uint8).numpy(),
        landmarks=points.numpy(),
        trust=np.ones((count, POINTS), np.float32),
        kind=np.full(count, HAND),
        chances=np.ones(count),
    )


def point_loss(found: Tensor, truth: Tensor, trust: Tensor, listed: tuple[int, ...]) -> Tensor:
    """Return the smooth L1 loss of the ``listed`` points, and of the openings of eyes and mouth among them."""
    error = functional.smooth_l1_loss(found, truth, reduction="none", beta=0.5).sum(2)
    loss = (error * trust).sum() / trust.sum()
    pairs = [
        (listed.index(one), listed.index(two)) for one, two in OPPOSITE if one in listed and two in listed
    ]
    if pairs:
        one, two = ([pair[side] for pair in pairs] for side in (0, 1))
        sure = torch.minimum(trust[:, one], trust[:, two])
        gap = functional.smooth_l1_loss(
            found[:, one] - found[:, two], truth[:, one] - truth[:, two], reduction="none", beta=0.5
        ).sum(2)
        loss = loss + 0.4 * (gap * sure).sum() / sure.sum()
    return loss


def upright(points: Tensor, size: int) -> Tensor:
    """Return the similarity (B, 2, 3) from crop to picture that puts eyes and mouth on ``CROP_POINTS``."""
    targets = torch.stack(
        [points[:, 36:42].mean(1), points[:, 42:48].mean(1), points[:, [48, 54]].mean(1)], 1
    )
    sources = torch.tensor(CROP_POINTS, device=points.device) * size - 0.5
    middle, goal = sources.mean(0), targets.mean(1, keepdim=True)
    a, b = sources - middle, targets - goal
    power = (a**2).sum()
    cosine = (a * b).sum((1, 2)) / power
    sine = (a[:, 0] * b[..., 1] - a[:, 1] * b[..., 0]).sum(1) / power
    linear = torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)
    return torch.cat([linear, goal.transpose(1, 2) - linear @ middle.view(1, 2, 1)], 2)


def jittered(matrix: Tensor, size: int, *, shift: float, turn: float, zoom: float) -> Tensor:
    """Return ``matrix`` (B, 2, 3) with a random rotation, scale and shift of the view about its centre."""
    count, device = len(matrix), matrix.device
    angle, log_scale, log_stretch = torch.randn(3, count, device=device).clamp(-2.5, 2.5)
    scale, stretch = torch.exp(log_scale * zoom), torch.exp(log_stretch * 0.05)
    cosine, sine = torch.cos(angle * turn) * scale, torch.sin(angle * turn) * scale
    linear = torch.stack(
        [torch.stack([cosine, -sine * stretch], 1), torch.stack([sine, cosine * stretch], 1)], 1
    )
    middle = torch.full((2, 1), (size - 1) / 2, device=device)
    move = shift * torch.randn(count, 2, 1, device=device).clamp(-2.5, 2.5)
    return compose(matrix, torch.cat([linear, middle + move - linear @ middle], 2))


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """Return the (B, 2, 3) transform that applies ``inner``, then ``outer``."""
    linear = outer[:, :, :2] @ inner
    linear[:, :, 2] += outer[:, :, 2]
    return linear


def inverse(matrix: Tensor, points: Tensor) -> Tensor:
    """Return picture points (B, K, 2) in pixels of the views."""
    (a, b), (c, d) = matrix[:, 0, :2].unbind(1), matrix[:, 1, :2].unbind(1)
    # Written out: a library's inverse of many small matrices is slow on GPUs.
    turned = torch.stack([torch.stack([d, -b], 1), torch.stack([-c, a], 1)], 1)
    return (points - matrix[:, None, :, 2]) @ (turned / (a * d - b * c)[:, None, None]).transpose(1, 2)
