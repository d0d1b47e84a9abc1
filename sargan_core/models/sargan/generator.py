"""The generator of SARGAN and of its peers US-GAN and StarGAN: one network whose settings give all three."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

from sargan_core.errors import UsageError
from sargan_core.models.filtered import FilteredConvolution, FilteredTransposed
from sargan_core.models.layers import FewOutputsConvolution, InstanceNorm
from sargan_core.models.winograd import memory

STEM_KERNEL = 7
# Instance norm cancels a label plane's constant except near the border, where about a tenth of it remains. So the label
# weights are initialised larger than the others; otherwise the network would not distinguish targets for a long time.
LABEL_START = 3.0


@dataclass(frozen=True)
class GeneratorSettings:
    """Settings of a generator.

    Attributes:
        arch: ``sargan``, ``usgan`` or ``stargan``; a label only, the other settings define the network.
        width: channels of the stem; every down-sampling doubles them.
        downs: number of down-samplings (and of up-samplings).
        blocks: number of residual blocks at the lowest resolution.
        attention: True: the blocks carry the spatial attention unit (SARB); False: plain residual blocks.
        skip: True: the input image is added at the end.
        labels: number of target classes.
        size: side of the square crops it is trained for, in pixels.
    """

    arch: str = "sargan"
    width: int = 64
    downs: int = 2
    blocks: int = 1
    attention: bool = True
    skip: bool = True
    labels: int = 7
    size: int = 128


PRESETS: dict[str, GeneratorSettings] = {
    "sargan": GeneratorSettings("sargan"),
    "usgan": GeneratorSettings("usgan", attention=False),
    "stargan": GeneratorSettings("stargan", blocks=6, attention=False, skip=False),
}


def preset(arch: str, **changes: Any) -> GeneratorSettings:
    """Return the published settings of ``sargan``, ``usgan`` or ``stargan``, with ``changes`` applied.

    Raises:
        UsageError: unknown architecture.
    """
    if arch not in PRESETS:
        raise UsageError(f"unknown architecture '{arch}'; known: {', '.join(PRESETS)}")
    return replace(PRESETS[arch], **changes)


def _reflecting(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return 3x3 convolution with reflection padding, instance norm, ReLU."""
    convolution = (
        FilteredConvolution(inputs, outputs, mode="reflect")
        if stride == 1
        else nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False, padding_mode="reflect")
    )
    return nn.Sequential(convolution, InstanceNorm(outputs, positive=True))


class AttentionUnit(nn.Module):
    """The attention unit (AU): a small encoder-decoder over two scales that ends in one map in (0, 1).

    Source: docs/papers.md 1.2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 4
        self.skip_full = _reflecting(channels, inner)
        self.down_half = _reflecting(channels, inner, stride=2)
        self.skip_half = _reflecting(inner, inner)
        self.down_quarter = _reflecting(inner, inner, stride=2)
        self.middle = _reflecting(inner, inner)
        self.up_half = _reflecting(inner, inner)
        self.up_full = _reflecting(inner, inner)
        self.out = nn.Conv2d(inner, 1, 3, 1, 1, padding_mode="reflect")

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, 1, H, W) attention for (B, C, H, W) features; H and W at least 5."""
        full = self.skip_full(features)
        half = self.down_half(features)
        quarter = self.middle(self.down_quarter(half))
        up = functional.interpolate(quarter, size=half.shape[2:], mode="nearest")
        half = self.skip_half(half) + self.up_half(up)
        up = functional.interpolate(half, size=full.shape[2:], mode="nearest")
        return torch.sigmoid(self.out(full + self.up_full(up)))


class ResidualBlock(nn.Module):
    """``x + f * attention(f)`` with reflection padding (SARB), or plain ``x + f`` with zero padding.

    ``f`` is convolution, norm, ReLU, convolution, norm. Source: docs/papers.md 1.2 and 4.1.
    """

    def __init__(self, channels: int, attention: bool) -> None:
        super().__init__()
        mode: Literal["reflect", "zeros"] = "reflect" if attention else "zeros"
        self.feature = nn.Sequential(
            FilteredConvolution(channels, channels, mode=mode),
            InstanceNorm(channels, positive=True),
            # In the place that ReLU has in weight files.
            nn.Identity(),
            FilteredConvolution(channels, channels, mode=mode),
            InstanceNorm(channels),
        )
        self.attention = AttentionUnit(channels) if attention else None

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W) features of the same shape."""
        feature: Tensor = self.feature(x)
        if self.attention is not None:
            feature = feature * self.attention(feature)
        return x + feature


class Generator(nn.Module):
    """Image and target label to image, both in the network's range [-1, 1].

    Source: docs/papers.md 1.2 (sargan), 4.1 (usgan), 4.2 (stargan).
    """

    def __init__(self, settings: GeneratorSettings) -> None:
        super().__init__()
        self.settings = settings
        width = settings.width
        # Its padding must stay zero: a constant label plane reaches the features only through the border,
        # because instance norm cancels constant shifts.
        self.stem = nn.Conv2d(3 + settings.labels, width, STEM_KERNEL, 1, 3, bias=False)
        self.stem_norm = InstanceNorm(width, positive=True)
        downs: list[nn.Module] = []
        for _ in range(settings.downs):
            downs.append(
                nn.Sequential(
                    FilteredConvolution(width, 2 * width, 2), InstanceNorm(2 * width, positive=True)
                )
            )
            width *= 2
        self.downs = nn.ModuleList(downs)
        self.blocks = nn.ModuleList(
            [ResidualBlock(width, settings.attention) for _ in range(settings.blocks)]
        )
        ups: list[nn.Module] = []
        for _ in range(settings.downs):
            layer = FilteredTransposed(width, width // 2)
            ups.append(nn.Sequential(layer, InstanceNorm(width // 2, positive=True)))
            width //= 2
        self.ups = nn.ModuleList(ups)
        self.head = FewOutputsConvolution(width, 3, STEM_KERNEL)
        with torch.no_grad():
            self.stem.weight[:, 3:].mul_(LABEL_START)

    def forward(self, images: Tensor, labels: Tensor, owner: Tensor | None = None) -> Tensor:
        """Return the images with the expressions of ``labels``.

        Args:
            images: (N, 3, S, S) in [-1, 1], S a multiple of 2 ** downs and at least 20 * 2 ** downs / 4.
            labels: (B, labels) one-hot rows.
            owner: (B,) int64, which image each row edits; several expressions of one image share its stem.
                None = row i edits image i (B = N).

        Returns:
            (B, 3, S, S); with ``skip`` unclamped, so within [-2, 2].
        """
        if torch.is_grad_enabled() or images.device.type != "cpu":
            x = self._changed(self.stem_output(images, labels, owner))
        else:
            x = self._one_at_a_time(images, labels, range(len(images)) if owner is None else owner.tolist())
        if self.settings.skip:
            x = x + (images if owner is None else images[owner])
        return x

    def _one_at_a_time(self, images: Tensor, labels: Tensor, owner: Sequence[int]) -> Tensor:
        """Return the change of each row by itself: it stays in the cache, and no other row changes a bit of it."""
        made = images.new_empty(len(labels), *images.shape[1:])
        for index in sorted(set(owner)):
            stem = self._unlabelled(images[index : index + 1])
            rows = [row for row, image in enumerate(owner) if image == index]
            for row in rows:
                part = stem if row == rows[-1] else stem.clone()
                with memory.lending():
                    made[row] = self._changed(self._labelled(part, labels[row : row + 1]))[0]
        return made

    def _changed(self, x: Tensor) -> Tensor:
        """Return what the layers after the stem make of its output."""
        x = self.stem_norm(x)
        for layer in self.downs:
            x = layer(x)
        for block in self.blocks:
            x = block(x)
        for layer in self.ups:
            x = layer(x)
        return torch.tanh(self.head(x))

    def stem_output(self, images: Tensor, labels: Tensor, owner: Tensor | None = None) -> Tensor:
        """Return the first convolution of images and label planes, but for a constant per channel: (B, C, S, S).

        The norm that follows cancels the constant. For the arguments see ``forward``.
        """
        x = self._unlabelled(images)
        return self._labelled(x if owner is None else x[owner], labels)

    def _unlabelled(self, images: Tensor) -> Tensor:
        """Return the first convolution of the images alone."""
        return functional.conv2d(images, self.stem.weight[:, :3], padding=STEM_KERNEL // 2)

    def _labelled(self, x: Tensor, labels: Tensor) -> Tensor:
        """Add to ``_unlabelled``, in place, what the labels add."""
        bordered: Tensor = _LabelBorders.apply(x, self._label_table(labels))  # type: ignore[no-untyped-call]
        return bordered

    def _label_table(self, labels: Tensor) -> Tensor:
        """Return what label planes of 7x7 add to the stem's output: (B, C, 7, 7).

        A plane of ones seen through a zero-padded 7x7 kernel is constant but for three pixels at each border: larger
        planes repeat the middle row and column of this one.
        """
        weight = torch.einsum("bl,clhw->bchw", labels.to(self.stem.weight.dtype), self.stem.weight[:, 3:])
        border = STEM_KERNEL // 2
        # Each row says which taps lie on the plane, for one of its pixels along one direction.
        inside = weight.new_ones(STEM_KERNEL, STEM_KERNEL).triu(-border).tril(border).flip(1)
        return inside @ weight @ inside.T


class _LabelBorders(Function):
    """Add a label map less its inside to the stem's output, in place; the norm that follows cancels the inside.

    Takes the output (B, C, H, W) and the label map of a 7x7 plane (B, C, 7, 7). Only the three pixels at each border
    are touched, in the backward pass too: the gradient that the norm gives adds up to 0 over a plane.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        border = STEM_KERNEL // 2
        table = (table - table[:, :, border, border, None, None]).to(x.dtype)
        # Pixel by pixel, as channels-last tensors lie in memory.
        pixels, table = x.permute(0, 2, 3, 1), table.permute(0, 2, 3, 1).contiguous()
        inside = table[:, :, border, None].expand(-1, -1, x.shape[3] - 2 * border, -1)
        across = torch.cat([table[:, :, :border], inside, table[:, :, -border:]], 2)
        for rows in (slice(0, border), slice(-border, None)):
            pixels[:, rows] += across[:, rows]
            pixels[:, border:-border, rows] += table[:, border, None, rows]
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        border = STEM_KERNEL // 2
        exact = torch.promote_types(gradient.dtype, torch.float32)
        table = gradient.new_zeros(*gradient.shape[:2], STEM_KERNEL, STEM_KERNEL, dtype=exact)
        for rows in (slice(0, border), slice(-border, None)):
            part = gradient[:, :, rows].to(exact)
            table[:, :, rows, :border] = part[..., :border]
            table[:, :, rows, border] = part[..., border:-border].sum(3)
            table[:, :, rows, -border:] = part[..., -border:]
        inner = gradient[:, :, border:-border]
        table[:, :, border, :border] = inner[..., :border].sum(2, dtype=exact)
        table[:, :, border, -border:] = inner[..., -border:].sum(2, dtype=exact)
        table[:, :, border, border] = -table.sum((2, 3))
        return gradient, table


def one_hot(labels: Sequence[int] | Tensor, count: int, device: torch.device | str = "cpu") -> Tensor:
    """Return (B, count) float32 one-hot rows for B label indices."""
    return functional.one_hot(torch.as_tensor(labels, device=device), count).float()


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
        """Classify (B, 3, S, S) images in [-1, 1].

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
