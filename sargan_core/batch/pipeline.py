"""The pipeline of one process: threads take photos through read, prepare, model and finish, in bounded memory.

Read: the file. Prepare: decode, find and crop the faces. Model: run it on the crops of one or several photos.
Finish: paste, encode, write to the staging folder.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from sargan_core.batch.plan import Output, Task
from sargan_core.batch.steps import (
    PhotoFile,
    Staged,
    check_target,
    decode,
    read_source,
    stage_failure,
    stage_result,
)
from sargan_core.outcome import out_of_memory

if TYPE_CHECKING:
    from sargan_core.batch.local import Setup
    from sargan_core.batch.room import Room
    from sargan_core.editor import PreparedPhoto
    from sargan_core.faces.face import EditedCrops


@dataclass(eq=False)
class _Photo:
    """A task that the pipeline works on.

    Attributes:
        index: position among the tasks.
        task: what is to be done.
        file: the photo's file, once read; without its bytes, once decoded.
        cost: memory that its pixels need, in bytes.
        alone: it ran out of memory before, so nothing else may be in memory.
        prepared: the decoded photo with its faces cropped.
        seconds: time spent for all outputs together, by stage.
        staged: finished outputs by their path.
        places: what it takes of the room that processes share.
        finished: all of them are, and the photo was taken out of memory.
    """

    index: int
    task: Task
    file: PhotoFile | None = None
    cost: int = 0
    alone: bool = False
    prepared: PreparedPhoto | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    staged: dict[str, Staged] = field(default_factory=dict)
    places: int = 0
    finished: bool = False

    def unfinished(self) -> list[Output]:
        return [output for output in self.task.outputs if output.path not in self.staged]


@dataclass(eq=False)
class _Edit:
    """One output of a prepared photo.

    Attributes:
        photo: the photo.
        output: what is made of it.
        edited: the model's answer.
        seconds: how long the model took.
    """

    photo: _Photo
    output: Output
    edited: EditedCrops | None = None
    seconds: float = 0.0

    @property
    def prepared(self) -> PreparedPhoto:
        assert self.photo.prepared is not None
        return self.photo.prepared

    @property
    def faces(self) -> int:
        return len(self.prepared.faces)


class Pipeline:
    """Takes tasks in and gives their finished outputs out, in the order of the tasks.

    A thread that is free takes the step that is furthest along. All members that threads share are used under
    ``_changing`` only.

    Args:
        tasks: read slowly, by one thread at a time.
        setup: editor, targets, settings and limits.
        room: memory shared with the pipelines of other processes.
    """

    def __init__(self, tasks: Iterator[Task], setup: Setup, room: Room | None = None) -> None:
        self._tasks = enumerate(tasks)
        self._editor = setup.editor
        self._targets = setup.targets
        self._settings = setup.settings
        self._limits = setup.limits
        self._room = room
        self._most_faces = setup.limits.faces
        self._condition = threading.Condition()
        # Queues in front of the steps: photos that are read, edits that are prepared, edits that the model answered.
        self._read: deque[_Photo] = deque()
        self._prepared: deque[_Edit] = deque()
        self._edited: deque[_Edit] = deque()
        self._finished: dict[int, _Photo] = {}
        self._delivered = 0
        self._open_photos = 0
        self._bytes = 0
        self._models_running = 0
        self._reading = False
        self._no_more_tasks = False
        self._stopped = False
        self._error: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._work, name=f"sargan-batch-{number}", daemon=True)
            for number in range(setup.limits.workers)
        ]

    def results(self) -> Iterator[tuple[Task, list[Staged]]]:
        """Yield every task with its finished outputs, in order, while the threads work.

        Raises:
            Exception: what ended the work of a thread, e.g. a task that could not be made.
        """
        for thread in self._threads:
            thread.start()
        while (photo := self._next_finished()) is not None:
            yield photo.task, [photo.staged[output.path] for output in photo.task.outputs]
            with self._changing():
                self._delivered += 1
                self._open_photos -= 1

    def stop(self) -> None:
        """End the work after the steps that are running, and discard what was finished but not given out."""
        with self._changing():
            self._stopped = True
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        photos = {*self._finished.values(), *(edit.photo for edit in (*self._prepared, *self._edited))}
        for photo in photos:
            for staged in photo.staged.values():
                staged.discard()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the lock inside the block, then wake every thread that waits for a change."""
        with self._condition:
            yield
            self._condition.notify_all()

    def _next_finished(self) -> _Photo | None:
        with self._condition:
            while self._error is None and self._delivered not in self._finished:
                if self._no_more_tasks and self._open_photos == 0:
                    return None
                # Woken now and then, so that Ctrl-C gets through on every system.
                self._condition.wait(0.5)
            if self._error is not None:
                raise self._error
            return self._finished.pop(self._delivered)

    def _work(self) -> None:
        try:
            while (step := self._next_step()) is not None:
                step()
        except BaseException as error:  # raised again by the thread that takes the results
            with self._changing():
                self._error = self._error or error
                self._stopped = True

    def _next_step(self) -> Callable[[], None] | None:
        """Wait for a step to do and return it; None when there will be no more."""
        choices = [self._choose_finish, self._choose_model, self._choose_prepare, self._choose_read]
        if self._limits.models < self._limits.workers:
            # A GPU that waits costs most.
            choices = [self._choose_model, self._choose_finish, *choices[2:]]
        with self._condition:
            while not self._stopped:
                for choose in choices:
                    if (step := choose()) is not None:
                        return step
                if self._no_more_tasks and self._open_photos == 0:
                    return None
                self._condition.wait()
            return None

    def _choose_finish(self) -> Callable[[], None] | None:
        return partial(self._finish, self._edited.popleft()) if self._edited else None

    def _choose_model(self) -> Callable[[], None] | None:
        if not self._prepared or self._models_running >= self._limits.models:
            return None
        variant, faces = self._prepared[0].output.variant, 0
        together: list[_Edit] = []
        others: deque[_Edit] = deque()
        for edit in self._prepared:
            fits = not together or faces + edit.faces <= self._most_faces
            if fits and edit.output.variant == variant:
                together.append(edit)
                faces += edit.faces
            else:
                others.append(edit)
        self._prepared = others
        self._models_running += 1
        return partial(self._run_model, together)

    def _choose_prepare(self) -> Callable[[], None] | None:
        if not self._read:
            return None
        photo = self._read[0]
        if self._bytes and (photo.alone or self._bytes + photo.cost > self._limits.bytes):
            return None
        self._bytes += photo.cost
        return partial(self._prepare, self._read.popleft())

    def _choose_read(self) -> Callable[[], None] | None:
        full = self._open_photos >= self._limits.photos or len(self._read) >= self._limits.workers
        if self._reading or self._no_more_tasks or full:
            return None
        self._reading = True
        self._open_photos += 1
        return self._read_next

    def _read_next(self) -> None:
        """Take the next task and read its photo."""
        index, task = next(self._tasks, (-1, None))
        with self._changing():
            self._reading = False
            if task is None:
                self._no_more_tasks = True
                self._open_photos -= 1
        if task is None:
            return
        photo = _Photo(index, task)
        for output in task.outputs:
            try:
                check_target(output, task.source, self._settings)
            except Exception as error:
                self._fail(photo, [output], error)
        if photo.unfinished():
            try:
                photo.file = read_source(task.source.path, self._settings.max_pixels)
            except Exception as error:
                self._fail(photo, photo.unfinished(), error, reading=True)
        if photo.file is not None:
            photo.seconds["read"] = photo.file.seconds
            photo.cost = photo.file.pixel_bytes
        with self._changing():
            if photo.unfinished():
                self._read.append(photo)
            else:
                self._finished[photo.index] = photo

    def _prepare(self, photo: _Photo) -> None:
        """Decode a photo, find and crop its faces."""
        assert photo.file is not None
        if self._room is not None:
            photo.places = self._room.enter(alone=photo.alone or photo.cost > self._limits.bytes)
        reading = True
        started = time.perf_counter()
        try:
            decoded = decode(photo.file, photo.task.source.path, self._settings.max_pixels)
            reading = False
            photo.seconds["decode"] = time.perf_counter() - started
            photo.prepared = self._editor.prepare(decoded)
            photo.seconds.update(photo.prepared.seconds)
        except Exception as error:  # one bad photo must not end the others
            if out_of_memory(error) and not photo.alone:
                with self._changing():
                    self._make_room(photo)
                    photo.alone = True
                    self._read.appendleft(photo)
                return
            self._fail(photo, photo.unfinished(), error, reading=reading)
        photo.file = replace(photo.file, data=b"")
        with self._changing():
            self._prepared.extend(_Edit(photo, output) for output in photo.unfinished())
            self._release_if_finished(photo)

    def _run_model(self, edits: list[_Edit]) -> None:
        """Run the model on the crops of several photos, all for one variant."""
        self._infer(edits)
        with self._changing():
            self._models_running -= 1

    def _infer(self, edits: list[_Edit]) -> None:
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
        with self._changing():
            self._edited.extend(edits)

    def _infer_parts(self, edits: list[_Edit], error: Exception) -> None:
        """Try the halves of a batch that failed, down to the photo that fails alone."""
        if out_of_memory(error):
            torch.cuda.empty_cache()
            half = sum(edit.faces for edit in edits) // 2
            with self._changing():
                self._most_faces = max(1, min(self._most_faces, half))
        if len(edits) == 1:
            self._fail(edits[0].photo, [edits[0].output], error)
            with self._changing():
                self._release_if_finished(edits[0].photo)
            return
        middle = len(edits) // 2
        self._infer(edits[:middle])
        self._infer(edits[middle:])

    def _finish(self, edit: _Edit) -> None:
        """Paste the edited crops, encode the result and write it to the staging folder."""
        photo, source = edit.photo, edit.photo.task.source
        assert edit.edited is not None
        assert photo.file is not None
        try:
            target = self._targets[edit.output.variant]
            seconds = {**_shared_seconds(photo), "model": edit.seconds}
            result = self._editor.finish(edit.prepared, target, edit.edited, seconds)
            photo.staged[edit.output.path] = stage_result(
                source, edit.output, photo.file, result, self._settings, self._editor.model.name
            )
        except Exception as error:
            self._fail(photo, [edit.output], error)
        with self._changing():
            self._release_if_finished(photo)

    def _release_if_finished(self, photo: _Photo) -> None:
        """Let go of the pixels of a photo whose last output is finished."""
        if not photo.unfinished() and not photo.finished:
            photo.finished = True
            photo.prepared = None
            self._make_room(photo)
            self._finished[photo.index] = photo

    def _make_room(self, photo: _Photo) -> None:
        self._bytes -= photo.cost
        if self._room is not None:
            self._room.leave(photo.places)

    def _fail(
        self, photo: _Photo, outputs: Sequence[Output], error: Exception, *, reading: bool = False
    ) -> None:
        for output in outputs:
            photo.staged[output.path] = stage_failure(
                photo.task.source,
                output,
                photo.file,
                error,
                self._settings,
                self._editor.model.name,
                reading=reading,
                seconds=_shared_seconds(photo),
            )


def _shared_seconds(photo: _Photo) -> dict[str, float]:
    """Return an output's share of what was done once for all outputs of a photo, by stage."""
    return {stage: spent / len(photo.task.outputs) for stage, spent in photo.seconds.items()}
