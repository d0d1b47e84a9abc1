"""The plan of each kind of training, in seconds and without a trace on the disk; what ``--dry-run`` shows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lightning_fabric import Fabric
from torch import nn

from sargan_core.data.samples import Pair, Sample, pairs
from sargan_core.data.sources import read_sources
from sargan_core.data.split import SPLIT, read_split, split_by_person
from sargan_core.errors import DataError
from sargan_core.expressions import Expression
from sargan_core.models.aipgan import run as aipgan_run
from sargan_core.models.aipgan.task import AipganTask
from sargan_core.models.judge import run as judge_run
from sargan_core.models.judge.network import TEMPLATE
from sargan_core.models.judge.task import JudgeTask, JudgeTraining
from sargan_core.models.landmarks import run as landmarks_run
from sargan_core.models.landmarks.network import SIZE, LandmarkNetwork
from sargan_core.models.landmarks.task import LandmarkOptions, train_landmarks
from sargan_core.models.pixel import run as pixel_run
from sargan_core.models.pixel.fit import PixelOptions
from sargan_core.models.pixel.model import PixelModel
from sargan_core.models.sargan import run as session
from sargan_core.models.sargan.data import (
    CropPairs,
    Photos,
    check_packed,
    check_pairs,
    chosen_pairs,
    sargan_template,
)
from sargan_core.models.sargan.model import mouth_window
from sargan_core.models.sargan.refine import RefineTask, check_packed_refinement, refined_pairs
from sargan_core.models.sargan.run import Survey, TrainingPlan, counted, counted_pairs, survey
from sargan_core.models.sargan.task import SarganTask
from sargan_core.training.checks import check_test_fraction
from sargan_core.training.loop import LoopSettings, make_fabric, measure
from sargan_core.training.made import made_bank, made_judge_data, made_landmark_crops, made_pairs
from sargan_core.training.run_folder import WEIGHTS, finished_steps

# Steps of the landmark network that are measured.
MEASURED = 5


def plan_sargan(options: session.RunOptions, out: Path) -> TrainingPlan:
    """Return the plan of a ``TrainingSession``; raises what that raises for its options, data and start."""
    session.check_options(options)
    done = _done(out, options.loop)
    training = options.training
    base, start = session.load_base(options), session.load_start(options)
    fabric = make_fabric(options.device, options.precision)
    found = _surveyed_pairs(options, base)
    small = replace(training, batch=_measured_batch(training.batch, fabric))
    task: SarganTask
    if base is None:
        made = made_pairs(sargan_template(training.generator.size))
        task = SarganTask(small, made, made, fabric, start)
    else:
        made = made_pairs(mouth_window(base.template, training.generator.size).template(base.template))
        task = RefineTask(small, made, made, fabric, base, options.refine, start)
    refines = f", refines {options.refine}" if options.refine else ""
    return TrainingPlan(
        found,
        size=training.generator.size,
        model=f"{training.generator.arch}{refines}",
        recipe=f"{training.recipe}, batch {training.batch}, rate {training.rate:g}, seed {training.seed}",
        weights=WEIGHTS,
        parameters={
            "generator": _parameters(task.average),
            "discriminator": _parameters(task.bare_judge),
        },
        steps=options.loop.steps - done,
        step_seconds=measure(task, options.loop.steps) * training.batch / small.batch,
    )


def _surveyed_pairs(options: session.RunOptions, base: PixelModel | None) -> Survey:
    folders = [Path(folder) for folder in options.data]
    size = options.training.generator.size
    data = Photos(folders).packed()
    if data is not None:
        if base is None:
            check_packed(data, sargan_template(size), folders[0])
        else:
            template = mouth_window(base.template, size).template(base.template)
            check_packed_refinement(data, template, folders[0])
        return _survey_of_pack(data)
    sources = read_sources(folders)
    split = split_by_person(sources.samples, options.test_fraction)
    chosen = (chosen_pairs if base is None else refined_pairs)(sources.samples)
    check_pairs(chosen, split.train, folders[0])
    return survey(sources.samples, split, chosen, sources.skipped)


def _survey_of_pack(data: CropPairs) -> Survey:
    training = data.training()
    return Survey(
        people=len(set(training.persons)),
        held_out=len(set(data.held_out)),
        pictures=counted(training.labels.tolist()),
        pairs=counted_pairs(training.labels[training.pairs].tolist()),
    )


def plan_aipgan(options: aipgan_run.TransferOptions, out: Path) -> TrainingPlan:
    """Return the plan of a ``TransferSession``; raises what that raises for its options, data and start."""
    aipgan_run.check_options(options)
    done = _done(out, options.loop)
    start = aipgan_run.load_start(options)
    fabric = make_fabric(options.device, "fp32")
    folders = [Path(folder) for folder in options.data]
    sources = read_sources(folders)
    split = split_by_person(sources.samples, options.test_fraction)
    train, _ = split.apply(sources.samples)
    chosen = _from_neutral(train, folders[0])
    if len({pair.source.person for pair in chosen}) < 2:
        raise DataError(
            f"{folders[0]}: only one person to train on; an expression is carried from one person to another"
        )
    training = options.training
    bank = made_bank(max(aipgan_run.LEAST_SIZE, training.network.size))
    small = replace(training, batch=_measured_batch(training.batch, fabric))
    task = AipganTask(small, bank, bank, fabric, lambda network, path: None, start)
    return TrainingPlan(
        survey(sources.samples, split, chosen, sources.skipped),
        size=training.network.size,
        model="displaced" if training.network.residual else "painted",
        recipe=f"{options.triples:,} triples, batch {training.batch}, rate {training.rate:g}, seed {training.seed}",
        weights=WEIGHTS,
        parameters={
            "in use": sum(value.numel() for value in task.network.inference_parameters()),
            "in training": _parameters(task.network) + _parameters(task.bare_judges),
        },
        steps=options.loop.steps - done,
        step_seconds=measure(task, options.loop.steps) * training.batch / small.batch,
    )


def plan_judge(
    folders: Sequence[Path], out: Path, training: JudgeTraining, loop: LoopSettings, test_fraction: float
) -> TrainingPlan:
    """Return the plan of ``train_judge``; raises what that raises for its options and data."""
    check_test_fraction(test_fraction)
    done = _done(out, loop)
    sources = read_sources(folders)
    judge_run.check_expressions(sources.samples, folders[0])
    split = read_split(out / SPLIT) if loop.resume else split_by_person(sources.samples, test_fraction)
    task = JudgeTask(training, made_judge_data(len(split.train)), made_judge_data(1))
    return TrainingPlan(
        survey(sources.samples, split, skipped=sources.skipped),
        size=TEMPLATE.size,
        model="judge",
        recipe=f"batch {training.batch} and {training.mixed} mixed, rate {training.rate:g}, seed {training.seed}",
        weights=judge_run.WEIGHTS,
        parameters={"judge": _parameters(task.judge)},
        steps=loop.steps - done,
        step_seconds=measure(task, loop.steps),
    )


def plan_pixel(folders: Sequence[Path], options: PixelOptions, test_fraction: float) -> TrainingPlan:
    """Return the plan of ``train_pixel``; raises what that raises for its options and data."""
    pixel_run.check_pixel_options(options, test_fraction)
    sources = read_sources(folders)
    split = split_by_person(sources.samples, test_fraction)
    train, _ = split.apply(sources.samples)
    chosen = pixel_run.chosen_pairs(train)
    pixel_run.check_chosen(chosen, folders[0])
    return TrainingPlan(
        survey(sources.samples, split, chosen, sources.skipped),
        size=options.size,
        model=f"{options.form}, channels {options.channels}, scaling {options.scaling}",
        recipe=f"closed form, lambda {options.penalty:g}",
        weights=pixel_run.WEIGHTS,
    )


def plan_landmarks(
    folders: Sequence[Path],
    test_fraction: float,
    phases: Sequence[LandmarkOptions] = landmarks_run.PHASES,
) -> TrainingPlan:
    """Return the plan of ``train_landmarks_run``; raises what that raises for its options and data."""
    check_test_fraction(test_fraction)
    sources = read_sources(folders)
    known = landmarks_run.with_landmarks(sources.samples, folders[0])
    split = split_by_person(known, test_fraction)
    times: list[float] = []
    network = train_landmarks(
        *made_landmark_crops(),
        replace(phases[0], steps=MEASURED + 1),
        LandmarkNetwork(),
        lambda step, loss: times.append(time.perf_counter()),
    )
    return TrainingPlan(
        survey(known, split, skipped=sources.skipped),
        size=SIZE,
        model="68 points",
        recipe=f"{len(phases)} phases, batch {phases[0].batch}",
        weights=landmarks_run.WEIGHTS,
        parameters={"landmarks": _parameters(network)},
        steps=sum(phase.steps for phase in phases),
        step_seconds=(times[-1] - times[0]) / MEASURED,
    )


def _from_neutral(samples: Sequence[Sample], folder: Path) -> list[Pair]:
    chosen = [pair for pair in pairs(samples) if pair.source.expression is Expression.NEUTRAL]
    if not chosen:
        raise DataError(f"{folder}: no person with a neutral photo and one of another expression")
    return chosen


def _done(out: Path, loop: LoopSettings) -> int:
    return finished_steps(out, loop.steps) if loop.resume else 0


def _measured_batch(batch: int, fabric: Fabric) -> int:
    """Return the batch to measure: a processor takes as long for each picture, and a whole batch may take a minute."""
    return 1 if fabric.device.type == "cpu" else batch


def _parameters(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())
