"""The run folder: options, metrics, events, sample sheets and checkpoints of one training run."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor

from sargan_core.errors import TrainingError, UsageError
from sargan_core.photo.content import read_settings
from sargan_core.photo.files import replacing, write_atomically
from sargan_core.photo.lines import check_ours
from sargan_core.weights import WeightsRecord

OPTIONS = "options.json"


METRICS = "metrics.jsonl"


CHECKPOINT = "checkpoint.pt"


WEIGHTS = "generator.safetensors"


Options = TypeVar("Options")


def check_unused(path: Path) -> None:
    """Raise what keeps a new run out of a folder.

    Raises:
        UsageError: another run lies there.
    """
    if (path / OPTIONS).is_file():
        raise UsageError(
            f"{path}: already holds a run; go on with --resume, or name another folder with --out"
        )


def read_run_options(folder: Path, build: Callable[[dict[str, Any]], Options]) -> Options:
    """Return what ``build`` makes of the values that ``RunFolder.write_options`` wrote.

    Raises:
        TrainingError: there are none, or they are not readable.
    """
    path = folder / OPTIONS
    try:
        return build(json.loads(read_settings(path)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TrainingError(
            f"{path}: no readable options of a run ({error}); start without --resume"
        ) from error


class RunFolder:
    """Everything a run leaves on disk.

    Args:
        path: the folder; made when missing.
        writes: False on all but the first of several processes: nothing is written.

    Raises:
        UsageError: the folder holds another file under the name of the metrics; nothing was touched.
    """

    def __init__(self, path: Path, writes: bool = True) -> None:
        self.path = path
        self._writes = writes
        self._events: Any = None
        if writes:
            check_ours(path / METRICS, ("step",), "metrics of a training run")
            path.mkdir(parents=True, exist_ok=True)

    def write_options(self, options: Any) -> None:
        """Write a settings dataclass as ``options.json``."""
        if self._writes:
            text = json.dumps(asdict(options), indent=2, default=str)
            write_atomically(self.path / OPTIONS, (text + "\n").encode(), overwrite=True)

    def cut_metrics(self, step: int) -> None:
        """Drop the lines of ``metrics.jsonl`` after ``step``, and a torn one: a resumed run writes them again."""
        path = self.path / METRICS
        if self._writes and path.is_file():
            lines = path.read_bytes().splitlines()
            kept = b"".join(line + b"\n" for line in lines if _step_of(line) <= step)
            write_atomically(path, kept, overwrite=True)

    def write_metrics(self, step: int, metrics: dict[str, float]) -> None:
        """Append one line to ``metrics.jsonl`` and the same values to the TensorBoard events."""
        if not self._writes:
            return
        with (self.path / METRICS).open("a", encoding="utf-8") as stream:
            values = {name: round(value, 6) for name, value in metrics.items()}
            stream.write(json.dumps({"step": step, **values}) + "\n")
        if self._events is None:
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(self.path), purge_step=step)
        for name, value in metrics.items():
            self._events.add_scalar(name, value, step)

    def write_sheet(self, step: int, sheet: Tensor) -> None:
        """Write a (3, H, W) uint8 sheet as ``sheet-STEP.png``."""
        if self._writes:
            file = io.BytesIO()
            Image.fromarray(sheet.permute(1, 2, 0).contiguous().numpy()).save(file, "PNG")
            write_atomically(self.path / f"sheet-{step:06d}.png", file.getvalue(), overwrite=True)

    def write_checkpoint(self, state: dict[str, Any]) -> None:
        """Replace ``checkpoint.pt``; an interruption leaves the old one whole."""
        if self._writes:
            with replacing(self.path / CHECKPOINT, overwrite=True) as temporary:
                torch.save(state, temporary)

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
        except Exception as error:  # torch raises many kinds for a damaged file
            raise TrainingError(f"{path}: cannot be read ({error}); start the run again") from error
        return state

    def close(self) -> None:
        """Write out what the event writer still holds."""
        if self._events is not None:
            self._events.close()


def _step_of(line: bytes) -> float:
    """Return the step of a line of metrics; a line that a full disk or a kill tore comes after all steps."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError):
        return math.inf


def card_head(record: WeightsRecord, *training: str) -> list[str]:
    """Return the first lines of a card as Markdown: what the weights are, from what, and how they were trained.

    Args:
        record: of the weights.
        training: how, a point each.
    """
    points = [
        f"data: {record.data}",
        f"licence of the weights: {record.weights_licence}",
        *training,
        f"sha256 {record.sha256}, {record.bytes:,} bytes",
    ]
    return [f"# {record.name}", "", record.description, "", *(f"- {point}" for point in points)]
