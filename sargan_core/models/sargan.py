"""A generator as an expression model: SARGAN, US-GAN and StarGAN in use."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from sargan_core.faces.align import Template
from sargan_core.models.base import EditedCrops, ExpressionModel, FaceCrops, Target
from sargan_core.models.fast_convolution import WINOGRAD_CHANNELS, WinogradConvolution
from sargan_core.models.generator import Generator, ResidualBlock, one_hot
from sargan_core.models.layers import keep_channels_last


class SarganModel(ExpressionModel):
    """A generator as an expression model: crops in [0, 1], mixes and strengths.

    Args:
        generator: the network; it is used as it is, so load its weights before.
        template: the alignment that its training crops had.
        precision: ``fp32``, ``bf16``, or ``auto``: bf16 where the processor or the GPU computes in it.
    """

    name = "sargan"

    def __init__(self, generator: Generator, template: Template, precision: str = "auto") -> None:
        super().__init__()
        self.generator = generator.requires_grad_(False)
        keep_channels_last(self.generator)
        _accelerate(self.generator)
        self.template = template
        self.precision = precision

    def edit(self, crops: FaceCrops, targets: Sequence[Target]) -> EditedCrops:
        """Return each crop with its target expression; see ``ExpressionModel.edit``.

        A mix adds the weighted changes of its parts: ``crop + sum of weight * (G(crop, part) - crop)``. All
        parts of all crops go through the network as one batch, and the stem sees each crop once.
        """
        rows = [
            (index, expression.label, weight)
            for index, target in enumerate(self.mixes(targets))
            for expression, weight in target.parts
            if weight != 0
        ]
        image = crops.image.clone()
        if not rows:
            return EditedCrops(image)
        device = image.device
        indices = [row[0] for row in rows]
        owner = torch.tensor(indices, device=device)
        labels = one_hot([row[1] for row in rows], self.generator.settings.labels, device)
        weights = torch.tensor([row[2] for row in rows], device=device).view(-1, 1, 1, 1)
        # One expression a crop, the usual case, needs no copies of the shared stem.
        shared = None if indices == list(range(len(targets))) else owner
        change = self.change(image, labels, shared)
        image.index_add_(0, owner, weights * change)
        return EditedCrops(image)

    def change(self, image: Tensor, labels: Tensor, owner: Tensor | None = None) -> Tensor:
        """Return ``G(x, c) - x`` on the scale of [0, 1] for each row.

        Args:
            image: (N, 3, S, S) in [0, 1].
            labels: (B, labels) one-hot rows.
            owner: (B,) int64, see ``Generator.forward``.
        """
        x = (image * 2 - 1).contiguous(memory_format=torch.channels_last)
        reduced = self.precision == "bf16" or (self.precision == "auto" and _computes_bf16(image.device))
        with torch.autocast(image.device.type, torch.bfloat16, enabled=reduced):
            made: Tensor = self.generator(x, labels, owner).float()
        if reduced and not bool(torch.isfinite(made).all()):
            made = self.generator(x, labels, owner)
        return (made - (x if owner is None else x[owner])) / 2


def _accelerate(generator: Generator) -> None:
    """Put the layers that matter most on a processor in their faster form."""
    for block in generator.blocks:
        assert isinstance(block, ResidualBlock)
        for place in (0, 3):
            layer = block.feature[place]
            if isinstance(layer, nn.Conv2d) and layer.in_channels >= WINOGRAD_CHANNELS:
                block.feature[place] = WinogradConvolution(layer)


def _computes_bf16(device: torch.device) -> bool:
    """Whether bf16 is computed rather than emulated (which is slower than float32)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and _cpu_computes_bf16()


@cache
def _cpu_computes_bf16() -> bool:
    # PyTorch's list of instruction sets, where it gives one. Its question whether oneDNN supports bf16 is no
    # help: the answer is yes wherever AVX-512 can emulate it.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
