"""The AIP-GAN-style network: expression of one picture, identity of another (after Ali & Hughes 2020).

The paper's body is not known; layers, sizes and losses are our reading of its abstract (docs/papers.md 3.4). Its three
ideas are settings, so that each can be switched off: attention, the intrinsic image, bilinear pooling.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sargan_core.models.layers import InstanceNorm

POINTS = 68
SLOPE = 0.2
# Channel gates reduce the channels by this factor.
SQUEEZE = 8
# Keeps the slope of the signed square root finite at 0.
ROOT_EPSILON = 1e-3
# Factor on the heat maps (which reach 1) before the soft-argmax, so that distant cells have no weight.
SHARPNESS = 12.0
POOLINGS = ("bilinear", "concatenation")


@dataclass(frozen=True)
class AipganSettings:
    """Settings of the network; the defaults are those of our reading of the paper.

    Attributes:
        width: channels of the encoders' first layer; all others are multiples of it.
        size: side of the square crops it is trained for, in pixels, a multiple of 16.
        attention: the encoders carry spatial and channel attention.
        intrinsic: the identity encoder is trained to reconstruct the same person's neutral face.
        pooling: ``bilinear`` joins the encoders' features by low-rank bilinear pooling, ``concatenation`` by a
            1x1 convolution over both.
        residual: the output is added to the identity encoder's input instead of replacing it; ours.
    """

    width: int = 32
    size: int = 128
    attention: bool = True
    intrinsic: bool = True
    pooling: str = "bilinear"
    residual: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain values for a weights record."""
        return asdict(self)


@dataclass(frozen=True)
class Encoded:
    """Output of an encoder.

    Attributes:
        features: f1 to f4: (B, 2w, S/2, S/2), (B, 4w, S/4, S/4), (B, 8w, S/8, S/8), (B, 8w, S/16, S/16).
        attention: logits of the spatial gates of f1 to f3, (B, 1, h, w) each; empty without attention.
    """

    features: tuple[Tensor, ...]
    attention: tuple[Tensor, ...]


def _block(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Return convolution, instance norm, leaky ReLU."""
    padding = (kernel - stride + 1) // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False),
        InstanceNorm(outputs),
        nn.LeakyReLU(SLOPE),
    )


def _up(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Upsample(scale_factor=2.0, mode="nearest"), *_block(inputs, outputs, 3))


class Attention(nn.Module):
    """Channel gate, then spatial gate (SCA)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // SQUEEZE
        self.channel = nn.Sequential(nn.Linear(channels, inner), nn.ReLU(), nn.Linear(inner, channels))
        self.spatial = nn.Conv2d(2, 1, 7, 1, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return gated (B, C, H, W) features and the logits (B, 1, H, W) of the spatial gate."""
        x = x * torch.sigmoid(self.channel(x.mean((2, 3))))[:, :, None, None]
        logits: Tensor = self.spatial(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1))
        return x * torch.sigmoid(logits), logits


class Encoder(nn.Module):
    """Stem and four halvings, the first three with attention; for expression and identity."""

    def __init__(self, settings: AipganSettings) -> None:
        super().__init__()
        width = settings.width
        channels = (width, 2 * width, 4 * width, 8 * width, 8 * width)
        self.stem = _block(3, width, 7)
        self.downs = nn.ModuleList([_block(inputs, outputs, 4, 2) for inputs, outputs in pairwise(channels)])
        gates = [Attention(count) for count in channels[1:4]] if settings.attention else []
        self.gates = nn.ModuleList(gates)

    def forward(self, images: Tensor) -> Encoded:
        """Return the features of (B, 3, S, S) images in [-1, 1]."""
        x = self.stem(images)
        features, attention = [], []
        for place, down in enumerate(self.downs):
            x = down(x)
            if place < len(self.gates):
                x, logits = self.gates[place](x)
                attention.append(logits)
            features.append(x)
        return Encoded(tuple(features), tuple(attention))


class LandmarkHead(nn.Module):
    """68 heat maps from the expression encoder's f3, read out by soft-argmax."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = _up(8 * width, 4 * width)
        self.heat = nn.Conv2d(4 * width, POINTS, 1)

    def forward(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """Return heat maps (B, 68, S/4, S/4), about 1 at the point, and points (B, 68, 2), (x, y) as fractions of S."""
        maps: Tensor = self.heat(self.up(encoded.features[2]))
        side = maps.shape[-1]
        shares = torch.softmax(SHARPNESS * maps.flatten(2), 2).view_as(maps)
        ticks = (torch.arange(side, dtype=maps.dtype, device=maps.device) + 0.5) / side
        x, y = (shares.sum(2) * ticks).sum(2), (shares.sum(3) * ticks).sum(2)
        return maps, torch.stack([x, y], 2)


class IntrinsicHead(nn.Module):
    """The identity encoder's picture of the person's intrinsic shape and appearance: the neutral face."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ups = nn.Sequential(
            _up(8 * width, 8 * width),
            _up(8 * width, 4 * width),
            _up(4 * width, 2 * width),
            _up(2 * width, width),
        )
        self.out = nn.Conv2d(width, 3, 7, 1, 3)

    def forward(self, encoded: Encoded) -> Tensor:
        """Return (B, 3, S, S) in [-1, 1]."""
        return torch.tanh(self.out(self.ups(encoded.features[3])))


class Pooling(nn.Module):
    """Joins the features of both encoders at one resolution.

    ``bilinear``: both are projected to a common rank, multiplied, and the products' signed square roots brought to
    length 1, which is a low-rank form of all products of all channels.
    """

    def __init__(self, channels: int, rank: int, outputs: int, kind: str) -> None:
        super().__init__()
        self.bilinear = kind == "bilinear"
        self.expression = nn.Conv2d(channels, rank, 1)
        self.identity = nn.Conv2d(channels, rank, 1)
        self.out = nn.Conv2d(rank if self.bilinear else 2 * rank, outputs, 1)

    def forward(self, expression: Tensor, identity: Tensor) -> Tensor:
        """Return (B, outputs, H, W) for two (B, channels, H, W)."""
        e, i = self.expression(expression), self.identity(identity)
        if not self.bilinear:
            joined: Tensor = self.out(torch.cat([e, i], 1))
            return joined
        product = e * i
        root = product / (product.abs() + ROOT_EPSILON).sqrt()
        pooled: Tensor = self.out(functional.normalize(root, dim=1))
        return pooled


class Decoder(nn.Module):
    """From both encoders' features to a picture."""

    def __init__(self, settings: AipganSettings) -> None:
        super().__init__()
        width = settings.width
        self.join = _block(16 * width, 8 * width, 3)
        # Channels of the coarser level, after the up-sampling, of the encoders at this level, of the pooled features.
        rows = ((8, 8, 8, 4), (8, 4, 4, 2), (4, 2, 2, 1))
        self.ups = nn.ModuleList([_up(above * width, own * width) for above, own, _, _ in rows])
        self.pools = nn.ModuleList(
            [
                Pooling(there * width, min(4, there) * width, pooled * width, settings.pooling)
                for _, _, there, pooled in rows
            ]
        )
        self.merges = nn.ModuleList(
            [_block((own + pooled) * width, own * width, 3) for _, own, _, pooled in rows]
        )
        self.last = _up(2 * width, width)
        self.out = nn.Conv2d(width, 3, 7, 1, 3)

    def forward(self, expression: Encoded, identity: Encoded) -> Tensor:
        """Return (B, 3, S, S) before the tanh."""
        x = self.join(torch.cat([expression.features[3], identity.features[3]], 1))
        for place, (up, pool, merge) in enumerate(zip(self.ups, self.pools, self.merges, strict=True)):
            pooled = pool(expression.features[2 - place], identity.features[2 - place])
            x = merge(torch.cat([up(x), pooled], 1))
        picture: Tensor = self.out(self.last(x))
        return picture


class AipganNetwork(nn.Module):
    """Both encoders, their heads and the decoder; images in [-1, 1].

    Its output depends neither on ``train()`` or ``eval()`` nor on the other pictures of the batch.
    """

    def __init__(self, settings: AipganSettings) -> None:
        super().__init__()
        self.settings = settings
        self.expression = Encoder(settings)
        self.identity = Encoder(settings)
        self.decoder = Decoder(settings)
        self.landmarks = LandmarkHead(settings.width)
        self.intrinsic = IntrinsicHead(settings.width) if settings.intrinsic else None

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Return the person of ``target`` with the expression of ``source``.

        Args:
            source: (B, 3, S, S) in [-1, 1], any person with the wanted expression.
            target: (B, 3, S, S) in [-1, 1].

        Returns:
            (B, 3, S, S) in [-1, 1]; with ``residual`` unclamped, so within [-2, 2].
        """
        return self.decode(self.expression(source), self.identity(target), target)

    def decode(self, expression: Encoded, identity: Encoded, target: Tensor) -> Tensor:
        """Return the picture for encoded inputs; arguments and result as of ``forward``."""
        picture = torch.tanh(self.decoder(expression, identity))
        return picture + target if self.settings.residual else picture

    def inference_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters that an edit needs, without those of the two heads for training."""
        parts = self.expression, self.identity, self.decoder
        return chain.from_iterable(part.parameters() for part in parts)
