"""The steps on one photo of a batch, the same for every engine: read, decode, stage the result, put it in place."""

from __future__ import annotations

import hashlib
import io
import os
import time
import warnings
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from sargan_core import __version__
from sargan_core.batch.manifest import Entry, ManifestWriter, Stamp
from sargan_core.batch.plan import BatchSettings, Output, Source
from sargan_core.errors import OutputExistsError, PhotoError
from sargan_core.expressions import Like
from sargan_core.outcome import face_json, message, outcome_of
from sargan_core.photo.content import BLOCK, BYTES_BESIDE, HEAD, open_photo, read_rest
from sargan_core.photo.files import place, shown, stage
from sargan_core.photo.kinds import Defect, kind_of_bytes
from sargan_core.photo.metadata import Provenance
from sargan_core.photo.photo import MAX_PIXELS, Photo, decode_photo, render_photo

if TYPE_CHECKING:
    from sargan_core.editor import EditResult

# File systems round times to as much as this; a file that changed so shortly before may change again unseen.
COARSE_TIME_NS = 2_000_000_000
# Most memory that a photo needs while it is decoded, pasted and encoded, per pixel.
BYTES_A_PIXEL = 16
# The same per byte of the file, where the number of pixels is not known before decoding.
BYTES_A_BYTE = 8


@dataclass(frozen=True)
class PhotoFile:
    """A photo's file, read but not decoded.

    Attributes:
        data: its bytes; of a file that is no photo only the first.
        kind: its format, e.g. ``JPEG``; empty if it is no photo.
        sha256: of the whole file.
        stamp: size and mtime when it was read.
        seconds: how long reading took.
        problem: why it is no photo, as a message; empty if it is one.
    """

    data: bytes
    kind: str
    sha256: str
    stamp: Stamp
    seconds: float
    problem: str = ""

    @property
    def pixel_bytes(self) -> int:
        """Most memory that editing the photo will need, in bytes, from the size in the head of the file."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with Image.open(io.BytesIO(self.data), formats=[self.kind]) as image:
                    width, height = image.size
        except Exception:  # decoding will say what is wrong
            return len(self.data) * BYTES_A_BYTE
        return width * height * BYTES_A_PIXEL


@dataclass(frozen=True)
class Staged:
    """A result that is finished but not yet in its place.

    Attributes:
        entry: its line of the manifest.
        temporary: the file that waits to be put in place; None if there is no result.
        replace: a file that lies in its place may be replaced.
    """

    entry: Entry
    temporary: Path | None = None
    replace: bool = False

    def discard(self) -> None:
        """Remove the waiting file."""
        if self.temporary is not None:
            self.temporary.unlink(missing_ok=True)


def stamp_of(status: os.stat_result, now_ns: int | None = None) -> Stamp:
    """Return a file's stamp, without its mtime if the file changed just before ``now_ns``."""
    fresh = now_ns is not None and status.st_mtime_ns > now_ns - COARSE_TIME_NS
    return Stamp(status.st_size, None if fresh else status.st_mtime_ns)


def read_source(path: str, max_pixels: int | None = None) -> PhotoFile:
    """Return a photo's file; None = the library's own limit of pixels.

    Raises:
        PhotoError: missing, a folder, not readable, or larger than a photo can be.
    """
    started, moment = time.perf_counter(), time.time_ns()
    name, kind, problem = shown(path), "", ""
    with open_photo(Path(path), name) as stream:
        stamp = stamp_of(os.fstat(stream.fileno()), moment)
        data = head = stream.read(HEAD)
        try:
            kind = kind_of_bytes(head)
            data = read_rest(stream, head, name, max_pixels or MAX_PIXELS)
            digest, size = hashlib.sha256(data), len(data)
        except Defect as defect:
            problem = f"{name}: {defect}"
            digest, size = hashlib.sha256(head), len(head)
            while size < BYTES_BESIDE and (block := stream.read(BLOCK)):
                digest.update(block)
                size += len(block)
    if size != stamp.size:
        stamp = Stamp(size, None)
    return PhotoFile(data, kind, digest.hexdigest(), stamp, time.perf_counter() - started, problem)


def decode(file: PhotoFile, path: str, max_pixels: int | None = None) -> Photo:
    """Return the photo in a file that was read from ``path``; PhotoError as ``read_photo``."""
    if file.problem:
        raise PhotoError(file.problem)
    return decode_photo(file.data, file.kind, shown(path), max_pixels or MAX_PIXELS)


def read_reference(like: Like, max_pixels: int | None = None) -> tuple[Photo, str]:
    """Return the photo that ``--like`` names, and the checksum of its file.

    Raises:
        PhotoError: it cannot be read, or is no longer the one whose checksum ``like`` has.
    """
    path = str(like.path)
    file = read_source(path, max_pixels)
    if like.sha256 and file.sha256 != like.sha256:
        raise PhotoError(
            f"{shown(path)}: was changed while the batch ran; run it again, so that all photos get the "
            "same expression"
        )
    return decode(file, path, max_pixels), file.sha256


def check_target(output: Output, source: Source, settings: BatchSettings) -> None:
    """Refuse a result that could not be put in its place, before any work is done.

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
    file: PhotoFile,
    result: EditResult,
    settings: BatchSettings,
    model: str,
) -> Staged:
    """Encode a result and write it to the staging folder.

    Args:
        source: the photo.
        output: what was to be made of it.
        file: the photo's file.
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
        _entry(source, output, file, settings, model),
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
    file: PhotoFile | None,
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
        file: the photo's file; None if it could not be read.
        error: what happened.
        settings: of the batch.
        model: the model's own name.
        reading: whether the photo was still being read or decoded.
        seconds: time spent until then, by stage.
    """
    entry = replace(
        _entry(source, output, file, settings, model),
        outcome=outcome_of(error, reading=reading).value,
        message=message(error, source.path),
        seconds=_rounded(seconds or {}),
    )
    return Staged(entry)


def commit(staged: Staged, source: Source, manifest: ManifestWriter) -> Entry:
    """Append a result's line to the manifest, then put the result in its place; return the line that counts.

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
        staged.discard()
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


def now() -> str:
    """Return the time for a line of the manifest; these texts sort as the times do."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _entry(
    source: Source, output: Output, file: PhotoFile | None, settings: BatchSettings, model: str
) -> Entry:
    return Entry(
        input=_manifest_name(source.path, settings.folder),
        input_sha256="" if file is None else file.sha256,
        output=output.path,
        options_sha256=output.options_sha256,
        model=model,
        expression=str(output.variant.mix),
        strength=output.variant.strength,
        outcome="failed",
        input_stamp=None if file is None else file.stamp,
        precision=settings.edit.precision,
    )


def _manifest_name(path: str, folder: Path) -> str:
    """Return the name under which the manifest of ``folder`` lists a photo."""
    try:
        return os.path.relpath(path, folder)
    except ValueError:  # on another drive
        return str(Path(path).absolute())


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


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {stage: round(float(value), 4) for stage, value in seconds.items()}
