"""Training of the judge: batches with degraded and mixed crops, losses, and the task of the shared loop."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sargan_core.expressions import LABELS
from sargan_core.models.judge.data import JudgeCrops
from sargan_core.models.judge.network import EMBEDDING, Judge, save_judge
from sargan_core.training.augment import degrade, sample_views
from sargan_core.training.checks import check_counts, check_rate, check_seed
from sargan_core.training.loop import MEMORY, TrainingTask, update_average

SHEET_COLUMNS = 16


@dataclass(frozen=True)
class JudgeTraining:
    """Settings of the judge's training.

    Attributes:
        steps: steps over which the rate rises and falls to nothing.
        batch: crops per step; a fifth of them show a mix of two people and train the embedding only.
        rate: peak rate of AdamW; a third will do for weights to start from.
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


class JudgeLesson(nn.Module):
    """The judge in training.

    Args:
        crops: the training set.
        batch: crops per step.
        device: where the judge learns.
        mixed: fraction of them that show a mix of two people and train the embedding only.
        start: weights to start from; None = random ones.
        scale: factor on the cosines between embeddings and people (normalised softmax; Wang et al. 2017, NormFace).
        margin: how much nearer a crop must be to its own person (CosFace; Wang et al. 2018).
        weight: of the identity loss.
    """

    def __init__(
        self,
        crops: JudgeCrops,
        batch: int = 128,
        device: torch.device | str = "cpu",
        mixed: float = 0.2,
        start: dict[str, Tensor] | None = None,
        scale: float = 16.0,
        margin: float = 0.15,
        weight: float = 0.25,
    ) -> None:
        super().__init__()
        self.judge = Judge()
        if start is not None:
            self.judge.load_state_dict(start)
        self.batch, self.mixed = batch, round(batch * mixed)
        self.scale, self.margin, self.weight = scale, margin, weight
        # On the device, as all of them fit there and steps are short.
        self.crops = torch.from_numpy(np.ascontiguousarray(crops.images)).to(device)
        self.shown = torch.from_numpy(crops.shown).float().to(device)
        self.chances = torch.from_numpy(crops.chances).to(device)
        names, people = np.unique(crops.persons, return_inverse=True)
        self.person = torch.from_numpy(people).to(device)
        # One direction per person; the embeddings of all her crops are drawn towards it.
        self.people = nn.Parameter(torch.randn(len(names), EMBEDDING) / math.sqrt(EMBEDDING))
        self.to(device)
        if start is not None:
            self._meet(crops.inner)

    def losses(self) -> tuple[Tensor, Tensor]:
        """Draw a batch with torch's own generators and return the losses of expression and identity."""
        drawn = torch.multinomial(self.chances, self.batch, replacement=True)
        people, shown = self.person[drawn], self.shown[drawn]
        views = judge_views(self.crops[drawn].float() / 255, self.judge.template.size)
        shares = functional.one_hot(people, len(self.people)).float()
        views, shares = self._mix(views, shares)
        logits, embedding = self.judge.judge(views)
        plain = slice(self.mixed, None)
        expression = functional.cross_entropy(logits[plain], shown[plain])
        cosine = embedding @ functional.normalize(self.people, dim=1).T
        identity = functional.cross_entropy(self.scale * (cosine - self.margin * shares), shares)
        return expression, identity

    def _meet(self, crops: Tensor) -> None:
        """Start the people's directions at the mean embeddings of their crops (N, 3, S, S) uint8."""
        self.judge.eval()
        with torch.no_grad():
            device = self.people.device
            parts = [self.judge.embed(part.to(device).float() / 255) for part in crops.split(256)]
            means = torch.zeros_like(self.people).index_add_(0, self.person, torch.cat(parts))
            self.people.copy_(functional.normalize(means, dim=1))

    def _mix(self, views: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Blend a second face into the first ``mixed`` crops: uniformly, or on one side of a soft line.

        Edits that change the person do one or the other; the embedding should tell how much.
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
    """Return (B, 3, S, S) views of crops with a margin: randomly mirrored, rotated, shifted, and degraded."""
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
    return degrade(sample_views(crops, torch.cat([linear, goal - linear @ middle], 2), size), 0.7)


class JudgeTask(TrainingTask):
    """A ``TrainingTask`` for the judge.

    Args:
        settings: how.
        crops: crops of the training people.
        samples: crops of held-out people, for the sample sheets.
        name_data: description of the data for the weights' record.
        device: where the judge learns.
        start: weights to start from; None = random ones.
    """

    def __init__(
        self,
        settings: JudgeTraining,
        crops: JudgeCrops,
        samples: JudgeCrops,
        name_data: str = "",
        device: torch.device | str = "cpu",
        start: dict[str, Tensor] | None = None,
    ) -> None:
        self.settings, self.samples, self.name_data = settings, samples, name_data
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.lesson = JudgeLesson(crops, settings.batch, device, start=start)
        self.mean = copy.deepcopy(self.lesson.judge).requires_grad_(False)
        self.optimiser = torch.optim.AdamW(self.lesson.parameters(), settings.rate, weight_decay=0.02)

    @property
    def judge(self) -> nn.Module:
        """The judge with the running mean of its weights, in evaluation mode."""
        return self.mean.eval()

    def step(self, step: int) -> dict[str, Tensor]:
        """Make one step; see ``TrainingTask``."""
        self._set_rate(step)
        # Seeds CPU and GPUs, for draws, views and dropout.
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

    def parts(self) -> dict[str, Any]:
        """See ``TrainingTask``."""
        return {
            "lesson": self.lesson,
            "mean": self.mean,
            "optimiser": self.optimiser,
        }

    def sheet(self) -> Tensor:
        """Return held-out crops, one row per expression; a green line below means that the judge is right, else red."""
        rows = []
        shown = self.samples.shown.argmax(1)
        size = self.lesson.judge.template.size
        for label in range(len(LABELS)):
            crops = self.samples.inner[torch.from_numpy(shown == label)]
            crops = crops[:: max(1, len(crops) // SHEET_COLUMNS)][:SHEET_COLUMNS]
            row = torch.full((3, size + 6, SHEET_COLUMNS * size), 255, dtype=torch.uint8)
            if len(crops):
                with torch.inference_mode():
                    right = self.judge(crops.to(self.lesson.crops.device).float() / 255).argmax(1) == label
                for column, (crop, ok) in enumerate(zip(crops, right.tolist(), strict=True)):
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
