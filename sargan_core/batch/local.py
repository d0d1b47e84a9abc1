"""What an engine is: it takes tasks, edits, and hands finished results back in the order of the tasks."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from sargan_core.batch.manifest import Entry, ManifestWriter
from sargan_core.batch.plan import Task, Variant
from sargan_core.errors import UsageError

if TYPE_CHECKING:
    from sargan_core.batch.schedule import Limits
    from sargan_core.editor import Editor, EditSettings


# Called with every finished result, in the order of tasks and outputs; what it raises ends the run.
OnResult: TypeAlias = Callable[[Entry], None]


@dataclass(frozen=True)
class BatchSettings:
    """How a batch is done; the same for all its photos.

    Attributes:
        folder: the output folder.
        staging: a folder on the same file system for results that are not in their place yet; emptied by the next run.
        edit: what the editor is built with; an engine gets it with the precision that is used, never ``auto``.
        variants: what every photo is edited to.
        max_pixels: largest photo that is decoded; None = the library's own limit.
        metadata: ``keep`` or ``strip``.
        provenance: mark the results.
        in_place: the results replace the photos.
        workers: threads of the local engine, processes of others; None = as many as suit the machine.
        batch_size: most faces that go through the model at once; None = what suits the device.
        compile: compile the network first.
    """

    folder: Path
    staging: Path
    edit: EditSettings
    variants: tuple[Variant, ...]
    max_pixels: int | None = None
    metadata: Literal["keep", "strip"] = "keep"
    provenance: bool = True
    in_place: bool = False
    workers: int | None = None
    batch_size: int | None = None
    compile: bool = False


class Engine(Protocol):
    """Does the tasks of a batch."""

    def __call__(
        self, tasks: Iterable[Task], settings: BatchSettings, manifest: ManifestWriter, on_result: OnResult
    ) -> None:
        """Edit every task's photo to every one of its outputs.

        For every result, in the order of the tasks: write it to ``settings.staging``, append its entry to the manifest,
        put it in its place, call ``on_result``. A photo that cannot be read or edited becomes entries, never an
        exception.

        Args:
            tasks: read as slowly as photos are finished, so that it may be long and lazy.
            settings: how.
            manifest: open.
            on_result: is told every entry.

        Raises:
            WeightsError, UsageError: no photo can be edited.
            PhotoError: the manifest cannot be written.
        """
        ...


# Faces that a GPU gets at once unless it is asked for otherwise.
GPU_FACES = 32


# Memory for pixels that each thread adds: one photo of 12 megapixels at work, and most of one that waits.
BYTES_A_WORKER = 320 * 2**20


def run_local(
    tasks: Iterable[Task], settings: BatchSettings, manifest: ManifestWriter, on_result: OnResult
) -> None:
    """Edit on this machine; see ``Engine``.

    On a CPU every photo goes through the model on its own, by one thread, so that its result has the same bytes
    as from ``Editor.edit``; the cores share the photos. On a GPU the faces of several photos are one batch.

    Raises:
        WeightsError, UsageError: no photo can be edited.
        PhotoError: the manifest cannot be written.
    """
    waiting = iter(tasks)
    first = next(waiting, None)
    if first is None:  # nothing to do, so no model to load
        return
    from sargan_core.editor import Editor

    editor = Editor(settings.edit)
    if settings.compile:
        compile_network(editor)
    with _single_threaded():
        _run(editor, itertools.chain([first], waiting), settings, manifest, on_result)


def _run(
    editor: Editor,
    tasks: Iterator[Task],
    settings: BatchSettings,
    manifest: ManifestWriter,
    on_result: OnResult,
) -> None:
    from sargan_core.batch.pipeline import Pipeline
    from sargan_core.batch.work import Staged, commit, discard, target_of

    limits = limits_for(editor, settings, settings.workers or available_cores())
    targets = {variant: target_of(variant, editor, settings.max_pixels) for variant in settings.variants}
    pipeline = Pipeline(tasks, editor, targets, settings, limits)
    waiting: list[Staged] = []
    try:
        for task, waiting in pipeline.results():
            while waiting:
                on_result(commit(waiting.pop(0), task.source, manifest))
    finally:
        for staged in (*waiting, *pipeline.stop()):
            discard(staged)


def limits_for(editor: Editor, settings: BatchSettings, workers: int) -> Limits:
    """Return how much a pipeline with this editor and this many threads may have under way."""
    from sargan_core.batch.schedule import Limits

    on_gpu = editor.device != "cpu"
    faces = (settings.batch_size or GPU_FACES) if on_gpu else 1
    return Limits(
        workers=workers,
        models=1 if on_gpu or settings.compile else workers,
        faces=faces,
        photos=4 * workers + 2 * faces,
        bytes=max(2, workers) * BYTES_A_WORKER,
    )


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def compile_network(editor: Editor) -> None:
    """Compile the editor's network; the first photos wait for it.

    Raises:
        UsageError: the model has no network.
    """
    networks = [member for member in editor.model.children() if any(True for _ in member.parameters())]
    if not networks:
        raise UsageError(f"--compile: model '{editor.model.name}' has no network to compile; leave it out")
    for network in networks:
        network.compile(dynamic=True)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Let torch and OpenCV compute with one thread each: the engine's own threads fill the cores."""
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
