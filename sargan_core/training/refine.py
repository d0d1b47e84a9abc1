"""How a refiner is trained: on the picture of its base, inside the face, towards the true appearance."""

from __future__ import annotations

from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from sargan_core.expressions import LABELS
from sargan_core.faces.eyes import eyes_region
from sargan_core.models.generator_file import save_generator
from sargan_core.models.pixel import PixelModel
from sargan_core.models.refiner import Window, face_masks, mouth_window
from sargan_core.training import losses
from sargan_core.training.augment import augment
from sargan_core.training.loop import step_random
from sargan_core.training.pairs import CropPairs
from sargan_core.training.recipes import SarganTraining
from sargan_core.training.sargan import SarganTask
from sargan_core.training.steps import to_picture

# How much the pixels of the eyes count, whose irises lie elsewhere in the truth, and those between the lips, where
# the truth shows one of many possible sets of teeth.
EYES_COUNT = 0.3
INSIDE_COUNT = 0.8


class RefineTask(SarganTask):
    """A ``TrainingTask`` for a refiner.

    Args:
        settings: what to train and how.
        data: pairs of the base's edit and the truth, see ``refinement.prepare_refinement``.
        samples: such pairs of people left out, for the sample sheets.
        fabric: device, precision and processes.
        base: the model to refine.
        base_name: its name among the shipped weights.
        start: weights to start from instead of random ones.
    """

    def __init__(
        self,
        settings: SarganTraining,
        data: CropPairs,
        samples: CropPairs,
        fabric: Fabric,
        base: PixelModel,
        base_name: str,
        start: dict[str, Tensor] | None = None,
    ) -> None:
        super().__init__(settings, data, samples, fabric, start)
        self.base_name = base_name
        self.base_template = base.template
        window = mouth_window(base.template, settings.generator.size)
        self.face = face_masks(base, window).to(fabric.device)
        self.region = self.face * compared(base, window).to(fabric.device)

    def step(self, step: int) -> dict[str, Tensor]:
        """Make one step; see ``TrainingTask``."""
        random = step_random(self.settings.seed, step, self.fabric.global_rank)
        self._set_rate(step)
        settings = self.settings
        batch = self.data.draw(settings.batch, random)
        edit, truth = augment((batch.source, batch.target), settings.augment, random)
        source, target = self._to_network(edit), self._to_network(truth)
        wanted, trust = batch.target_label.to(source.device), batch.trust.to(source.device)
        face = self.face[wanted]
        made = source + face * (self.generator(source, self._one_hot(wanted)) - source)
        # The discriminator is to judge the face alone: what surrounds it is the same in both pictures.
        target = source + face * (target - source)
        weight = losses.change_weight(source, target) * self.region[wanted] * trust[:, None, None, None]
        metrics = {
            "pixel": losses.weighted_l1(made, target, weight),
            "gradient": losses.gradient_l1(made, target, weight),
        }
        squared = losses.weighted_l2(made, target, weight)
        metrics["relative"] = metrics["pixel"] / losses.weighted_l1(source, target, weight)
        metrics["relative_squared"] = squared / losses.weighted_l2(source, target, weight)
        if step <= settings.squared_until:
            loss = settings.pixel * squared
        else:
            loss = settings.pixel * metrics["pixel"] + settings.gradient * metrics["gradient"]
        return self._finish_pairs(step, loss, metrics, made, target, wanted, trust)

    @torch.no_grad()
    def sheet(self) -> Tensor:
        """Return three rows a person: the base's edits, the refined ones, the truth; a column a sample pair of hers."""
        source, target = self.samples.crops[self.samples.pairs].float().div(255).unbind(1)
        wanted = self.samples.labels[self.samples.pairs[:, 1]].to(self.fabric.device)
        source, target = self._to_network(source), self._to_network(target)
        face = self.face[wanted]
        made = source + face * (self.average(source, self._one_hot(wanted)) - source)
        target = source + face * (target - source)
        rows = [
            torch.cat(list(picture), dim=2)
            for chunk in zip(*(x.split(len(LABELS)) for x in (source, made, target)), strict=True)
            for picture in chunk
        ]
        widest = max(row.shape[2] for row in rows)
        rows = [torch.nn.functional.pad(row, (0, widest - row.shape[2])) for row in rows]
        return to_picture(torch.cat(rows, dim=1))

    def export(self, path: Path) -> None:
        """Write the averaged generator in half precision with its settings, its base and the base's template."""
        if self.fabric.is_global_zero:
            save_generator(self.average, self.base_template, path, base=self.base_name)


def compared(base: PixelModel, window: Window) -> Tensor:
    """Return how much each pixel of the face counts for every expression, (7, 1, size, size) in [0, 1]."""
    whole = base.template.size
    inside = base.get_buffer("inside")
    weights = []
    for row, expression in enumerate(LABELS):
        eyes = eyes_region(base.goal(expression), whole).float()
        weights.append((1 - (1 - EYES_COUNT) * eyes) * (1 - (1 - INSIDE_COUNT) * inside[row].cpu()))
    return window.cut(torch.stack(weights))


def sheet_pairs(data: CropPairs, people: int) -> CropPairs:
    """Return one pair a label, in label order, of ``people`` people who have them all, evenly chosen."""
    labels = data.labels[data.pairs[:, 1]].tolist()
    first: dict[str, dict[int, int]] = {}
    for row, label in enumerate(labels):
        person = data.persons[int(data.pairs[row, 0])]
        first.setdefault(person, {}).setdefault(label, row)
    whole = [person for person in sorted(first) if len(first[person]) == len(LABELS)] or sorted(first)
    chosen = whole[:: max(1, len(whole) // people)][:people]
    rows = [first[person][label] for person in chosen for label in sorted(first[person])]
    return data.only(rows)
