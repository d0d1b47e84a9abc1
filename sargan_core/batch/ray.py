"""The engine for many machines: Ray Data hands the tasks to processes that hold an editor each.

The machines share the file system of photos and results (NFS, Lustre), at the same paths. Workers run the same pipeline
as the local engine and write results to the staging folder. The driver alone writes the manifest and puts results in
place. So manifest, resuming and bytes are those of the local engine.
"""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sargan_core import __version__
from sargan_core.batch.manifest import ManifestWriter
from sargan_core.batch.memory import keep_freed_memory
from sargan_core.batch.plan import BatchSettings, Task
from sargan_core.errors import SarganError, UsageError
from sargan_core.photo.files import shown

if TYPE_CHECKING:
    import pyarrow

    from sargan_core.batch.run import OnResult
    from sargan_core.batch.steps import Staged

# Tasks that Ray is given at once; the workers load their models again for each such part of a batch.
PART = 20_000
# Tasks that travel together; on a GPU their faces share batches.
BLOCK = {"cpu": 4, "gpu": 64}
_HOW_TO_INSTALL = "--engine ray needs Ray: pip install 'sargan[ray]' (on every machine of the cluster)"


class WorkerLostError(RuntimeError):
    """The process that worked on a photo ended: killed for its memory, or a library crashed."""


def run_ray(
    tasks: Iterable[Task], settings: BatchSettings, manifest: ManifestWriter, on_result: OnResult
) -> None:
    """Edit on a Ray cluster; an ``Engine``, see ``sargan_core.batch.run``.

    The cluster is the one of ``RAY_ADDRESS`` (``auto`` = the one that runs on this machine); without it this machine
    becomes one while the batch runs. ``settings.workers`` is the number of processes: by default one per GPU, or one
    per core where there are no GPUs. A photo whose worker dies is tried once more, alone, after the others.

    Raises:
        UsageError: Ray is not installed, the machines do not share the files, or no photo can be edited.
        WeightsError: the model cannot be loaded.
        PhotoError: the manifest cannot be written.
    """
    waiting = iter(tasks)
    part = list(islice(waiting, PART))
    if not part:
        return
    with _cluster() as resources:
        while part:
            _run_part(part, settings, resources, manifest, on_result)
            part = list(islice(waiting, PART))


def _run_part(
    tasks: Sequence[Task],
    settings: BatchSettings,
    resources: dict[str, float],
    manifest: ManifestWriter,
    on_result: OnResult,
) -> None:
    from sargan_core.batch.steps import commit, stage_failure

    block = BLOCK["gpu" if resources.get("GPU") else "cpu"]
    left = dict(enumerate(tasks))
    for size in (block, 1):
        for number, results in _results(left, settings, resources, size):
            task = left.pop(number)
            for staged in results:
                on_result(commit(staged, task.source, manifest))
        if not left:
            return
    error = WorkerLostError("the process that edited it ended twice, perhaps for want of memory")
    for task in left.values():
        for output in task.outputs:
            failed = stage_failure(task.source, output, None, error, settings, settings.edit.model)
            on_result(commit(failed, task.source, manifest))


def _results(
    tasks: dict[int, Task], settings: BatchSettings, resources: dict[str, float], block: int
) -> Iterator[tuple[int, list[Staged]]]:
    """Yield the number and the results of every task that a worker finished, in the order of the numbers."""
    import ray.data

    gpus = int(resources.get("GPU", 0)) if settings.edit.device in ("auto", "cuda") else 0
    cpus = max(1, int(resources.get("CPU", 1)))
    blocks = -(-len(tasks) // block)
    workers = min(settings.workers or gpus or cpus, blocks)
    threads = max(1, cpus // workers) if gpus else 1
    rows = [{"number": number, "task": pickle.dumps(task)} for number, task in tasks.items()]
    data = ray.data.from_items(rows, override_num_blocks=blocks)
    data.context.execution_options.preserve_order = True
    data.context.enable_progress_bars = False
    data.context.max_errored_blocks = -1
    with warnings.catch_warnings():
        # Ray wants to drop the only way to say how often a task is tried; the extra's upper bound waits for that.
        warnings.simplefilter("ignore")
        edited = data.map_batches(
            Worker,
            fn_constructor_args=(settings, str(Path.cwd()), threads),
            # Alone in its worker, a task dies of its own photo only.
            compute=ray.data.ActorPoolStrategy(
                size=workers, max_tasks_in_flight_per_actor=1 if block == 1 else None
            ),
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=threads,
            num_gpus=min(1.0, gpus / workers) if gpus else None,
            # A photo that ends its worker must not end the next one too.
            ray_remote_args_fn=lambda: {"max_restarts": -1, "max_task_retries": 0},
        )
    for table in edited.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        for row in table.to_pylist():
            answer = pickle.loads(row["answer"])
            if isinstance(answer, Exception):
                raise answer
            yield row["number"], answer


class Worker:
    """What runs in each process of the cluster: one editor, and a pipeline for every block of tasks.

    Args:
        settings: of the batch.
        folder: the working folder of the driver, which relative paths start from.
        threads: cores that belong to this process.
        version: of the driver's sargan.
    """

    def __init__(
        self, settings: BatchSettings, folder: str, threads: int, version: str = __version__
    ) -> None:
        self._settings = settings
        # Ray would turn an error here into one of its own; so the driver gets ours in place of the first answer.
        self._error: Exception | None = None
        try:
            self._set_up(folder, threads, version)
        except SarganError as error:
            self._error = error

    def _set_up(self, folder: str, threads: int, version: str) -> None:
        import cv2
        import torch

        from sargan_core.batch.local import set_up

        if version != __version__:
            raise UsageError(
                f"a worker has sargan {__version__}, this machine {version}; install the same everywhere"
            )
        _enter(folder, self._settings.staging)
        keep_freed_memory()
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        self._setup = set_up(self._settings, threads)

    def __call__(self, table: pyarrow.Table) -> pyarrow.Table:
        """Return for every task, by ``number``, its finished results, or the error that ends the batch."""
        import pyarrow

        answers: list[Any]
        if self._error is not None:
            answers = [self._error] * len(table)
        else:
            answers = self._edit([pickle.loads(task) for task in table["task"].to_pylist()])
        return pyarrow.table(
            {"number": table["number"], "answer": [pickle.dumps(answer) for answer in answers]}
        )

    def _edit(self, tasks: list[Task]) -> list[list[Staged]]:
        from sargan_core.batch.pipeline import Pipeline

        pipeline = Pipeline(iter(tasks), self._setup)
        try:
            return [results for _, results in pipeline.results()]
        finally:
            pipeline.stop()


def _enter(folder: str, staging: Path) -> None:
    """Make the driver's working folder this process's own, so that relative paths mean the same.

    Raises:
        UsageError: this machine does not see the files of the batch.
    """
    try:
        os.chdir(folder)
        there = staging.is_dir()
    except OSError:
        there = False
    if not there:
        raise UsageError(
            f"a worker machine does not see {shown(staging.parent.parent)} from {shown(folder)}; --engine ray needs "
            "photos and results on a file system that all machines share, at the same paths"
        )


@contextmanager
def _cluster() -> Iterator[dict[str, float]]:
    """Connect to a cluster, or start one here while the block runs; gives its numbers of CPUs and GPUs.

    Raises:
        UsageError: Ray is not installed, or its cluster cannot be reached or started.
    """
    # Otherwise Ray sends usage figures to its makers and writes log messages to the terminal.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UsageError(_HOW_TO_INSTALL) from error
    import logging

    started = not ray.is_initialized()
    if started:
        try:
            # Without an address Ray would look for the last cluster that was here, even if it is gone.
            ray.init(
                address=None if os.environ.get("RAY_ADDRESS") else "local",
                logging_level=logging.ERROR,
                log_to_driver=False,
                include_dashboard=False,
            )
        except Exception as error:
            # Ray raises a plain Exception when a part of it does not start in time.
            ray.shutdown()
            raise UsageError(_not_connected(error)) from error
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    try:
        yield ray.cluster_resources()
    finally:
        if started:
            ray.shutdown()


def _not_connected(error: Exception) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    if os.environ.get("RAY_ADDRESS"):
        return f"the Ray cluster cannot be reached ({reason}); check RAY_ADDRESS, or unset it"
    return f"Ray cannot be started on this machine ({reason}); try again, or leave --engine ray out"
