"""The run folder: what one training run writes, and how it takes the place of an earlier run.

An earlier run is replaced only when that is asked for, and only once the new one is complete.
"""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor

from sargan_core.errors import DataError, TrainingError, UsageError
from sargan_core.photo.content import read_settings
from sargan_core.photo.files import explaining, replacing, shown, write_atomically
from sargan_core.photo.lines import LineFile, check_ours, read_lines
from sargan_core.training.checks import check_types, settings_from_json
from sargan_core.weights import WeightsRecord

OPTIONS = "options.json"
METRICS = "metrics.jsonl"
CHECKPOINT = "checkpoint.pt"
WEIGHTS = "generator.safetensors"
EVENT_FORMAT = "brain.Event:2"

Options = TypeVar("Options")
# Errors that building settings from a damaged file may raise.
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


def read_run_options(folder: Path, kind: type[Options]) -> Options:
    """Return the settings that ``RunFolder.write_options`` wrote.

    Raises:
        TrainingError: there are none, or they are not readable.
    """
    path = folder / OPTIONS
    if not path.is_file():
        raise TrainingError(f"{path}: no options of a run to resume; check --out, or start without --resume")
    try:
        options = settings_from_json(kind, json.loads(read_settings(path)))
        check_types(options)
    except (*_UNREADABLE, OSError, DataError, UsageError) as error:
        raise TrainingError(
            f"{path}: no readable options of a run ({_cause(error)}); start without --resume"
        ) from error
    return options


def finished_steps(folder: Path, steps: int) -> int:
    """Return how many steps the run in a folder has made.

    Args:
        folder: the run folder.
        steps: number of the last step that is asked for.

    Raises:
        TrainingError: there is no checkpoint, or it is damaged.
        UsageError: the run has gone further than that.
    """
    done = int(RunFolder(folder, False).read_checkpoint()["step"])
    if done > steps:
        raise UsageError(
            f"--steps {steps}: {folder} has made {done} steps already; name a later one to go on"
        )
    return done


class RunFolder:
    """The files that a run writes.

    Args:
        path: the folder; created if missing.
        writes: False = write nothing, for all but the first of several processes.

    Raises:
        UsageError: the folder holds another file under the name of the metrics; nothing was touched.
    """

    def __init__(self, path: Path, writes: bool = True) -> None:
        self.path = path
        self._writes = writes
        self._events: EventFile | None = None
        if writes:
            check_ours(path / METRICS, ("step",), "metrics of a training run")
            with explaining(path):
                path.mkdir(parents=True, exist_ok=True)

    def write_options(self, options: Any) -> None:
        """Write a settings dataclass as ``options.json``."""
        if self._writes:
            text = json.dumps(asdict(options), indent=2, default=str)
            write_atomically(self.path / OPTIONS, (text + "\n").encode(), overwrite=True)

    def cut_metrics(self, step: int) -> None:
        """Drop the lines of ``metrics.jsonl`` after ``step``, and incomplete ones; a resumed run writes them again."""
        path = self.path / METRICS
        if self._writes and path.is_file():
            with explaining(path):
                kept = b"".join(line + b"\n" for line in read_lines(path) if _step_of(line) <= step)
            write_atomically(path, kept, overwrite=True)

    def write_metrics(self, step: int, metrics: dict[str, float]) -> None:
        """Append one line to ``metrics.jsonl`` and the same values to the TensorBoard events."""
        if not self._writes:
            return
        path = self.path / METRICS
        with explaining(path), LineFile(path) as lines:
            lines.append({"step": step, **{name: round(value, 6) for name, value in metrics.items()}})
        if self._events is None:
            self._events = EventFile(self.path, step)
        self._events.write(step, metrics)

    def write_sheet(self, step: int, sheet: Tensor) -> None:
        """Write a (3, H, W) uint8 sheet as ``sheet-STEP.png``."""
        if self._writes:
            file = io.BytesIO()
            Image.fromarray(sheet.permute(1, 2, 0).contiguous().numpy()).save(file, "PNG")
            write_atomically(self.path / f"sheet-{step:06d}.png", file.getvalue(), overwrite=True)

    def write_checkpoint(self, state: dict[str, Any]) -> None:
        """Replace ``checkpoint.pt``; an interruption leaves the old one whole."""
        if self._writes:
            path = self.path / CHECKPOINT
            # Through a stream, because with a file name torch's message for a full disk is not understandable.
            with replacing(path, overwrite=True) as temporary, temporary.open("wb") as stream:
                torch.save(state, stream)

    def read_checkpoint(self) -> dict[str, Any]:
        """Return the state that ``write_checkpoint`` saved, on the CPU.

        Raises:
            TrainingError: there is none, or it is damaged.
        """
        path = self.path / CHECKPOINT
        if not path.is_file():
            raise TrainingError(f"{path}: no checkpoint to resume from; start without --resume")
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            if not isinstance(state["step"], int) or state["step"] < 1:
                raise ValueError(f"step {state['step']!r}")
        except Exception as error:  # torch raises many kinds for a damaged file
            raise damaged(path, error) from error
        return state

    def close(self) -> None:
        """Close the file of events."""
        if self._events is not None:
            self._events.close()
            self._events = None


class EventFile:
    """One file of TensorBoard events in a run folder.

    TensorBoard's own writer works in a thread, which ends with a traceback when the disk is full. This one writes
    immediately, so that the failure is reported where it happens.

    Args:
        folder: the run folder.
        first: the first step; TensorBoard ignores later steps in earlier files of the folder.
    """

    def __init__(self, folder: Path, first: int) -> None:
        self.path = (
            folder / f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
        )
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        with explaining(self.path):
            self._stream = self.path.open("ab")
        self._records = RecordWriter(self._stream)
        start = SessionLog(status=SessionLog.START)
        self._write(file_version=EVENT_FORMAT)
        self._write(step=first, session_log=start)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add the values of a step; PhotoError as for ``replacing``."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        listed = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(step=step, summary=Summary(value=listed))

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _write(self, **values: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        with explaining(self.path):
            self._records.write(Event(wall_time=time.time(), **values).SerializeToString())
            self._stream.flush()


def damaged(checkpoint: Path, error: Exception) -> TrainingError:
    """Return the error for a checkpoint that cannot be resumed from."""
    return TrainingError(
        f"{checkpoint}: cannot be read ({_cause(error)}); start the run again with --overwrite"
    )


def _cause(error: Exception) -> str:
    """Return the first line of a library's error message, at most 160 characters."""
    said = str(error) if isinstance(error, OSError | ValueError | UsageError | DataError) else repr(error)
    first = said.strip().splitlines()[0] if said.strip() else type(error).__name__
    return first if len(first) <= 160 else f"{first[:160]}…"


def _step_of(line: bytes) -> float:
    """Return the step of a line of metrics; infinity for an incomplete line."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError):
        return math.inf


def card_head(record: WeightsRecord, *training: str) -> list[str]:
    """Return the first lines of a model card as Markdown: description, data, licence and training.

    Args:
        record: of the weights.
        training: further list items, about the training.
    """
    points = [
        f"data: {record.data}",
        f"licence of the weights: {record.weights_licence}",
        *training,
        f"sha256 {record.sha256}, {record.bytes:,} bytes",
    ]
    return [f"# {record.name}", "", record.description, "", *(f"- {point}" for point in points)]


# Folder inside the run folder where a run is kept until it replaces an earlier one.
UNFINISHED = "unfinished"
# Files that trainings write; anything else in the folder belongs to the user and stays.
RESULTS = (
    "*.safetensors",
    "checkpoint.pt",
    "options.json",
    "metrics.jsonl",
    "split.json",
    "figures.json",
    "sheet.png",
    "sheet-*.png",
    "events.out.tfevents.*",
    *("pixel.md", "judge.md", "landmarks.md"),
)


def earlier_results(out: Path) -> list[Path]:
    """Return the files of an earlier run in a folder, and the folder of an unfinished one; sorted."""
    if not out.is_dir():
        return []
    found = {path for pattern in RESULTS for path in out.glob(pattern)}
    if (out / UNFINISHED).exists():
        found.add(out / UNFINISHED)
    return sorted(found)


def folder_to_resume(out: Path) -> Path:
    """Return the folder of the run that ``--resume`` continues: an unfinished one before a finished one."""
    return out / UNFINISHED if (out / UNFINISHED).is_dir() else out


def check_place(out: Path, *, resume: bool = False, overwrite: bool = False) -> None:
    """Check that a run may write to a folder.

    Raises:
        UsageError: no folder, or an earlier run lies there that is neither to be resumed nor replaced.
    """
    if resume and overwrite:
        raise UsageError("--resume continues a run and --overwrite replaces it; give one of them")
    if os.path.lexists(out) and not out.is_dir():
        raise UsageError(f"{shown(out)}: is no folder; name another one with --out")
    found = [] if resume or overwrite else earlier_results(out)
    if found:
        raise UsageError(
            f"{shown(out)}: already holds a run ({shown(found[0].name)}); go on with --resume, replace it with "
            "--overwrite, or name another folder with --out"
        )


@contextmanager
def results_folder(
    out: Path, *, resume: bool = False, overwrite: bool = False, at_once: bool = False
) -> Iterator[Path]:
    """Yield the folder that a run writes to; an earlier run in ``out`` is replaced only if the block succeeds.

    A new run writes to ``out`` itself. One that replaces another writes to a folder inside ``out``, and its files are
    moved at the end; if it is interrupted, they stay there and the run can be resumed. Only the first of several
    processes changes anything.

    Args:
        out: the run folder; created if missing, and removed again if it stays empty.
        resume: continue the run in ``out``.
        overwrite: replace the run in ``out``.
        at_once: the run cannot be resumed: its files appear in ``out`` together at the end, or not at all.

    Raises:
        UsageError: as ``check_place``.
        TrainingError: the folder cannot be made or written.
        PhotoError: the results cannot be put in their places.
    """
    staged = out / UNFINISHED
    waits = at_once or overwrite or (resume and staged.is_dir())
    work = staged if waits else out
    if os.environ.get("RANK", "0") != "0":
        yield work
        return
    check_place(out, resume=resume, overwrite=overwrite)
    with _made(work, anew=waits and not resume):
        try:
            yield work
        except BaseException:
            if at_once:
                shutil.rmtree(work, ignore_errors=True)
            raise
        if waits:
            _put_in_place(work, out)


@contextmanager
def _made(folder: Path, *, anew: bool) -> Iterator[None]:
    """Create a folder, check that it is writable, and in the end remove the folders that were created and are empty."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        if anew and os.path.lexists(folder):
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".sargan-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise TrainingError(
            f"{shown(folder)}: cannot be written ({error.strerror or error}); choose another folder with --out"
        ) from error
    try:
        yield
    finally:
        for path in missing:
            with suppress(OSError):
                path.rmdir()


def _put_in_place(work: Path, out: Path) -> None:
    """Move the files of ``work`` to ``out``, and remove what only the earlier run had."""
    earlier = [path for path in earlier_results(out) if path != work]
    new = sorted(work.iterdir())
    for file in new:
        with explaining(out / file.name):
            file.replace(out / file.name)
    for path in earlier:
        if path.name not in {file.name for file in new}:
            with explaining(path):
                path.unlink()
    with suppress(OSError):
        work.rmdir()
