"""One training run of a generator from its options to its run folder; what ``sargan train`` calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sargan_core.data.samples import Skipped
from sargan_core.data.split import SPLIT, Split, write_split
from sargan_core.errors import UsageError
from sargan_core.expressions import LABELS
from sargan_core.models.pixel.model import PixelModel
from sargan_core.models.registry import load_model
from sargan_core.models.sargan.data import CropPairs, Photos, prepare, sargan_template, sheet_samples
from sargan_core.models.sargan.file import build_generator
from sargan_core.models.sargan.recipes import SarganTraining
from sargan_core.models.sargan.refine import RefineTask, prepare_refinement, sheet_pairs
from sargan_core.models.sargan.task import SarganTask
from sargan_core.progress import Progress
from sargan_core.training.loop import LoopSettings, TrainingTask, make_fabric, measure, train
from sargan_core.training.run_folder import RunFolder, check_unused, read_run_options
from sargan_core.weights import open_weights

SHEET_ROWS = 8


SHEET_PEOPLE = 4


@dataclass(frozen=True)
class RunOptions:
    """Everything that decides a run; kept as ``options.json`` and read again when it is resumed.

    Attributes:
        data: folders, or one packed file.
        training: recipe and networks.
        loop: length and what is written how often.
        test_fraction: part of the people held out.
        landmarks: what finds landmarks for the crops.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        precision: ``fp32`` or ``bf16``.
        start: a generator file to start from, of the same architecture and any crop size; empty = none.
        refine: name of the shipped model whose picture is refined; empty = photos are edited directly.
    """

    data: tuple[str, ...]
    training: SarganTraining
    loop: LoopSettings
    test_fraction: float = 0.2
    landmarks: str = "auto"
    device: str = "auto"
    precision: str = "fp32"
    start: str = ""
    refine: str = ""

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> RunOptions:
        """Build options from ``dataclasses.asdict`` of options."""
        nested = {
            "data": tuple(values["data"]),
            "training": SarganTraining.from_json(values["training"]),
            "loop": LoopSettings(**values["loop"]),
        }
        return cls(**{**values, **nested})


def read_options(folder: Path) -> RunOptions:
    """Return the options of a run folder.

    Raises:
        TrainingError: there are none, or they are not readable.
    """
    return read_run_options(folder, RunOptions.from_json)


class TrainingSession:
    """A run that is ready to go.

    Args:
        options: what to do; with ``loop.resume`` the networks are taken from the folder's checkpoint.
        out: the run folder.
        cache: the crop cache; None = the user's.
        progress: called with (done, total) while photos are cropped.

    Raises:
        DataError: the data does not hold what training needs.
        UsageError: the run folder is in use by another run, the device is not there, or the weights to start
            from are of another architecture.
        WeightsError: the weights to start from cannot be read.
    """

    def __init__(
        self,
        options: RunOptions,
        out: Path,
        cache: Path | None = None,
        progress: Progress = lambda done, total: None,
    ) -> None:
        self.options = options
        self.out = out
        self.fabric = make_fabric(options.device, options.precision)
        # Only the first process looks: the others may come after it has written its options.
        if self.fabric.is_global_zero and not options.loop.resume:
            check_unused(out)
        base = load_base(options)
        self.data, self.skipped = prepared(options, base, cache, progress)
        training = self.data.training()
        held_out = self.data.test() if self.data.held_out else training
        start = self._start()
        self.task: SarganTask
        if base is None:
            samples = sheet_samples(held_out, SHEET_ROWS)
            self.task = SarganTask(options.training, training, samples, self.fabric, start)
        else:
            samples = sheet_pairs(held_out, SHEET_PEOPLE)
            self.task = RefineTask(
                options.training, training, samples, self.fabric, base, options.refine, start
            )

    def _start(self) -> dict[str, Tensor] | None:
        if not self.options.start or self.options.loop.resume:
            return None
        record, tensors = open_weights(Path(self.options.start))
        own = self.options.training.generator
        start = build_generator(record, tensors)
        if replace(start.settings, size=own.size) != own:
            raise UsageError(f"--start {self.options.start}: holds {start.settings}, asked for is {own}")
        return start.state_dict()

    def plan(self) -> TrainingPlan:
        """Return the plan; a few measured steps spend the session's networks, so build a new one to train."""
        networks = {"generator": self.task.average, "discriminator": self.task.bare_judge}
        start = int(RunFolder(self.out, False).read_checkpoint()["step"]) if self.options.loop.resume else 0
        return make_plan(self.task, self.data, networks, self.options.loop, start)

    def run(self, on_step: Callable[[int, dict[str, float]], None] | None = None) -> int:
        """Train; see ``loop.train``. Options and split are written first."""
        folder = RunFolder(self.out, self.fabric.is_global_zero)
        folder.write_options(replace(self.options, loop=replace(self.options.loop, resume=False)))
        if self.fabric.is_global_zero:
            people = frozenset(self.data.persons)
            test = tuple(sorted(people & frozenset(self.data.held_out)))
            split = Split(tuple(sorted(people - frozenset(test))), test, self.options.test_fraction)
            write_split(split, self.out / SPLIT)
        return train(self.task, self.options.loop, folder, on_step)


def load_base(options: RunOptions) -> PixelModel | None:
    """Return the model to refine, None where photos are edited directly.

    Raises:
        WeightsError: no such model.
        UsageError: a model that cannot be refined, or crops larger than its own.
    """
    if not options.refine:
        return None
    base = load_model(options.refine)
    if not isinstance(base, PixelModel) or base.settings.form != "displaced":
        raise UsageError(f"--refine {options.refine}: only a displaced pixel model can be refined")
    size, whole = options.training.generator.size, base.template.size
    if size > whole:
        raise UsageError(f"--size {size}: a refiner of '{options.refine}' sees a part of {whole} px")
    return base


def prepared(
    options: RunOptions, base: PixelModel | None, cache: Path | None, progress: Progress
) -> tuple[CropPairs, tuple[Skipped, ...]]:
    """Return the training data of ``options`` and what was left out of it."""
    folders = [Path(folder) for folder in options.data]
    photos = Photos(folders, options.test_fraction, options.landmarks, cache, progress)
    size = options.training.generator.size
    if base is not None:
        return prepare_refinement(photos, base, size)
    return prepare(photos, sargan_template(size))


def pack(options: RunOptions, path: Path, cache: Path | None, progress: Progress) -> Sequence[Skipped]:
    """Write the crops of ``options.data`` as one file for another machine; return what was left out."""
    data, skipped = prepared(options, load_base(options), cache, progress)
    data.save(path)
    return skipped


@dataclass(frozen=True)
class TrainingPlan:
    """The plan of a run.

    Attributes:
        people: how many people are trained on.
        held_out: how many are held out.
        crops: how many crops are trained on.
        pairs: how many pairs, by ``source > target``.
        parameters: numbers in the networks, by name.
        steps: steps that are still to be made.
        step_seconds: measured seconds of one step here and now.
    """

    people: int
    held_out: int
    crops: int
    pairs: dict[str, int]
    parameters: dict[str, int]
    steps: int
    step_seconds: float

    @property
    def seconds(self) -> float:
        """Expected time of the run."""
        return self.steps * self.step_seconds


def make_plan(
    task: TrainingTask, data: CropPairs, networks: dict[str, nn.Module], loop: LoopSettings, start: int = 0
) -> TrainingPlan:
    """Measure a few steps of ``task`` (which is spent by it) and return the plan.

    Args:
        task: the task to measure, built as for the run.
        data: all crops, those of the people held out too.
        networks: the networks by name.
        loop: how many steps.
        start: the step that a resumed run starts from.
    """
    training = data.training()
    labels = training.labels[training.pairs].tolist()
    names = Counter(f"{LABELS[source]} > {LABELS[target]}" for source, target in labels)
    return TrainingPlan(
        people=len(set(training.persons)),
        held_out=len(set(data.held_out)),
        crops=len(training.persons),
        pairs=dict(sorted(names.items())),
        parameters={
            name: sum(value.numel() for value in network.parameters()) for name, network in networks.items()
        },
        steps=max(0, loop.steps - start),
        step_seconds=measure(task, loop.steps),
    )
