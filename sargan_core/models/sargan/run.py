"""A training run of the SARGAN networks, from photos to weights; what ``sargan train sargan`` calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from lightning_fabric import Fabric
from torch import Tensor

from sargan_core.data.samples import Skipped
from sargan_core.data.sources import read_sources
from sargan_core.data.split import Split, split_by_person
from sargan_core.errors import UsageError
from sargan_core.expressions import LABELS
from sargan_core.faces.face import Template
from sargan_core.models.pixel.model import PixelModel
from sargan_core.models.registry import load_model
from sargan_core.models.sargan.data import (
    CropPairs,
    Photos,
    check_packed,
    check_pairs,
    chosen_pairs,
    face_weight,
    prepare,
    sargan_template,
    sheet_samples,
)
from sargan_core.models.sargan.file import KIND, REFINER, build_generator
from sargan_core.models.sargan.model import mouth_window
from sargan_core.models.sargan.recipes import SarganTraining, check_generator
from sargan_core.models.sargan.refine import (
    RefineTask,
    check_packed_refinement,
    prepare_refinement,
    refined_pairs,
    sheet_pairs,
)
from sargan_core.models.sargan.task import SarganTask
from sargan_core.outcome import Progress
from sargan_core.photo.files import check_writable
from sargan_core.training.loop import LoopSettings, make_fabric
from sargan_core.training.plan import (
    Survey,
    TrainingPlan,
    count_labels,
    count_pairs,
    count_parameters,
    measured_batch,
    random_crops,
    seconds_per_step,
    survey,
)
from sargan_core.training.session import Prepared, TrainingRun

SHEET_ROWS = 8
SHEET_PEOPLE = 4


@dataclass(frozen=True, kw_only=True)
class SarganRun(TrainingRun):
    """A training run of a generator that edits photos directly, or that refines another model's edits.

    Attributes:
        loop: length, and how often what is written.
        training: recipe and networks.
        precision: ``fp32`` or ``bf16``.
        refine: name of the shipped model whose picture is refined; empty = photos are edited directly.
    """

    loop: LoopSettings
    training: SarganTraining
    precision: str = "fp32"
    refine: str = ""

    def check(self) -> None:
        """Raise UsageError for options that cannot be trained with."""
        check_generator(self.training.generator)
        super().check()

    def fabric(self) -> Fabric:
        """Return where the run trains; under ``torchrun`` one of many processes."""
        return make_fabric(self.device, self.precision)

    def prepare(self, out: Path, fabric: Fabric, cache: Path | None, progress: Progress) -> Prepared:
        """Crop the photos, or read a pack; see ``TrainingRun.prepare``."""
        base, start = load_base(self), load_start(self)
        data, skipped = self.crops(base, cache, progress)
        people = frozenset(data.persons.tolist())
        test = tuple(sorted(people & frozenset(data.held_out.tolist())))
        split = Split(tuple(sorted(people - frozenset(test))), test, self.test_fraction)
        training = data.training()
        held_out = data.test() if len(data.held_out) else training
        samples = sheet_samples(held_out, SHEET_ROWS) if base is None else sheet_pairs(held_out, SHEET_PEOPLE)
        return Prepared(skipped, split, self._task(self.training, training, samples, fabric, base, start))

    def plan(self, out: Path, fabric: Fabric) -> TrainingPlan:
        """Return the plan; see ``TrainingRun.plan``."""
        training = self.training
        base, start = load_base(self), load_start(self)
        template = self._template(base)
        found = self._survey(base, template)
        small = replace(training, batch=measured_batch(training.batch, fabric))
        made = random_pairs(template)
        task = self._task(small, made, made, fabric, base, start)
        refines = f", refines {self.refine}" if self.refine else ""
        return TrainingPlan(
            found,
            size=training.generator.size,
            model=f"{training.generator.arch}{refines}",
            recipe=f"{training.recipe}, batch {training.batch}, rate {training.rate:g}, seed {training.seed}",
            parameters={
                "generator": count_parameters(task.average),
                "discriminator": count_parameters(task.bare_discriminator),
            },
            steps=self.loop.steps,
            step_seconds=seconds_per_step(task, self.loop.steps, training.batch / small.batch),
        )

    def crops(
        self, base: PixelModel | None, cache: Path | None, progress: Progress
    ) -> tuple[CropPairs, tuple[Skipped, ...]]:
        """Return the training data and what was left out of it."""
        photos = Photos(self.folders, self.test_fraction, self.landmarks, cache, progress, self.max_pixels)
        size = self.training.generator.size
        if base is not None:
            return prepare_refinement(photos, base, size)
        return prepare(photos, sargan_template(size))

    def _task(
        self,
        training: SarganTraining,
        data: CropPairs,
        samples: CropPairs,
        fabric: Fabric,
        base: PixelModel | None,
        start: dict[str, Tensor] | None,
    ) -> SarganTask:
        if base is None:
            return SarganTask(training, data, samples, fabric, start)
        return RefineTask(training, data, samples, fabric, base, self.refine, start)

    def _template(self, base: PixelModel | None) -> Template:
        size = self.training.generator.size
        if base is None:
            return sargan_template(size)
        return mouth_window(base.template, size).template(base.template)

    def _survey(self, base: PixelModel | None, template: Template) -> Survey:
        folders = self.folders
        data = Photos(folders).packed()
        if data is not None:
            (check_packed if base is None else check_packed_refinement)(data, template, folders[0])
            training = data.training()
            return Survey(
                people=len(set(training.persons.tolist())),
                held_out=len(set(data.held_out.tolist())),
                pictures=count_labels(training.labels.tolist()),
                pairs=count_pairs(training.labels[training.pairs].tolist()),
            )
        sources = read_sources(folders)
        split = split_by_person(sources.samples, self.test_fraction)
        chosen = (chosen_pairs if base is None else refined_pairs)(sources.samples)
        check_pairs(chosen, split.train, folders[0])
        return survey(sources.samples, split, chosen, sources.skipped)


def load_start(run: SarganRun) -> dict[str, Tensor] | None:
    """Return the weights to start from, None where they are random or those of a checkpoint.

    Raises:
        WeightsError: they cannot be read, or are no generator's.
        UsageError: they are of another architecture.
    """
    opened = run.open_start("a generator", KIND, REFINER)
    if opened is None:
        return None
    own, start = run.training.generator, build_generator(*opened)
    if replace(start.settings, size=own.size) != own:
        raise UsageError(f"--start {run.start}: holds {start.settings}, asked for is {own}")
    return start.state_dict()


def load_base(run: SarganRun) -> PixelModel | None:
    """Return the model to refine, None where photos are edited directly.

    Raises:
        WeightsError: no such model.
        UsageError: a model that cannot be refined, or crops larger than its own.
    """
    if not run.refine:
        return None
    base = load_model(run.refine)
    if not isinstance(base, PixelModel) or base.settings.form != "displaced":
        raise UsageError(f"--refine {run.refine}: only a displaced pixel model can be refined")
    size, whole = run.training.generator.size, base.template.size
    if size > whole:
        raise UsageError(f"--size {size}: a refiner of '{run.refine}' sees a part of {whole} px")
    return base


def pack(
    run: SarganRun, path: Path, cache: Path | None, progress: Progress, *, overwrite: bool = False
) -> Sequence[Skipped]:
    """Write the crops of a run as one file for another machine; return what was left out.

    Raises:
        OutputExistsError: the file exists and ``overwrite`` is false.
        PhotoError: it cannot be written; found before anything is cut, except for a disk that fills up.
    """
    run.check()
    check_writable(path, overwrite=overwrite)
    data, skipped = run.crops(load_base(run), cache, progress)
    data.save(path, overwrite=overwrite)
    return skipped


def random_pairs(template: Template) -> CropPairs:
    """Return random pictures to time a step with: one person with every expression, and all pairs among them."""
    count = len(LABELS)
    pairs = np.stack(np.meshgrid(np.arange(count), np.arange(count), indexing="ij"), 2).reshape(-1, 2)
    ones = np.ones(len(pairs), np.float32)
    return CropPairs(
        template=template,
        images=random_crops(template.size),
        persons=np.array(["random"] * count),
        labels=np.arange(count),
        pairs=pairs,
        odds=ones,
        trust=ones,
        mask=face_weight(template.size),
    )
