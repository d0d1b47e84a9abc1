"""The steps on one photo of a batch that every engine takes: read, edit, write aside, put in place."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sargan_core import __version__
from sargan_core.batch.local import BatchSettings
from sargan_core.batch.manifest import Entry, ManifestWriter, Stamp
from sargan_core.batch.plan import Output, Source, Variant
from sargan_core.errors import OutputExistsError, PhotoError
from sargan_core.expressions import Like
from sargan_core.outcome import face_json, message, outcome_of
from sargan_core.photo.content import BLOCK, BYTES_BESIDE, HEAD, open_photo, read_rest
from sargan_core.photo.files import place, shown, stage
from sargan_core.photo.kinds import Defect, kind_of_bytes
from sargan_core.photo.photo import MAX_PIXELS, Photo, read_photo, render_photo
from sargan_core.photo.provenance import Provenance

if TYPE_CHECKING:
    from sargan_core.editor import Editor, EditResult
    from sargan_core.models.base import Target

# File systems tell times as coarsely as this; a file that changed so shortly before may change again unseen.
COARSE_TIME_NS = 2_000_000_000


@dataclass(frozen=True)
class Content:
    """A photo's file.

    Attributes:
        data: its bytes.
        sha256: of the bytes.
        stamp: size and time of change when it was read.
        seconds: what reading took.
    """

    data: bytes
    sha256: str
    stamp: Stamp
    seconds: float


@dataclass(frozen=True)
class Staged:
    """A result that is finished but not yet in its place.

    Attributes:
        entry: its line for the manifest.
        temporary: the file, waiting to be put in place; None if there is no result.
        replace: a file in its place may be replaced.
    """

    entry: Entry
    temporary: Path | None = None
    replace: bool = False


def stamp_of(status: os.stat_result, now_ns: int | None = None) -> Stamp:
    """Return the stamp of a file; its time is None if it had changed just before ``now_ns``."""
    fresh = now_ns is not None and status.st_mtime_ns > now_ns - COARSE_TIME_NS
    return Stamp(status.st_size, None if fresh else status.st_mtime_ns)


def read_source(source: Source, max_pixels: int | None = None) -> Content:
    """Return the file of a photo; of a file that is no photo only the beginning, for ``decode`` to refuse.

    Raises:
        PhotoError: missing, a folder, not readable, or larger than a photo can be.
    """
    started, moment = time.perf_counter(), time.time_ns()
    name = shown(source.path)
    with open_photo(Path(source.path), name) as stream:
        stamp = stamp_of(os.fstat(stream.fileno()), moment)
        data = head = stream.read(HEAD)
        digest = hashlib.sha256(head)
        try:
            kind_of_bytes(head)
            data = read_rest(stream, head, name, max_pixels or MAX_PIXELS)
            digest = hashlib.sha256(data)
            size = len(data)
        except Defect:
            size = len(head)
            while size < BYTES_BESIDE and (block := stream.read(BLOCK)):
                digest.update(block)
                size += len(block)
    if size != stamp.size:
        stamp = Stamp(size, None)
    return Content(data, digest.hexdigest(), stamp, time.perf_counter() - started)


def decode(content: Content, source: Source, max_pixels: int | None = None) -> Photo:
    """Return the photo of a file.

    Raises:
        PhotoError: as ``read_photo``.
    """
    return read_photo(content.data, name=source.path, max_pixels=max_pixels or MAX_PIXELS)


def target_of(variant: Variant, editor: Editor, max_pixels: int | None = None) -> Target:
    """Return what the editor is asked for under a variant; ``max_pixels`` bounds the reference photo.

    Raises:
        PhotoError: the reference photo cannot be read, or is no longer the one that the batch was planned with.
        NoFaceError, UsageError: it has no such face.
    """
    mix = variant.mix
    if isinstance(mix, Like):
        source = Source(str(mix.path), mix.path.name)
        content = read_source(source, max_pixels)
        if content.sha256 != mix.sha256:
            raise PhotoError(
                f"{shown(source.path)}: was changed while the batch ran; run it again, so that all photos get the "
                "same expression"
            )
        photo = decode(content, source, max_pixels)
        return editor.reference(photo, mix.face).scaled(variant.strength)
    return mix.scaled(variant.strength)


def check_place(output: Output, source: Source, settings: BatchSettings) -> None:
    """Raise what would keep a result from its place, before any work is done.

    Raises:
        OutputExistsError: a file lies there that no earlier run made.
        PhotoError: the photo itself lies there.
    """
    target = settings.folder / output.path
    if not os.path.lexists(target):
        return
    if not settings.in_place and _same_file(target, Path(source.path)):
        raise PhotoError(f"{shown(target)}: is the photo itself; choose another output folder, or --in-place")
    if not output.replace:
        raise OutputExistsError(
            f"{shown(target)}: exists already and is not as an earlier run left it; "
            "pass --overwrite to replace it, or choose another output folder"
        )


def stage_result(
    source: Source,
    output: Output,
    content: Content,
    result: EditResult,
    settings: BatchSettings,
    model: str,
) -> Staged:
    """Encode a result and write it aside.

    Args:
        source: the photo.
        output: what was to be made of it.
        content: the photo's file.
        result: what the editor made; its ``seconds`` go into the entry.
        settings: of the batch.
        model: the model's own name.

    Raises:
        PhotoError: the format cannot hold the result, or it cannot be written.
    """
    target = settings.folder / output.path
    started = time.perf_counter()
    mark = None
    if settings.provenance:
        mark = Provenance(model, str(output.variant.mix), output.variant.strength, __version__)
    name = None if settings.in_place else target
    data, note = render_photo(result.photo, name, metadata=settings.metadata, provenance=mark)
    writing = time.perf_counter()
    _make_folder(target)
    temporary = stage(data, settings.staging, target)
    faces = tuple(face_json(edit) for edit in result.faces)
    seconds = {
        **result.seconds,
        "encode": writing - started,
        "write": time.perf_counter() - writing,
    }
    entry = replace(
        _entry(source, output, content, settings, model),
        outcome="done",
        faces=faces,
        seam=max((face["seam"] for face in faces), default=None),
        seconds=_rounded(seconds),
        output_stamp=stamp_of(temporary.stat()),
        output_sha256=hashlib.sha256(data).hexdigest(),
        notes=(*result.photo.notes, *([note] if note else [])),
    )
    return Staged(entry, temporary, output.replace)


def stage_failure(
    source: Source,
    output: Output,
    content: Content | None,
    error: BaseException,
    settings: BatchSettings,
    model: str,
    *,
    reading: bool = False,
    seconds: dict[str, float] | None = None,
) -> Staged:
    """Return the entry of a result that an error kept from being made.

    Args:
        source: the photo.
        output: what was to be made of it.
        content: the photo's file, None if it could not be read.
        error: what happened.
        settings: of the batch.
        model: the model's own name.
        reading: whether the photo was still being read or decoded.
        seconds: time spent by stage until then.
    """
    entry = replace(
        _entry(source, output, content, settings, model),
        outcome=outcome_of(error, reading=reading).value,
        message=message(error, source.path),
        seconds=_rounded(seconds or {}),
    )
    return Staged(entry)


def commit(staged: Staged, source: Source, manifest: ManifestWriter) -> Entry:
    """Write a result's line, then put the result in its place; return the line that counts.

    Raises:
        PhotoError: the manifest cannot be written; the result is not put in place.
    """
    entry = replace(staged.entry, finished=now())
    if staged.temporary is None:
        manifest.append(entry)
        return entry
    try:
        manifest.append(entry)
        place(staged.temporary, manifest.folder / entry.output, overwrite=staged.replace)
    except (PhotoError, OutputExistsError) as error:
        staged.temporary.unlink(missing_ok=True)
        entry = replace(
            entry,
            outcome=outcome_of(error, reading=False).value,
            message=message(error, source.path),
            output_stamp=None,
            output_sha256="",
            finished=now(),
        )
        manifest.append(entry)
    return entry


def discard(staged: Staged) -> None:
    """Remove the file of a result that will not be put in its place."""
    if staged.temporary is not None:
        staged.temporary.unlink(missing_ok=True)


def now() -> str:
    """Return the time for a line of the manifest; texts sort as times."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def manifest_name(path: str, folder: Path) -> str:
    """Return the name under which the manifest of ``folder`` lists an input."""
    try:
        return os.path.relpath(path, folder)
    except ValueError:  # on another drive
        return str(Path(path).absolute())


def _entry(
    source: Source, output: Output, content: Content | None, settings: BatchSettings, model: str
) -> Entry:
    return Entry(
        input=manifest_name(source.path, settings.folder),
        input_sha256="" if content is None else content.sha256,
        output=output.path,
        options_sha256=output.options_sha256,
        model=model,
        expression=str(output.variant.mix),
        strength=output.variant.strength,
        outcome="failed",
        input_stamp=None if content is None else content.stamp,
        precision=settings.edit.precision,
    )


def _make_folder(target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PhotoError(
            f"{shown(target)}: its folder cannot be made ({error.strerror or error}); choose another output folder"
        ) from error


def _same_file(one: Path, two: Path) -> bool:
    try:
        return one.samefile(two)
    except OSError:
        return False


def _rounded(seconds: dict[str, Any]) -> dict[str, float]:
    return {stage: round(float(value), 4) for stage, value in seconds.items()}
