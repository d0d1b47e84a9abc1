"""Training of the encoder: codes from pictures with hard light, blur, noise and things in front of the face."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from sargan_core.faces.landmarks import MIRRORED
from sargan_core.models.units.data import CodedFaces
from sargan_core.models.units.network import DEGREES, SIZE, UnitEncoder
from sargan_core.training.loop import TrainingTask, step_random, update_average
from sargan_core.units import LARGEST, MIRRORED_CODE, MIRRORED_SIGN

# Error, as a fraction of a unit's largest weight, above which the loss is linear instead of quadratic.
BEND = 0.25
# Weight of the error in the movement of the face, beside the error in each unit.
MOVEMENT = 1.0
# Weight of the rotation.
ROTATION = 0.3
# Noise on the landmarks that a whole part shares (standard deviation in crop pixels): annotated outlines and brows lie
# elsewhere than those of rendered faces.
PARTS_OFF = (
    (slice(0, 17), 2.0),
    (slice(17, 22), 1.8),
    (slice(22, 27), 1.8),
    (slice(36, 42), 0.7),
    (slice(42, 48), 0.7),
    (slice(48, 68), 0.9),
    (slice(60, 68), 0.6),
)
# Fraction of the draws that each data set gets, by its name.
SHARES = {"units": 0.56, "synth": 0.14, "transfer": 0.12, "london": 0.12, "neutral_extra": 0.06}


@dataclass(frozen=True)
class UnitsOptions:
    """Settings of a run.

    Attributes:
        steps: optimiser steps.
        batch: crops per step.
        learning_rate: peak of AdamW's rate, which rises over the first twentieth of the run and falls as a cosine.
        width: of the network.
        decay: of the running average of the weights, which is what is exported.
        seed: of weights, draws and augmentation.
        precision: ``fp32`` or ``bf16``.
    """

    steps: int = 12_000
    batch: int = 64
    learning_rate: float = 2e-3
    width: int = 32
    decay: float = 0.999
    seed: int = 0
    precision: str = "fp32"


def movement_gram(offsets: Tensor) -> Tensor:
    """Return the (U, U) matrix G such that ``e G e`` measures how far a code error ``e`` misplaces the skin.

    Args:
        offsets: (U, V, 3) displacement of the visible vertices; each unit is normalised to the same length.
    """
    moved = functional.normalize(offsets.flatten(1))
    return moved @ moved.T


def chances_of(kinds: Sequence[str]) -> Tensor:
    """Return how often each crop is drawn (N,), relative, from the names of their data sets."""
    total = Counter(kinds)
    return torch.tensor([SHARES.get(kind, 0.1) / total[kind] for kind in kinds], dtype=torch.float64)


class UnitsTask(TrainingTask):
    """A ``TrainingTask`` for the encoder.

    Args:
        faces: the crops to train on.
        gram: (U, U), see ``movement_gram``.
        options: settings.
        export: writes the averaged encoder as a weights file.
        start: weights to start from; None = random ones.
        device: where the encoder learns.
    """

    def __init__(
        self,
        faces: CodedFaces,
        gram: Tensor,
        options: UnitsOptions,
        export: Callable[[UnitEncoder, Path], None],
        start: dict[str, Tensor] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        torch.manual_seed(options.seed)
        self.faces = faces
        self.chances = chances_of(faces.sources.tolist())
        self.options = options
        self.device = torch.device(device)
        self.encoder = UnitEncoder(options.width).to(self.device)
        if start is not None:
            self.encoder.load_state_dict(start)
        self.average = copy.deepcopy(self.encoder).eval()
        if options.precision == "bf16":
            # oneDNN's bf16 convolutions want channels last: a step takes a fifth less.
            for weights in self.encoder.parameters():
                if weights.dim() == 4:
                    weights.data = weights.data.contiguous(memory_format=torch.channels_last)
        self.optimiser = torch.optim.AdamW(
            self.encoder.parameters(), lr=options.learning_rate, weight_decay=0.02
        )
        self._export = export
        self._gram = gram.to(self.device)
        self._scale = torch.tensor(LARGEST, device=self.device)
        self._order = torch.tensor(MIRRORED_CODE, device=self.device)
        self._sign = torch.tensor(MIRRORED_SIGN, device=self.device)

    def step(self, step: int, done: float | None = None) -> dict[str, Tensor]:
        """Make one step; ``done`` is the fraction of the run that is over, by default computed from ``step``."""
        random = step_random(self.options.seed, step)
        # Dropout draws from the generator of its device.
        torch.manual_seed(int(torch.randint(2**31, (), generator=random)))
        done = step / self.options.steps if done is None else done
        for group in self.optimiser.param_groups:
            group["lr"] = self.options.learning_rate * rate_of(done)
        drawn, mirror, crops, points = self._draw(self.options.batch, random)
        crops, points = degraded(crops, random), mislaid(points, random)
        code = self._column(self.faces.code, drawn)
        code = torch.where(mirror[:, None], code[:, self._order] * self._sign, code)
        angles = self._column(self.faces.angles, drawn)
        angles = torch.where(mirror[:, None], angles * angles.new_tensor([-1.0, 1.0, -1.0]), angles)
        self.encoder.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.precision == "bf16"):
            found, turned = self.encoder.answer(crops, points)
        wrong = (found.float() - code) / self._scale
        error = functional.smooth_l1_loss(wrong, torch.zeros_like(wrong), reduction="none", beta=BEND).mean(1)
        # Units that look alike may replace each other as long as their sum moves the face as far.
        error = error + MOVEMENT * ((wrong @ self._gram) * wrong).mean(1)
        known = torch.isfinite(angles).all(1)
        missed = functional.smooth_l1_loss(
            turned.float() / DEGREES, torch.nan_to_num(angles) / DEGREES, reduction="none", beta=0.2
        ).mean(1)
        trust = self._column(self.faces.trust, drawn)
        coded = (error * trust).sum() / trust.sum()
        rotated = (missed * known).sum() / known.sum().clamp_min(1)
        self.optimiser.zero_grad(set_to_none=True)
        (coded + ROTATION * rotated).backward()
        torch.nn.utils.clip_grad_norm_(self.encoder.parameters(), 2.0)
        self.optimiser.step()
        update_average(self.average.state_dict(), self.encoder, step, self.options.decay)
        for mean, value in zip(self.average.buffers(), self.encoder.buffers(), strict=True):
            mean.copy_(value)
        return {"code": coded.detach(), "rotation": rotated.detach()}

    def _draw(
        self, count: int, random: torch.Generator
    ) -> tuple[npt.NDArray[np.int64], Tensor, Tensor, Tensor]:
        """Return row numbers of drawn crops, which of them are mirrored, and their views and landmarks."""
        drawn = torch.multinomial(self.chances, count, True, generator=random).numpy()
        mirror = torch.rand(count, generator=random).to(self.device) < 0.5
        crops = self.faces.pictures(drawn).to(self.device)[:, None]
        return drawn, mirror, *view(crops, self._column(self.faces.landmarks, drawn), mirror, random)

    def _column(self, values: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(values[rows]).to(self.device)

    def parts(self) -> dict[str, Any]:
        """See ``TrainingTask``."""
        return {
            "encoder": self.encoder,
            "average": self.average,
            "optimiser": self.optimiser,
        }

    def sheet(self) -> Tensor:
        """Return two rows of eight training crops, (3, H, W) uint8."""
        random = step_random(self.options.seed, 0)
        seen = degraded(self._draw(16, random)[2], random)
        rows = (seen.clamp(0, 1) * 255).byte().cpu().view(2, 8, SIZE, SIZE).permute(0, 2, 1, 3)
        return rows.reshape(1, 2 * SIZE, 8 * SIZE).expand(3, -1, -1).contiguous()

    def export(self, path: Path) -> None:
        """Write the averaged encoder."""
        self._export(self.average, path)


def rate_of(done: float) -> float:
    """Return the learning rate as a fraction of its peak, ``done`` being the fraction of the run that is over."""
    if done < 0.05:
        return max(0.02, done / 0.05)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, (done - 0.05) / 0.95)))


def view(crops: Tensor, landmarks: Tensor, mirror: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return views of (B, 1, C, C) crops at the network's size, randomly shifted, rotated and scaled a little.

    Landmarks (B, 68, 2) in pixels of the crops are returned in those of the views.
    """
    count, side = len(crops), crops.shape[-1]
    draws = torch.randn(count, 5, generator=random).clamp(-2.5, 2.5).to(crops)
    angle, scale, stretch = draws[:, 0] * 0.05, torch.exp(draws[:, 1] * 0.05), torch.exp(draws[:, 2] * 0.03)
    shift = draws[:, 3:] * 0.03
    sign = torch.where(mirror, -1.0, 1.0)
    span = SIZE / side
    cosine, sine = torch.cos(angle) * scale * span, torch.sin(angle) * scale * span
    rows = (sign * cosine, -sine * stretch, shift[:, 0], sign * sine, cosine * stretch, shift[:, 1])
    matrices = torch.stack(rows, 1).view(count, 2, 3)
    grid = functional.affine_grid(matrices, [count, 1, SIZE, SIZE], align_corners=False)
    seen = functional.grid_sample(crops, grid, padding_mode="border", align_corners=False)
    # The grid maps views to crops, points are mapped the other way; both in [-1, 1].
    centred = (landmarks + 0.5) * (2 / side) - 1 - matrices[:, None, :, 2]
    points = (centred @ torch.linalg.inv(matrices[:, :, :2]).transpose(1, 2) + 1) * (SIZE / 2) - 0.5
    swapped = points[:, list(MIRRORED)]
    return seen, torch.where(mirror[:, None, None], swapped, points)


def mislaid(landmarks: Tensor, random: torch.Generator) -> Tensor:
    """Return (B, 68, 2) landmarks with noise on each point and on whole parts; NaN for a fifth of the faces."""
    count = len(landmarks)
    size = 0.3 + 1.4 * torch.rand(count, 1, 1, generator=random)
    off = 0.8 * torch.randn(count, 68, 2, generator=random) * size
    for part, reach in PARTS_OFF:
        off[:, part] += reach * torch.randn(count, 1, 2, generator=random) * size
    lost = torch.rand(count, 1, 1, generator=random) < 0.2
    return torch.where(lost.to(landmarks.device), torch.nan, landmarks + off.to(landmarks))


def degraded(crops: Tensor, random: torch.Generator) -> Tensor:
    """Return (B, 1, S, S) crops with random light, contrast, sharpness, noise and things in front of the face."""
    count, side = len(crops), crops.shape[-1]

    def draw(low: float = 0.0, high: float = 1.0) -> Tensor:
        return (low + (high - low) * torch.rand(count, 1, 1, 1, generator=random)).to(crops)

    crops = crops.clamp(1e-3, 1) ** torch.exp(draw(-0.7, 0.7))
    ticks = torch.linspace(-1, 1, side, device=crops.device)
    across, along = ticks.view(1, 1, 1, -1), ticks.view(1, 1, -1, 1)
    crops = crops * (1 + draw(-0.6, 0.6) * across + draw(-0.4, 0.4) * along).clamp_min(0.1)
    crops = crops * draw(0.5, 1.2) + draw(-0.15, 0.15)
    # Blurred or sharpened.
    soft = functional.avg_pool2d(functional.pad(crops, (2, 2, 2, 2), mode="replicate"), 5, 1)
    crops = torch.lerp(crops, soft, draw(-1.2, 1.6).clamp(-0.7, 1))
    small = functional.interpolate(crops, scale_factor=0.4, mode="area")
    small = functional.interpolate(small, (side, side), mode="bilinear", align_corners=False)
    crops = torch.where(draw() < 0.12, small, crops)
    seed = int(torch.randint(2**31, (), generator=random))
    noise = torch.Generator(crops.device).manual_seed(seed)
    grain = torch.randn(crops.shape, generator=noise, device=crops.device, dtype=crops.dtype)
    crops = crops + grain * 0.06 * draw() ** 2
    # Blocks of strong JPEG compression.
    blocks = functional.interpolate(functional.avg_pool2d(crops, 8), (side, side), mode="nearest")
    crops = torch.lerp(crops, blocks, (draw(-2, 0.5)).clamp_min(0))
    for odds in (0.15, 0.15):
        angle = draw(0, 2 * math.pi)
        x, y = across - draw(-1, 1), along - draw(-1, 1)
        u, v = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
        covered = (u / draw(0.05, 0.35)) ** 2 + (v / draw(0.05, 0.7)) ** 2 < 1
        shade = draw() + draw(-0.3, 0.3) * u
        crops = torch.where(covered & (draw() < odds), shade.expand_as(crops), crops)
    return crops
