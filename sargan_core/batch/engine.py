"""What an engine is: it takes tasks, edits, and hands finished results back in the order of the tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from sargan_core.batch.manifest import Entry, ManifestWriter
from sargan_core.batch.plan import Task, Variant

if TYPE_CHECKING:
    from sargan_core.editor import EditSettings

# Called with every finished result, in the order of tasks and outputs; what it raises ends the run.
OnResult: TypeAlias = Callable[[Entry], None]


@dataclass(frozen=True)
class BatchSettings:
    """How a batch is done; the same for all its photos.

    Attributes:
        folder: the output folder.
        staging: a folder on the same file system for results that are not in their place yet; emptied by the next run.
        edit: what the editor is built with.
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
