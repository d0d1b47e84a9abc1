"""The stages of a batch on one machine: read → decode, find, crop → model → paste, encode, write."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from sargan_core.batch.local import BatchSettings
from sargan_core.batch.plan import Task, Variant
from sargan_core.batch.schedule import (
    EditUnderWay,
    Finish,
    Limits,
    PhotoUnderWay,
    Prepare,
    Read,
    RunModel,
    Schedule,
    pixel_bytes,
)
from sargan_core.batch.work import Staged, check_place, decode, read_source, stage_failure, stage_result
from sargan_core.outcome import out_of_memory

if TYPE_CHECKING:
    from sargan_core.editor import Editor
    from sargan_core.models.base import Target


class Pipeline:
    """Takes tasks in, gives finished photos out in the order of the tasks.

    Args:
        tasks: read lazily, by one thread at a time.
        editor: shared by all threads.
        targets: what the editor is asked for under each variant.
        settings: of the batch.
        limits: how much may be under way.
    """

    def __init__(
        self,
        tasks: Iterator[Task],
        editor: Editor,
        targets: Mapping[Variant, Target],
        settings: BatchSettings,
        limits: Limits,
    ) -> None:
        self._tasks = zip(itertools.count(), tasks, strict=False)
        self._editor = editor
        self._targets = targets
        self._settings = settings
        self._schedule = Schedule(limits)
        self._threads = [
            threading.Thread(target=self._work, name=f"sargan-batch-{number}", daemon=True)
            for number in range(limits.workers)
        ]

    def results(self) -> Iterator[tuple[Task, list[Staged]]]:
        """Yield every task with its finished outputs, in order, while the threads work.

        Raises:
            Exception: what ended the work of a thread, e.g. a task that could not be made.
        """
        for thread in self._threads:
            thread.start()
        while (photo := self._schedule.next_finished()) is not None:
            yield photo.task, [photo.staged[place] for place in range(len(photo.task.outputs))]
            self._schedule.delivered()

    def stop(self) -> list[Staged]:
        """End the work after the stages that are running, and return what was finished but not given out."""
        self._schedule.stop()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        return self._schedule.left()

    def _work(self) -> None:
        try:
            while (step := self._schedule.next_step()) is not None:
                match step:
                    case Finish(edit):
                        self._finish(edit)
                    case RunModel(edits):
                        self._infer(edits)
                        self._schedule.model_ended()
                    case Prepare(photo):
                        self._prepare(photo)
                    case Read():
                        self._read()
        except BaseException as error:  # handed to the thread that takes the results
            self._schedule.fail(error)

    def _read(self) -> None:
        """Take the next task and read its file."""
        index, task = next(self._tasks, (-1, None))
        self._schedule.taken(last=task is None)
        if task is None:
            return
        photo = PhotoUnderWay(index, task)
        for place in photo.open_outputs():
            try:
                check_place(task.outputs[place], task.source, self._settings)
            except Exception as error:
                self._fail(photo, place, error)
        if photo.open_outputs():
            try:
                photo.content = read_source(task.source, self._settings.max_pixels)
            except Exception as error:
                self._fail_all(photo, error, reading=True)
        if photo.content is not None:
            photo.seconds["read"] = photo.content.seconds
            photo.cost = pixel_bytes(photo.content)
        self._schedule.read(photo)

    def _prepare(self, photo: PhotoUnderWay) -> None:
        """Decode a photo, find and crop its faces."""
        assert photo.content is not None
        reading = True
        started = time.perf_counter()
        try:
            decoded = decode(photo.content, photo.task.source, self._settings.max_pixels)
            reading = False
            photo.seconds["decode"] = time.perf_counter() - started
            photo.prepared = self._editor.prepare(decoded)
            photo.seconds.update(photo.prepared.seconds)
        except Exception as error:  # one bad photo must not end the others
            if out_of_memory(error) and not photo.alone:
                self._schedule.again_alone(photo)
                return
            self._fail_all(photo, error, reading=reading)
        photo.content = replace(photo.content, data=b"")
        self._schedule.prepared(photo)

    def _infer(self, edits: list[EditUnderWay]) -> None:
        """Run the model on the crops of several photos."""
        started = time.perf_counter()
        failed: Exception | None = None
        try:
            target = self._targets[edits[0].output.variant]
            answers = self._editor.infer([edit.prepared for edit in edits], target)
        except Exception as error:
            failed = error.with_traceback(None)  # it would keep the tensors of the failed call alive
        if failed is not None:
            self._infer_parts(edits, failed)
            return
        spent = (time.perf_counter() - started) / sum(edit.faces for edit in edits)
        for edit, answer in zip(edits, answers, strict=True):
            edit.edited, edit.seconds = answer, spent * edit.faces
        self._schedule.edited(edits)

    def _infer_parts(self, edits: list[EditUnderWay], error: Exception) -> None:
        """Try the halves of a batch that failed, down to the photo that fails alone."""
        if out_of_memory(error):
            torch.cuda.empty_cache()
            self._schedule.fewer_faces(sum(edit.faces for edit in edits) // 2)
        if len(edits) == 1:
            self._fail(edits[0].photo, edits[0].place, error)
            self._schedule.closed(edits[0].photo)
            return
        middle = len(edits) // 2
        self._infer(edits[:middle])
        self._infer(edits[middle:])

    def _finish(self, edit: EditUnderWay) -> None:
        """Paste the edited crops, encode the result and write it aside."""
        photo, source = edit.photo, edit.photo.task.source
        assert edit.edited is not None
        assert photo.content is not None
        try:
            target = self._targets[edit.output.variant]
            seconds = {**self._shared_seconds(photo), "model": edit.seconds}
            result = self._editor.finish(edit.prepared, target, edit.edited, seconds)
            photo.staged[edit.place] = stage_result(
                source, edit.output, photo.content, result, self._settings, self._editor.model.name
            )
        except Exception as error:
            self._fail(photo, edit.place, error)
        self._schedule.closed(photo)

    def _shared_seconds(self, photo: PhotoUnderWay) -> dict[str, float]:
        """Return an output's share of what was done once for all outputs of a photo."""
        shares = len(photo.task.outputs)
        return {stage: spent / shares for stage, spent in photo.seconds.items()}

    def _fail_all(self, photo: PhotoUnderWay, error: Exception, *, reading: bool) -> None:
        for place in photo.open_outputs():
            self._fail(photo, place, error, reading=reading)

    def _fail(self, photo: PhotoUnderWay, place: int, error: Exception, *, reading: bool = False) -> None:
        photo.staged[place] = stage_failure(
            photo.task.source,
            photo.task.outputs[place],
            photo.content,
            error,
            self._settings,
            self._editor.model.name,
            reading=reading,
            seconds=self._shared_seconds(photo),
        )
