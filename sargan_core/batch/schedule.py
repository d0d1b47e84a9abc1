"""What of a batch is under way in this process, and how much of it there may be."""

from __future__ import annotations

import io
import threading
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from PIL import Image

from sargan_core.batch.plan import Output, Task
from sargan_core.batch.work import Content, Staged

if TYPE_CHECKING:
    from sargan_core.editor import PreparedPhoto
    from sargan_core.faces.face import EditedCrops


# What a photo needs at most while it is decoded, pasted and encoded, in bytes a pixel.
BYTES_A_PIXEL = 16


# Where the size of a picture is not known before it is decoded: bytes a byte of the file.
BYTES_A_BYTE = 8


@dataclass(frozen=True)
class Limits:
    """How much may be under way at once.

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


@dataclass(eq=False)
class PhotoUnderWay:
    """A task on its way.

    Attributes:
        index: position among the tasks.
        task: what is to be done.
        content: the photo's file, once read; without its bytes, once decoded.
        cost: bytes that the photo's pixels need.
        alone: nothing else may be in memory, because memory ran out before.
        prepared: the decoded photo with its faces cropped.
        seconds: time spent by stage for all outputs together.
        staged: what is finished, by position among the task's outputs.
    """

    index: int
    task: Task
    content: Content | None = None
    cost: int = 0
    alone: bool = False
    prepared: PreparedPhoto | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    staged: dict[int, Staged] = field(default_factory=dict)

    def open_outputs(self) -> list[int]:
        """Return the positions of the outputs that are not finished."""
        return [place for place in range(len(self.task.outputs)) if place not in self.staged]


@dataclass(eq=False)
class EditUnderWay:
    """One output of a photo between its preparation and its end.

    Attributes:
        photo: the photo.
        place: position among the task's outputs.
        edited: the model's answer.
        seconds: what the model took.
    """

    photo: PhotoUnderWay
    place: int
    edited: EditedCrops | None = None
    seconds: float = 0.0

    @property
    def prepared(self) -> PreparedPhoto:
        """The photo with its faces cropped."""
        assert self.photo.prepared is not None
        return self.photo.prepared

    @property
    def faces(self) -> int:
        """How many crops go through the model."""
        return len(self.prepared.faces)

    @property
    def output(self) -> Output:
        """What is made."""
        return self.photo.task.outputs[self.place]


def pixel_bytes(content: Content) -> int:
    """Return what a photo will need in memory, told from the head of its file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content.data)) as image:
                width, height = image.size
    except Exception:  # whatever it is, decoding will say so
        return len(content.data) * BYTES_A_BYTE
    return width * height * BYTES_A_PIXEL


@dataclass(frozen=True)
class Read:
    """Take the next task and read its photo."""


@dataclass(frozen=True)
class Prepare:
    """Decode a photo, find and crop its faces."""

    photo: PhotoUnderWay


@dataclass(frozen=True)
class RunModel:
    """Run the model on the crops of these photos, all for one variant."""

    edits: list[EditUnderWay]


@dataclass(frozen=True)
class Finish:
    """Paste, encode and write one result."""

    edit: EditUnderWay


Step: TypeAlias = Read | Prepare | RunModel | Finish


class Schedule:
    """The queues between the stages; every method may be called from any thread.

    Args:
        limits: how much may be under way.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._most_faces = limits.faces
        self._changed = threading.Condition()
        self._read: deque[PhotoUnderWay] = deque()
        self._prepared: deque[EditUnderWay] = deque()
        self._edited: deque[EditUnderWay] = deque()
        self._finished: dict[int, PhotoUnderWay] = {}
        self._reading = False
        self._exhausted = False
        self._stopped = False
        self._error: BaseException | None = None
        self._under_way = 0
        self._delivered = 0
        self._bytes = 0
        self._models = 0

    def next_step(self) -> Step | None:
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

    def next_finished(self) -> PhotoUnderWay | None:
        """Wait for the next photo in the order of the tasks and return it; None after the last.

        Raises:
            BaseException: what was given to ``fail``.
        """
        with self._changed:
            while self._error is None and self._delivered not in self._finished:
                if self._exhausted and self._under_way == 0:
                    return None
                # Woken now and then, so that Ctrl-C gets through on every system.
                self._changed.wait(0.5)
            if self._error is not None:
                raise self._error
            return self._finished.pop(self._delivered)

    def delivered(self) -> None:
        """The photo that ``next_finished`` gave is dealt with; another may be read."""
        with self._changed:
            self._delivered += 1
            self._under_way -= 1
            self._changed.notify_all()

    def taken(self, *, last: bool) -> None:
        """A task was taken, another thread may take the next; or there was none left."""
        with self._changed:
            self._reading = False
            if last:
                self._exhausted = True
                self._under_way -= 1
            self._changed.notify_all()

    def read(self, photo: PhotoUnderWay) -> None:
        """A photo was read; without open outputs it is finished."""
        with self._changed:
            if photo.open_outputs():
                self._read.append(photo)
            else:
                self._finished[photo.index] = photo
            self._changed.notify_all()

    def prepared(self, photo: PhotoUnderWay) -> None:
        """A photo was prepared; without open outputs it is finished."""
        with self._changed:
            if photo.open_outputs():
                self._prepared.extend(EditUnderWay(photo, place) for place in photo.open_outputs())
            else:
                self._leave_memory(photo)
            self._changed.notify_all()

    def again_alone(self, photo: PhotoUnderWay) -> None:
        """Memory ran out while a photo was prepared; do it again when nothing else is in memory."""
        with self._changed:
            self._bytes -= photo.cost
            photo.alone = True
            self._read.appendleft(photo)
            self._changed.notify_all()

    def edited(self, edits: Sequence[EditUnderWay]) -> None:
        """The model has answered."""
        with self._changed:
            self._edited.extend(edits)
            self._changed.notify_all()

    def model_ended(self) -> None:
        """A thread has done with the model, well or not."""
        with self._changed:
            self._models -= 1
            self._changed.notify_all()

    def fewer_faces(self, most: int) -> None:
        """From now on, at most so many faces go through the model together."""
        with self._changed:
            self._most_faces = max(1, min(self._most_faces, most))

    def closed(self, photo: PhotoUnderWay) -> None:
        """An output of a prepared photo is finished; the photo is, with its last one."""
        with self._changed:
            if not photo.open_outputs() and photo.prepared is not None:
                self._leave_memory(photo)
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """End everything with an error; the first one counts."""
        with self._changed:
            self._error = self._error or error
            self._stopped = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Give out no further steps."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def left(self) -> list[Staged]:
        """Return what is finished but was not given out; after all threads have ended."""
        photos = {photo.index: photo for photo in self._finished.values()}
        photos.update((edit.photo.index, edit.photo) for edit in (*self._prepared, *self._edited))
        return [staged for photo in photos.values() for staged in photo.staged.values()]

    def _leave_memory(self, photo: PhotoUnderWay) -> None:
        photo.prepared = None
        self._bytes -= photo.cost
        self._finished[photo.index] = photo

    def _choose(self) -> Step | None:
        choices: tuple[Callable[[], Step | None], ...] = (self._choose_finish, self._choose_model)
        if self._limits.models < self._limits.workers:
            # A GPU that waits costs most; CPUs finish first what is nearly done.
            choices = choices[::-1]
        for choose in (*choices, self._choose_prepare, self._choose_read):
            if (step := choose()) is not None:
                return step
        return None

    def _choose_finish(self) -> Finish | None:
        return Finish(self._edited.popleft()) if self._edited else None

    def _choose_model(self) -> RunModel | None:
        if not self._prepared or self._models >= self._limits.models:
            return None
        variant, faces = self._prepared[0].output.variant, 0
        batch: list[EditUnderWay] = []
        others: deque[EditUnderWay] = deque()
        for edit in self._prepared:
            fits = not batch or faces + edit.faces <= self._most_faces
            if fits and edit.output.variant == variant:
                batch.append(edit)
                faces += edit.faces
            else:
                others.append(edit)
        self._prepared = others
        self._models += 1
        return RunModel(batch)

    def _choose_prepare(self) -> Prepare | None:
        if not self._read:
            return None
        photo = self._read[0]
        if self._bytes and (photo.alone or self._bytes + photo.cost > self._limits.bytes):
            return None
        self._bytes += photo.cost
        return Prepare(self._read.popleft())

    def _choose_read(self) -> Read | None:
        full = self._under_way >= self._limits.photos or len(self._read) >= self._limits.workers
        if self._reading or self._exhausted or full:
            return None
        self._reading = True
        self._under_way += 1
        return Read()
