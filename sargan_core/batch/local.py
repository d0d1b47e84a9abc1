"""The local engine: edits on this machine with a pipeline of threads, or with processes that each run one."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sargan_core.batch.manifest import ManifestWriter
from sargan_core.batch.memory import keep_freed_memory
from sargan_core.batch.pipeline import Pipeline
from sargan_core.batch.plan import BatchSettings, Task, Variant
from sargan_core.batch.steps import Staged, commit, read_reference
from sargan_core.errors import UsageError
from sargan_core.expressions import Like

if TYPE_CHECKING:
    from sargan_core.batch.processes import Processes
    from sargan_core.batch.run import OnResult
    from sargan_core.editor import Editor
    from sargan_core.models.base import Reference, Target

# Faces that a GPU gets together unless ``batch_size`` says otherwise.
GPU_FACES = 32
# Memory for pixels that each thread adds: one photo of 12 megapixels at work, and most of one that waits.
BYTES_A_WORKER = 320 * 2**20


@dataclass(frozen=True)
class Limits:
    """How much a pipeline may do at once.

    Attributes:
        workers: threads.
        models: threads that may run the model at the same time.
        faces: most faces that go through the model together.
        photos: most photos from reading to the manifest.
        bytes: most memory for pixels; a photo that needs more goes alone.
    """

    workers: int
    models: int
    faces: int
    photos: int
    bytes: int


@dataclass(frozen=True)
class Setup:
    """What all pipelines of a process share.

    Attributes:
        editor: shared by all threads.
        targets: what the editor is asked for under each variant.
        settings: of the batch.
        limits: of each pipeline.
    """

    editor: Editor
    targets: Mapping[Variant, Target]
    settings: BatchSettings
    limits: Limits


def set_up(settings: BatchSettings, threads: int) -> Setup:
    """Load the model and the reference photos.

    Args:
        settings: of the batch.
        threads: of each pipeline.

    Raises:
        WeightsError, UsageError: as ``Editor``; UsageError also if the model has no network to compile.
        PhotoError, NoFaceError: as ``read_reference`` and ``Editor.reference``.
    """
    from sargan_core.editor import Editor

    editor = Editor(settings.edit)
    if settings.compile:
        _compile_networks(editor)
    on_gpu = editor.device != "cpu"
    faces = (settings.batch_size or GPU_FACES) if on_gpu else 1
    limits = Limits(
        workers=threads,
        models=1 if on_gpu or settings.compile else threads,
        faces=faces,
        photos=4 * threads + 2 * faces,
        bytes=max(2, threads) * BYTES_A_WORKER,
    )
    return Setup(editor, _targets(editor, settings), settings, limits)


def _compile_networks(editor: Editor) -> None:
    networks = [member for member in editor.model.children() if any(True for _ in member.parameters())]
    if not networks:
        raise UsageError(f"--compile: model '{editor.model.name}' has no network to compile; leave it out")
    for network in networks:
        network.compile(dynamic=True)


def _targets(editor: Editor, settings: BatchSettings) -> dict[Variant, Target]:
    references: dict[Like, Reference] = {}
    targets: dict[Variant, Target] = {}
    for variant in settings.variants:
        mix = variant.mix
        if isinstance(mix, Like):
            if mix not in references:
                photo, _ = read_reference(mix, settings.max_pixels)
                references[mix] = editor.reference(photo, mix.face)
            targets[variant] = references[mix].scaled(variant.strength)
        else:
            targets[variant] = mix.scaled(variant.strength)
    return targets


def run_local(
    tasks: Iterable[Task], settings: BatchSettings, manifest: ManifestWriter, on_result: OnResult
) -> None:
    """Edit on this machine; an ``Engine``, see ``sargan_core.batch.run``.

    On a CPU every photo goes through the model on its own, so that its result has the same bytes as from
    ``Editor.edit``; the cores share the photos, as threads or, with ``settings.fork``, as processes. On a GPU the
    faces of several photos are one batch.

    Raises:
        WeightsError, UsageError: no photo can be edited.
        PhotoError: the manifest cannot be written, or the reference photo cannot be read.
        WorkerLostError: a process was killed.
    """
    remaining = iter(tasks)
    workers = settings.workers or available_cores()
    first = list(itertools.islice(remaining, workers))
    if not first:  # nothing to do, so no model to load
        return
    keep_freed_memory()
    with _single_threaded():
        setup = set_up(settings, workers)
        work = _work(itertools.chain(first, remaining), setup, len(first))
        results: list[Staged] = []
        try:
            for task, results in work.results():
                while results:
                    on_result(commit(results.pop(0), task.source, manifest))
        finally:
            work.stop()
            for staged in results:
                staged.discard()


def _work(tasks: Iterator[Task], setup: Setup, most: int) -> Pipeline | Processes:
    """Return what does the tasks: processes where they may be forked, with enough to do for at least two."""
    count, settings = min(most, setup.limits.workers), setup.settings
    on_cpu = setup.editor.device == "cpu" and not settings.compile
    if not (settings.fork and can_fork() and on_cpu and 2 <= count <= available_cores()):
        return Pipeline(tasks, setup)
    own = replace(setup.limits, workers=1, models=1, bytes=setup.limits.bytes // setup.limits.workers)
    try:
        from sargan_core.batch.processes import Processes

        return Processes(tasks, replace(setup, limits=own), count)
    except (ImportError, OSError):  # a container without shared semaphores (/dev/shm)
        return Pipeline(tasks, setup)


def can_fork() -> bool:
    """Return whether this system lets a process with loaded libraries be forked."""
    return sys.platform.startswith("linux")


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Let torch and OpenCV compute with one thread each: the threads of the pipeline fill the cores."""
    import cv2
    import torch

    counts = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(counts[0])
        cv2.setNumThreads(counts[1])
