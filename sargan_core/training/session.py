"""A training run of any model: prepare the photos, train, and write the results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, TypeVar

from lightning_fabric import Fabric
from torch import Tensor

from sargan_core.data.crops import Cropper
from sargan_core.data.samples import Skipped
from sargan_core.data.split import SPLIT, Split, write_split
from sargan_core.errors import WeightsError
from sargan_core.faces.face import Template
from sargan_core.outcome import Progress
from sargan_core.photo.photo import MAX_PIXELS
from sargan_core.training.checks import check_test_fraction
from sargan_core.training.loop import LoopSettings, TrainingTask, make_fabric, train
from sargan_core.training.plan import TrainingPlan
from sargan_core.training.run_folder import WEIGHTS, RunFolder, finished_steps, read_run_options
from sargan_core.weights import WeightsRecord, open_weights


def no_progress(done: int, total: int) -> None:
    """Ignore the progress."""


@dataclass(frozen=True)
class Prepared:
    """The prepared data of a run.

    Attributes:
        skipped: files that were left out, and why.
        split: who is trained on and who is held out; None = it lies in the run folder already.
        task: what the loop trains; None = everything is done by ``finish``.
        finish: called with the run folder and a progress callback after the last step; writes card and figures,
            and the weights where there is no task.
    """

    skipped: tuple[Skipped, ...]
    split: Split | None = None
    task: TrainingTask | None = None
    finish: Callable[[Path, Progress], None] | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingRun(ABC):
    """The settings of a run, and the steps that differ between models.

    Each model has a subclass, whose fields are written as ``options.json`` and read when the run is resumed.

    Attributes:
        data: folders, or one packed file.
        loop: length, and how often what is written; None = closed form or a loop of its own, without checkpoints, so
            that the run cannot be resumed.
        test_fraction: part of the people held out.
        landmarks: what finds landmarks where the data set has none, see ``face_finder``.
        max_pixels: photos of more pixels are left out.
        device: where the networks learn: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        start: a weights file to start from; empty = none.
    """

    data: tuple[str, ...]
    loop: LoopSettings | None = None
    test_fraction: float = 0.2
    landmarks: str = "auto"
    max_pixels: int = MAX_PIXELS
    device: str = "cpu"
    start: str = ""

    # Name of the weights file in the run folder.
    weights: ClassVar[str] = WEIGHTS

    @property
    def folders(self) -> list[Path]:
        """``data`` as paths."""
        return [Path(folder) for folder in self.data]

    @property
    def resume(self) -> bool:
        """Whether an earlier run is continued."""
        return self.loop is not None and self.loop.resume

    def check(self) -> None:
        """Raise UsageError for options that cannot be trained with, before any photo is read."""
        check_test_fraction(self.test_fraction)

    def fabric(self) -> Fabric:
        """Return where the run trains, under ``torchrun`` one of many processes; UsageError if that is not here."""
        return make_fabric(self.device, "fp32")

    def cropper(self, template: Template, cache: Path | None, *, known_first: bool = True) -> Cropper:
        """Return what cuts the crops of the run; arguments as of ``Cropper``."""
        return Cropper(
            template,
            landmarks=self.landmarks,
            known_first=known_first,
            cache=cache,
            max_pixels=self.max_pixels,
        )

    def open_start(self, what: str, *kinds: str) -> tuple[WeightsRecord, dict[str, Tensor]] | None:
        """Return record and tensors of ``start``; None where the weights are random or those of a checkpoint.

        Args:
            what: the network, for the message.
            kinds: of records that hold it.

        Raises:
            WeightsError: the file cannot be read, or holds something else.
        """
        if not self.start or self.resume:
            return None
        record, tensors = open_weights(Path(self.start))
        if record.kind not in kinds:
            raise WeightsError(f"{self.start}: holds a {record.kind}, not {what}; see sargan models list")
        return record, tensors

    @abstractmethod
    def plan(self, out: Path, fabric: Fabric) -> TrainingPlan:
        """Return the plan of the whole run without writing anything; raises what ``prepare`` raises for the data."""

    @abstractmethod
    def prepare(self, out: Path, fabric: Fabric, cache: Path | None, progress: Progress) -> Prepared:
        """Read, split and crop the photos.

        Args:
            out: the run folder.
            fabric: where the run trains.
            cache: the crop cache; None = the user's.
            progress: called with (done, total).

        Raises:
            DataError: the data does not hold what training needs.
            UsageError: the options do not fit the data or the weights to start from.
            WeightsError: the weights to start from cannot be read.
        """


Run = TypeVar("Run", bound=TrainingRun)


def read_run(kind: type[Run], folder: Path) -> Run:
    """Return the run of a folder.

    Raises:
        TrainingError: there is none, or its options are not readable.
    """
    return read_run_options(folder, kind)


def plan_training(run: TrainingRun, out: Path) -> TrainingPlan:
    """Return the plan of a run within seconds, without writing anything; raises what ``Session`` raises."""
    run.check()
    done = _done(run, out)
    plan = run.plan(out, run.fabric())
    return replace(plan, steps=plan.steps - done)


class Session:
    """A prepared run.

    Args:
        run: its settings; with ``loop.resume`` the networks are loaded from the folder's checkpoint.
        out: the run folder.
        cache: the crop cache; None = the user's.
        progress: called with (done, total) while photos are prepared.

    Raises:
        DataError: the data does not hold what training needs.
        TrainingError: there is nothing to resume.
        UsageError: options that cannot be trained with, a device that is not there, weights to start from that do
            not fit, or the run to resume has gone further than asked.
        WeightsError: the weights to start from cannot be read.
    """

    def __init__(
        self, run: TrainingRun, out: Path, cache: Path | None = None, progress: Progress = no_progress
    ) -> None:
        run.check()
        self.settings = run
        self.out = out
        self.fabric = run.fabric()
        _done(run, out)
        self.prepared = run.prepare(out, self.fabric, cache, progress)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Files that were left out, and why."""
        return self.prepared.skipped

    def run(
        self,
        on_step: Callable[[int, dict[str, float]], None] | None = None,
        progress: Progress = no_progress,
    ) -> Path:
        """Write options and split, train, and write the results; return the weights file.

        Args:
            on_step: called after every step with its number and losses.
            progress: called with (done, total) by a run that has no loop.

        Raises:
            TrainingError: see ``loop.train``.
            PhotoError: the results cannot be written.
            KeyboardInterrupt: Ctrl-C or SIGTERM; the checkpoint of the finished step is written before.
        """
        first = self.fabric.is_global_zero
        loop, prepared = self.settings.loop, self.prepared
        if first:
            self.out.mkdir(parents=True, exist_ok=True)
        folder = RunFolder(self.out, first) if loop is not None else None
        if folder is not None and loop is not None:
            folder.write_options(replace(self.settings, loop=replace(loop, resume=False)))
        if first and prepared.split is not None:
            write_split(prepared.split, self.out / SPLIT)
        if folder is not None and loop is not None and prepared.task is not None:
            train(prepared.task, loop, folder, on_step, self.settings.weights)
        if first and prepared.finish is not None:
            prepared.finish(self.out, progress)
        return self.out / self.settings.weights


def _done(run: TrainingRun, out: Path) -> int:
    """Return how many steps the run has made already."""
    return finished_steps(out, run.loop.steps) if run.loop is not None and run.loop.resume else 0
