"""Training of the judge in the shared loop: steps, running mean, sheets."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sargan_core.expressions import LABELS
from sargan_core.models.judge.lesson import MARGIN, Faces, JudgeLesson
from sargan_core.models.judge.network import save_judge
from sargan_core.training.checks import check_counts, check_rate, check_seed
from sargan_core.training.loop import MEMORY, update_average

SHEET_COLUMNS = 16


@dataclass(frozen=True)
class JudgeTraining:
    """Settings of the judge's training.

    Attributes:
        steps: steps over which the rate rises and falls to nothing.
        batch: crops a step, a fifth of which show two people at once and train the embedding only.
        rate: peak rate of AdamW.
        seed: of weights, draws and augmentation.
    """

    steps: int = 20_000
    batch: int = 128
    rate: float = 3e-3
    seed: int = 0

    def __post_init__(self) -> None:
        check_rate(self.rate)
        check_seed(self.seed)
        check_counts({"--steps": self.steps, "--batch": self.batch})


class JudgeTask:
    """A ``TrainingTask`` for the judge.

    Args:
        settings: how.
        faces: crops of the training people, on the device to learn on.
        samples: crops of people left out, for the sample sheets.
        name_data: what the weights' record says about the data.
    """

    def __init__(self, settings: JudgeTraining, faces: Faces, samples: Faces, name_data: str = "") -> None:
        self.settings, self.samples, self.name_data = settings, samples, name_data
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.lesson = JudgeLesson(faces, settings.batch).to(faces.crops.device)
        self.mean = copy.deepcopy(self.lesson.judge).requires_grad_(False)
        self.optimiser = torch.optim.AdamW(self.lesson.parameters(), settings.rate, weight_decay=0.02)

    @property
    def judge(self) -> nn.Module:
        """The judge with the running mean of its weights, in evaluation mode."""
        return self.mean.eval()

    def step(self, step: int) -> dict[str, Tensor]:
        """Make one step; see ``TrainingTask``."""
        self._set_rate(step)
        # Of the CPU and of every GPU: draws, views and dropout.
        torch.manual_seed((self.settings.seed * 1_000_003 + step) * 1_009)
        self.lesson.train()
        expression, identity = self.lesson.losses()
        loss = expression + self.lesson.weight * identity
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.lesson.parameters(), 5.0)
        self.optimiser.step()
        update_average(self.mean.state_dict(), self.lesson.judge, step, MEMORY)
        return {"expression": expression.detach(), "identity": identity.detach()}

    def state(self) -> dict[str, Any]:
        """Return everything that changes."""
        return {
            "lesson": self.lesson.state_dict(),
            "mean": self.mean.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` returned."""
        self.lesson.load_state_dict(state["lesson"])
        self.mean.load_state_dict(state["mean"])
        self.optimiser.load_state_dict(state["optimiser"])

    def sheet(self) -> Tensor:
        """Return held-out crops, a row an expression, with a green line below where the judge is right, else red."""
        rows = []
        shown = self.samples.shown.argmax(1)
        size = self.samples.crops.shape[-1] - 2 * MARGIN
        for label in range(len(LABELS)):
            crops = self.samples.crops[shown == label]
            crops = inner(crops[:: max(1, len(crops) // SHEET_COLUMNS)][:SHEET_COLUMNS])
            row = torch.full((3, size + 6, SHEET_COLUMNS * size), 255, dtype=torch.uint8)
            if len(crops):
                with torch.inference_mode():
                    right = self.judge(crops.float() / 255).argmax(1) == label
                for column, (crop, ok) in enumerate(zip(crops.cpu(), right.tolist(), strict=True)):
                    place = slice(column * size, (column + 1) * size)
                    row[:, :size, place] = crop
                    row[:, size + 1 : size + 4, place] = torch.tensor([0, 160, 0] if ok else [210, 0, 0])[
                        :, None, None
                    ]
            rows.append(row)
        return torch.cat(rows, 1)

    def export(self, path: Path) -> None:
        """Write the judge's weights."""
        save_judge(self.mean, path, data=self.name_data)

    def _set_rate(self, step: int) -> None:
        share = min(1.0, step / self.settings.steps)
        rate = self.settings.rate * min(1.0, share * 20) * 0.5 * (1 + math.cos(math.pi * share))
        for group in self.optimiser.param_groups:
            group["lr"] = rate


def inner(crops: Tensor) -> Tensor:
    """Return crops (B, 3, C, C) without their ``MARGIN``, as the judge sees them in use."""
    return crops[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
