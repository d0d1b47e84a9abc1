"""What the judge learns: crops with probabilities of expressions and with who they show, spoilt as photos are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from sargan_core.models.judge.network import EMBEDDING, Judge
from sargan_core.training.views import sample, spoil

# Room around the judge's crop for turns and shifts.
MARGIN = 8


@dataclass(frozen=True)
class Faces:
    """Crops of people, on the device where the judge learns.

    Attributes:
        crops: (N, 3, C, C) uint8 RGB, the judge's crop and ``MARGIN`` around it.
        shown: (N, 7) float32 probabilities in the order of ``expressions.LABELS``.
        people: (N,) int64.
        chances: (N,) how often each is drawn.
    """

    crops: Tensor
    shown: Tensor
    people: Tensor
    chances: Tensor


class JudgeLesson(nn.Module):
    """The judge in training.

    Args:
        faces: what is learned from.
        batch: crops a step.
        mixed: part of them that shows two people at once and teaches the embedding only.
        scale: factor on the cosines between embeddings and people (normalised softmax; Wang et al. 2017, NormFace).
        margin: how much nearer a crop must be to its own person (CosFace; Wang et al. 2018).
        weight: of the identity loss.
    """

    def __init__(
        self,
        faces: Faces,
        batch: int = 128,
        mixed: float = 0.2,
        scale: float = 16.0,
        margin: float = 0.15,
        weight: float = 0.25,
    ) -> None:
        super().__init__()
        self.judge = Judge()
        self.faces, self.batch, self.mixed = faces, batch, round(batch * mixed)
        self.scale, self.margin, self.weight = scale, margin, weight
        count = int(faces.people.max()) + 1
        # One direction a person; the embedding of each of its crops is drawn there.
        self.people = nn.Parameter(torch.randn(count, EMBEDDING) / math.sqrt(EMBEDDING))

    def loss(self) -> Tensor:
        """Draw a batch with torch's own generators and return its loss."""
        expression, identity = self.losses()
        return expression + self.weight * identity

    def losses(self) -> tuple[Tensor, Tensor]:
        """Draw a batch and return the losses of expression and identity."""
        faces = self.faces
        drawn = torch.multinomial(faces.chances, self.batch, replacement=True)
        people, shown = faces.people[drawn], faces.shown[drawn]
        views = judge_views(faces.crops[drawn].float() / 255, self.judge.template.size)
        shares = functional.one_hot(people, len(self.people)).float()
        views, shares = self._mix(views, shares)
        logits, embedding = self.judge.judge(views)
        plain = slice(self.mixed, None)
        expression = functional.cross_entropy(logits[plain], shown[plain])
        cosine = embedding @ functional.normalize(self.people, dim=1).T
        identity = functional.cross_entropy(self.scale * (cosine - self.margin * shares), shares)
        return expression, identity

    def _mix(self, views: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Put a second face into the first ``mixed`` crops: all over alike, or on one side of a soft straight line.

        Edits that put another person into a face do one or the other; the embedding is to tell how much.
        """
        count, size = self.mixed, views.shape[-1]
        draws = torch.rand(4, count, 1, 1, 1, device=views.device)
        ticks = torch.linspace(-1, 1, size, device=views.device)
        angle = 2 * math.pi * draws[0]
        across = ticks * angle.cos() + ticks[:, None] * angle.sin()
        half = torch.sigmoid(12 * (across - 0.8 * (draws[1] - 0.5)))
        weight = torch.where(draws[3] < 0.5, half, (0.1 + 0.8 * draws[2]).expand_as(half))
        oval = self.judge.get_buffer("oval")
        part = ((weight * oval).sum((1, 2, 3)) / oval.sum())[:, None]
        other = torch.roll(torch.arange(len(views), device=views.device), count)[:count]
        mixed = torch.lerp(views[:count], views[other], weight)
        both = torch.lerp(shares[:count], shares[other], part)
        return torch.cat([mixed, views[count:]]), torch.cat([both, shares[count:]])


def judge_views(crops: Tensor, size: int) -> Tensor:
    """Return (B, 3, S, S) views of crops with a margin: mirrored or not, turned, moved, and spoilt."""
    count, device = len(crops), crops.device
    draws = torch.randn(5, count, device=device).clamp(-2.5, 2.5)
    angle, zoom, stretch = 0.09 * draws[0], torch.exp(0.07 * draws[1]), torch.exp(0.05 * draws[2])
    mirror = torch.where(torch.rand(count, device=device) < 0.5, -1.0, 1.0)
    cosine, sine = angle.cos() * zoom, angle.sin() * zoom
    linear = torch.stack(
        [
            torch.stack([mirror * cosine, -sine * stretch], 1),
            torch.stack([mirror * sine, cosine * stretch], 1),
        ],
        1,
    )
    middle = torch.full((2, 1), (size - 1) / 2, device=device)
    goal = (crops.shape[-1] - 1) / 2 + 0.03 * size * draws[3:].T[:, :, None]
    return spoil(sample(crops, torch.cat([linear, goal - linear @ middle], 2), size), 0.7)
