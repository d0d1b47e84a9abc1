"""What of a batch is under way in this process, and how much of it there may be."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from PIL import Image

from sargan_core.batch.plan import Output, Task
from sargan_core.batch.work import Content, Staged

if TYPE_CHECKING:
    from sargan_core.editor import PreparedPhoto
    from sargan_core.models.base import EditedCrops

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
