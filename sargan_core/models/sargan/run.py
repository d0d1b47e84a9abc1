"""One training run of a generator from its options to its run folder; what ``sargan train`` calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from sargan_core.data.samples import Pair, Sample, Skipped
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
from sargan_core.photo.files import check_writable
from sargan_core.photo.photo import MAX_PIXELS
from sargan_core.progress import Progress
from sargan_core.training.checks import check_generator, check_test_fraction
from sargan_core.training.loop import LoopSettings, make_fabric, train
from sargan_core.training.run_folder import RunFolder, finished_steps, read_run_options
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
        max_pixels: photos of more pixels are left out.
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
    max_pixels: int = MAX_PIXELS

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
        TrainingError: there is nothing to resume.
        UsageError: the sizes do not fit the network, the device is not there, the weights to start from are of
            another architecture, or the run to resume has gone further than asked.
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
        check_options(options)
        self.fabric = make_fabric(options.device, options.precision)
        if options.loop.resume:
            finished_steps(out, options.loop.steps)
        base, start = load_base(options), load_start(options)
        self.data, self.skipped = prepared(options, base, cache, progress)
        training = self.data.training()
        held_out = self.data.test() if self.data.held_out else training
        self.task: SarganTask
        if base is None:
            samples = sheet_samples(held_out, SHEET_ROWS)
            self.task = SarganTask(options.training, training, samples, self.fabric, start)
        else:
            samples = sheet_pairs(held_out, SHEET_PEOPLE)
            self.task = RefineTask(
                options.training, training, samples, self.fabric, base, options.refine, start
            )

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


def check_options(options: RunOptions) -> None:
    """Raise UsageError for options that cannot be trained with, before any photo is read."""
    check_generator(options.training.generator)
    check_test_fraction(options.test_fraction)


def load_start(options: RunOptions) -> dict[str, Tensor] | None:
    """Return the weights to start from, None where they are random or those of a checkpoint.

    Raises:
        WeightsError: they cannot be read, or are no generator's.
        UsageError: they are of another architecture.
    """
    if not options.start or options.loop.resume:
        return None
    record, tensors = open_weights(Path(options.start))
    own = options.training.generator
    start = build_generator(record, tensors)
    if replace(start.settings, size=own.size) != own:
        raise UsageError(f"--start {options.start}: holds {start.settings}, asked for is {own}")
    return start.state_dict()


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
    photos = Photos(folders, options.test_fraction, options.landmarks, cache, progress, options.max_pixels)
    size = options.training.generator.size
    if base is not None:
        return prepare_refinement(photos, base, size)
    return prepare(photos, sargan_template(size))


def pack(
    options: RunOptions, path: Path, cache: Path | None, progress: Progress, *, overwrite: bool = False
) -> Sequence[Skipped]:
    """Write the crops of ``options.data`` as one file for another machine; return what was left out.

    Raises:
        OutputExistsError: the file exists and ``overwrite`` is false.
        PhotoError: it cannot be written; found before anything is cut, except for a disk that fills up.
    """
    check_options(options)
    check_writable(path, overwrite=overwrite)
    data, skipped = prepared(options, load_base(options), cache, progress)
    data.save(path, overwrite=overwrite)
    return skipped


@dataclass(frozen=True)
class Survey:
    """What there is to learn from, by the names of the photos: which of them show a usable face is found out later.

    Attributes:
        people: how many people are trained on.
        held_out: how many are held out.
        pictures: how many pictures of the people to train on show which expression.
        pairs: how many pairs of them are used, by ``source > target``; empty where single pictures are learned from.
        skipped: what is left out already, and why.
    """

    people: int
    held_out: int
    pictures: dict[str, int]
    pairs: dict[str, int]
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class TrainingPlan:
    """The plan of a training.

    Attributes:
        survey: what there is to learn from.
        size: side of the crops in pixels.
        model: what is trained, in a few words.
        recipe: how, in a few words.
        weights: name of the weights file in the run folder.
        parameters: numbers in the networks, by name.
        steps: steps that are still to be made; 0 = it is fitted at once.
        step_seconds: measured seconds of one step here and now, on made pictures; the cutting of crops comes on top.
    """

    survey: Survey
    size: int
    model: str
    recipe: str
    weights: str
    parameters: dict[str, int] = field(default_factory=dict)
    steps: int = 0
    step_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """Expected time of the steps."""
        return self.steps * self.step_seconds


def survey(
    samples: Sequence[Sample],
    split: Split,
    pairs: Sequence[Pair] = (),
    skipped: Sequence[Skipped] = (),
) -> Survey:
    """Return what the photos and the pairs of the people to train on are."""
    train = frozenset(split.train)
    return Survey(
        people=len(split.train),
        held_out=len(split.test),
        pictures=counted(sample.expression.label for sample in samples if sample.person in train),
        pairs=counted_pairs(
            (pair.source.expression.label, pair.target.expression.label)
            for pair in pairs
            if pair.source.person in train
        ),
        skipped=tuple(skipped),
    )


def counted(labels: Iterable[int]) -> dict[str, int]:
    """Return how often each expression is there, by name."""
    return dict(sorted(Counter(str(LABELS[label]) for label in labels).items()))


def counted_pairs(labels: Iterable[tuple[int, int]]) -> dict[str, int]:
    """Return how often each ``source > target`` is there."""
    return dict(sorted(Counter(f"{LABELS[source]} > {LABELS[target]}" for source, target in labels).items()))
