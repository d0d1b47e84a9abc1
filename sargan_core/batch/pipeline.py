"""The stages of a batch on one machine, and which of them a free thread takes next.

A photo goes read → decode, find, crop → model → paste, encode, write. Every thread can do every stage and takes the
one that brings a photo closest to its end, so that no core waits while there is work and finished photos leave memory
first.
What is under way is bounded twice: by the number of photos and by the bytes that their pixels need.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from sargan_core.batch.engine import BatchSettings
from sargan_core.batch.plan import Task, Variant
from sargan_core.batch.under_way import EditUnderWay, Limits, PhotoUnderWay, pixel_bytes
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
        self._limits = limits
        self._most_faces = limits.faces
        self._changed = threading.Condition()
        self._read: deque[PhotoUnderWay] = deque()
        self._prepared: deque[EditUnderWay] = deque()
        self._edited: deque[EditUnderWay] = deque()
        self._finished: dict[int, PhotoUnderWay] = {}
        self._pulling = False
        self._exhausted = False
        self._stopped = False
        self._error: BaseException | None = None
        self._under_way = 0
        self._delivered = 0
        self._bytes = 0
        self._modelling = 0
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
        while True:
            with self._changed:
                while not self._settled():
                    # Woken now and then, so that Ctrl-C gets through on every system.
                    self._changed.wait(0.5)
                if self._error is not None:
                    raise self._error
                photo = self._finished.pop(self._delivered, None)
            if photo is None:
                return
            yield photo.task, [photo.staged[place] for place in range(len(photo.task.outputs))]
            with self._changed:
                self._delivered += 1
                self._under_way -= 1
                self._changed.notify_all()

    def stop(self) -> list[Staged]:
        """End the work after the stages that are running, and return what was finished but not given out."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        photos = {id(photo): photo for photo in self._finished.values()}
        for edit in (*self._prepared, *self._edited):
            photos[id(edit.photo)] = edit.photo
        return [staged for photo in photos.values() for staged in photo.staged.values()]

    def _settled(self) -> bool:
        if self._error is not None or self._delivered in self._finished:
            return True
        return self._exhausted and self._under_way == 0

    def _work(self) -> None:
        try:
            while (step := self._next_step()) is not None:
                step()
        except BaseException as error:  # handed to the thread that takes the results
            with self._changed:
                self._error = self._error or error
                self._stopped = True
                self._changed.notify_all()

    def _next_step(self) -> Callable[[], None] | None:
        """Wait for something to do and return it; None when there will be nothing more."""
        with self._changed:
            while not self._stopped:
                step = self._choose()
                if step is not None:
                    return step
                if self._exhausted and self._under_way == 0:
                    return None
                self._changed.wait()
            return None

    def _choose(self) -> Callable[[], None] | None:
        # A GPU that waits costs most; processors finish first what is nearly done.
        order = (self._choose_model, self._choose_finish)
        for choose in order if self._limits.models == 1 < self._limits.workers else reversed(order):
            if (step := choose()) is not None:
                return step
        return self._choose_prepare() or self._choose_read()

    def _choose_finish(self) -> Callable[[], None] | None:
        if not self._edited:
            return None
        edit = self._edited.popleft()
        return lambda: self._finish(edit)

    def _choose_model(self) -> Callable[[], None] | None:
        if not self._prepared or self._modelling >= self._limits.models:
            return None
        variant, faces = self._prepared[0].output.variant, 0
        batch: list[EditUnderWay] = []
        others: deque[EditUnderWay] = deque()
        while self._prepared:
            edit = self._prepared.popleft()
            if edit.output.variant == variant and (not batch or faces + edit.faces <= self._most_faces):
                batch.append(edit)
                faces += edit.faces
            else:
                others.append(edit)
        self._prepared = others
        self._modelling += 1
        return lambda: self._model(batch)

    def _choose_prepare(self) -> Callable[[], None] | None:
        if not self._read:
            return None
        photo = self._read[0]
        if self._bytes and (photo.alone or self._bytes + photo.cost > self._limits.bytes):
            return None
        self._read.popleft()
        self._bytes += photo.cost
        return lambda: self._prepare(photo)

    def _choose_read(self) -> Callable[[], None] | None:
        full = self._under_way >= self._limits.photos or len(self._read) >= self._limits.workers
        if self._pulling or self._exhausted or full:
            return None
        self._pulling = True
        self._under_way += 1
        return self._pull

    def _pull(self) -> None:
        """Take the next task and read its file."""
        index, task = next(self._tasks, (-1, None))
        with self._changed:
            self._pulling = False
            if task is None:
                self._exhausted = True
                self._under_way -= 1
            self._changed.notify_all()
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
        with self._changed:
            if photo.open_outputs():
                self._read.append(photo)
            else:
                self._finished[photo.index] = photo
            self._changed.notify_all()

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
                self._again_alone(photo)
                return
            self._fail_all(photo, error, reading=reading)
        else:
            photo.content = replace(photo.content, data=b"")
        with self._changed:
            if photo.prepared is not None:
                self._prepared.extend(EditUnderWay(photo, place) for place in photo.open_outputs())
            else:
                self._bytes -= photo.cost
                self._finished[photo.index] = photo
            self._changed.notify_all()

    def _again_alone(self, photo: PhotoUnderWay) -> None:
        with self._changed:
            self._bytes -= photo.cost
            photo.alone = True
            self._read.appendleft(photo)
            self._changed.notify_all()

    def _model(self, batch: list[EditUnderWay]) -> None:
        """Run the model on the crops of several photos."""
        self._infer(batch)
        with self._changed:
            self._modelling -= 1
            self._changed.notify_all()

    def _infer(self, batch: list[EditUnderWay]) -> None:
        started = time.perf_counter()
        failed: Exception | None = None
        try:
            answers = self._editor.infer(
                [edit.prepared for edit in batch], self._targets[batch[0].output.variant]
            )
        except Exception as error:
            failed = error.with_traceback(None)  # it would keep the tensors of the failed call alive
        if failed is not None:
            self._infer_parts(batch, failed)
            return
        spent = (time.perf_counter() - started) / sum(edit.faces for edit in batch)
        for edit, answer in zip(batch, answers, strict=True):
            edit.edited, edit.seconds = answer, spent * edit.faces
        with self._changed:
            self._edited.extend(batch)
            self._changed.notify_all()

    def _infer_parts(self, batch: list[EditUnderWay], error: Exception) -> None:
        """Try the halves of a batch that failed, down to the photo that fails alone."""
        if out_of_memory(error):
            torch.cuda.empty_cache()
            with self._changed:
                self._most_faces = max(1, sum(edit.faces for edit in batch) // 2)
        if len(batch) == 1:
            self._fail(batch[0].photo, batch[0].place, error)
            self._close(batch[0].photo)
            return
        middle = len(batch) // 2
        self._infer(batch[:middle])
        self._infer(batch[middle:])

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
        self._close(photo)

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

    def _close(self, photo: PhotoUnderWay) -> None:
        """Let go of a photo whose last output is finished."""
        with self._changed:
            if not photo.open_outputs() and photo.prepared is not None:
                photo.prepared = None
                self._bytes -= photo.cost
                self._finished[photo.index] = photo
            self._changed.notify_all()
