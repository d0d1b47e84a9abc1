"""The discriminator of StarGAN, US-GAN and SARGAN: real or made, and which expression."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class DiscriminatorSettings:
    """Settings of a discriminator; the defaults are the published ones (44,778,432 parameters).

    Attributes:
        width: channels of the first layer; every layer doubles them.
        layers: number of strided convolutions; the real/made map is ``size / 2 ** layers`` wide.
        labels: number of classes.
        size: side of the square crops in pixels, a multiple of 2 ** layers.
    """

    width: int = 64
    layers: int = 6
    labels: int = 7
    size: int = 128


class Discriminator(nn.Module):
    """Strided convolutions with bias and leaky ReLU, no normalisation, and two heads.

    Source: docs/papers.md 1.3.
    """

    def __init__(self, settings: DiscriminatorSettings) -> None:
        super().__init__()
        self.settings = settings
        inputs, outputs = 3, settings.width
        layers: list[nn.Module] = []
        for _ in range(settings.layers):
            layers.append(nn.Conv2d(inputs, outputs, 4, 2, 1))
            inputs, outputs = outputs, 2 * outputs
        self.layers = nn.ModuleList(layers)
        self.real = nn.Conv2d(inputs, 1, 3, 1, 1, bias=False)
        self.kind = nn.Conv2d(inputs, settings.labels, settings.size >> settings.layers, bias=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Judge (B, 3, S, S) images in [-1, 1].

        Returns:
            realness (B, 1, s, s) without sigmoid, high = real; class logits (B, labels); the features of
            every layer, for feature matching.
        """
        features = []
        x = images
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), 0.01)
            features.append(x)
        return self.real(x), self.kind(x).flatten(1), tuple(features)
