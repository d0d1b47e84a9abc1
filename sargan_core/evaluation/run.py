"""Run an evaluation: measure what is not yet in the journal, and aggregate everything."""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch

import sargan_core
from sargan_core.data.crop_cache import checksum
from sargan_core.device import choose_device, choose_precision
from sargan_core.errors import DataError, UsageError, WorkerLostError
from sargan_core.evaluation.cost import Cost, measure_cost
from sargan_core.evaluation.journal import NOTHING, TRUTH, Journal, Measure, PhotoMeasures
from sargan_core.evaluation.journal import VERSION as MEASURE_VERSION
from sargan_core.evaluation.measure import Job, JudgeFactory, Session, default_judges
from sargan_core.evaluation.protocol import (
    Case,
    EvaluationSettings,
    in_turn,
    labelled_cases,
    unlabelled_cases,
)
from sargan_core.evaluation.results import Results
from sargan_core.evaluation.summary import (
    count_truths,
    make_confusion,
    make_curves,
    make_distances,
    make_rows,
    people_means,
)
from sargan_core.expressions import Expression
from sargan_core.outcome import Progress
from sargan_core.photo.content import largest_file, read_file
from sargan_core.photo.photo import MAX_PIXELS

JOURNAL = "journal.jsonl"
LIBRARIES = ("torch", "torchmetrics", "kornia", "opencv-python-headless", "scipy", "numpy")


@dataclass(frozen=True)
class Evaluation:
    """A finished run.

    Attributes:
        results: the content of the report.
        cases: the photos, in order.
        measures: all measures.
        session: holds the editors, for the report's pictures.
    """

    results: Results
    cases: tuple[Case, ...]
    measures: tuple[Measure, ...]
    session: Session


def evaluate(
    settings: EvaluationSettings,
    out: Path,
    judges: JudgeFactory = default_judges,
    progress: Progress = lambda done, total: None,
    costs: bool = True,
) -> Evaluation:
    """Measure every test photo with every model.

    Args:
        settings: of the evaluation.
        out: an existing folder for the journal; an interrupted run continues there.
        judges: makes the judges; must be a function of a module when there are several workers.
        progress: called with (done, total) photos.
        costs: also measure the cost of each model, in separate processes.

    Raises:
        UsageError, DataError, WeightsError: nothing to evaluate, or models or judges that cannot be loaded.
        WorkerLostError: a worker process was killed.
    """
    started = time.perf_counter()
    journal = Journal(out / JOURNAL)
    journal.check()
    precision = choose_precision(settings.precision, choose_device(settings.device))
    settings = replace(settings, precision=precision)
    cases = find_cases(settings)
    session = Session(settings, judges)
    judge_keys = [f"{judge.name}:{judge.key}" for judge in session.judges]
    model_keys = {choice.name: choice.checksum() for choice in settings.models}
    curved = _curve_photos(cases, settings.curve_people)
    jobs = [_job(case, settings, model_keys, judge_keys, case.path in curved) for case in cases]
    wanted = {key for job in jobs for _, key, _ in job.models}
    entries = {entry.key: entry for entry in journal.read() if entry.key in wanted and not entry.error}
    left = [
        Job(job.case, missing)
        for job in jobs
        if (missing := tuple(model for model in job.models if model[1] not in entries))
    ]
    done = len(jobs) - len(left)
    progress(done, len(jobs))
    for made in _work(left, settings, judges, session):
        for entry in made:
            entries[entry.key] = entry
            if not entry.error:
                journal.append(entry)
        done += 1
        progress(done, len(jobs))
    # In the order of the photos, in whatever order the workers finished.
    ordered = [entries[key] for job in jobs for _, key, _ in job.models]
    measures = [measure for entry in ordered for measure in entry.measures]
    if not measures:
        reason = next((entry.error for entry in ordered if entry.error), "no photo")
        raise DataError(f"nothing could be measured: {reason}")
    found_costs = _costs(settings, ordered, cases) if costs else ({}, {})
    results = _sum_up(settings, session, measures, ordered, found_costs, time.perf_counter() - started)
    return Evaluation(results, tuple(cases), tuple(measures), session)


def find_cases(settings: EvaluationSettings) -> list[Case]:
    """Return the photos of an evaluation, labelled ones first.

    Raises:
        UsageError: neither ``data`` nor ``ood``.
        DataError: as ``labelled_cases`` and ``unlabelled_cases``.
    """
    if not settings.data and not settings.ood:
        raise UsageError(
            "nothing to evaluate; name labelled photos with --data or unlabelled ones with --ood"
        )
    cases: list[Case] = []
    references: tuple[tuple[Expression, Path], ...] = ()
    if settings.data:
        cases, _ = labelled_cases(settings.data, settings.split, settings.everyone, settings.limit)
        references = cases[0].references
    for case in unlabelled_cases(settings.ood, settings.limit):
        # Unlabelled photos have no references of their own; models that need one get the first case's.
        cases.append(Case(case.path, case.person, case.part, case.source, (), references))
    return cases


def _curve_photos(cases: Sequence[Case], people: int) -> set[Path]:
    """Return the photos for curves: of ``people`` people, evenly over the data sets, one photo each."""
    by_source: dict[str, list[Case]] = {}
    seen: set[str] = set()
    for case in cases:
        if case.part == "in" and case.person not in seen:
            seen.add(case.person)
            by_source.setdefault(case.source, []).append(case)
    return {case.path for case in in_turn(by_source.values())[:people]}


def _job(
    case: Case, settings: EvaluationSettings, model_keys: dict[str, str], judges: list[str], curve: bool
) -> Job:
    try:
        files = [case.path, *(pair.target.path for pair in case.truths)]
        contents = [checksum(read_file(path, largest_file(MAX_PIXELS))) for path in files]
    except (OSError, ValueError) as error:
        contents = [str(error)]
    references = [str(path) for _, path in case.references]
    common = (
        *(str(MEASURE_VERSION), case.part, case.source, case.person, str(case.path), *contents, *judges),
        *(settings.landmarks, settings.precision, str(settings.inception)),
    )
    models = []
    for name in (TRUTH, NOTHING, *model_keys):
        own = model_keys.get(name, "")
        strengths = tuple(sorted({1.0, *settings.strengths})) if own and curve else (1.0,)
        used = references if own else ()
        models.append((name, checksum(name, own, repr(strengths), *common, *used), strengths))
    return Job(case, tuple(models))


_session: Session | None = None


def _start_worker(settings: EvaluationSettings, judges: JudgeFactory) -> None:
    global _session
    # The parent handles Ctrl-C and ends the pool.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(max(1, torch.get_num_threads() // settings.workers))
    _session = Session(settings, judges)


def _work_here(job: Job) -> list[PhotoMeasures]:
    assert _session is not None
    return _session.work(job)


def _work(
    jobs: Sequence[Job], settings: EvaluationSettings, judges: JudgeFactory, session: Session
) -> Iterator[list[PhotoMeasures]]:
    workers = min(settings.workers, len(jobs))
    if workers < 2:
        for job in jobs:
            yield session.work(job)
        return
    pool = ProcessPoolExecutor(
        *(workers, multiprocessing.get_context("spawn")),
        initializer=_start_worker,
        initargs=(settings, judges),
    )
    try:
        for future in as_completed([pool.submit(_work_here, job) for job in jobs]):
            yield future.result()
    except BrokenProcessPool as error:
        raise WorkerLostError(
            "a worker process was killed, perhaps because memory ran out; call again to continue, with fewer --workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _costs(
    settings: EvaluationSettings, entries: Sequence[PhotoMeasures], cases: Sequence[Case]
) -> tuple[dict[str, Cost], dict[str, str]]:
    """Return the costs by model, and the reasons why some could not be measured."""
    costs, notes = {}, {}
    for choice in settings.models:
        good = {entry.photo for entry in entries if entry.model == choice.name and entry.measures}
        case = next((case for case in cases if str(case.path) in good), None)
        if case is None:
            continue
        try:
            costs[choice.name] = measure_cost(choice, settings, case)
        except DataError as error:
            notes[choice.name] = str(error)
    return costs, notes


def _sum_up(
    settings: EvaluationSettings,
    session: Session,
    measures: Sequence[Measure],
    entries: Sequence[PhotoMeasures],
    costs: tuple[dict[str, Cost], dict[str, str]],
    seconds: float,
) -> Results:
    full = [measure for measure in measures if measure.strength == 1.0]
    judges = {judge.name: judge.description for judge in session.judges}
    skipped: dict[str, str] = {}
    for entry in entries:
        if entry.error:
            skipped.setdefault(entry.photo, entry.error)
    return Results(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions(),
        settings={
            **asdict(settings),
            "models": {choice.name: str(choice.weights or "shipped") for choice in settings.models},
            "device": choose_device(settings.device),
            "threads": torch.get_num_threads(),
        },
        models=(NOTHING, *(choice.name for choice in settings.models), TRUTH),
        judges=judges,
        rows=make_rows(full),
        people=people_means(full),
        confusion=make_confusion(full, list(judges)),
        curves=make_curves(measures),
        distances=make_distances(full),
        costs=costs[0],
        cost_notes=costs[1],
        truths=count_truths(full),
        skipped=skipped,
        seconds=seconds,
    )


def versions() -> dict[str, str]:
    """Return the versions of sargan and of the libraries that figures depend on."""
    found = {"sargan": sargan_core.__version__}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
