"""Judges: networks that recognise expression or identity, the shipped one and any ONNX network.

A further judge is an ONNX file with a small TOML file::

    name = "mine"
    kind = "expression"            # or "identity"
    file = "mine.onnx"             # relative to the TOML file
    size = 112                     # side of the square input in pixels
    channels = "rgb"               # or "bgr", "grey"
    scale = 1.0                    # input values go from 0 to scale …
    mean = [0.485, 0.456, 0.406]   # … then mean is subtracted
    std = [0.229, 0.224, 0.225]    # … and the rest divided by std
    output = "logits"              # or "probabilities"
    labels = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]   # "-" = none of the seven

    [template]                     # optional: where the eyes and the mouth lie, as fractions of the side
    left_eye = [0.335, 0.345]
    right_eye = [0.665, 0.345]
    mouth = [0.5, 0.712]
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sargan_core.data.crop_cache import checksum
from sargan_core.errors import DataError, UsageError
from sargan_core.expressions import LABELS, Expression, parse_expression
from sargan_core.faces.face import Template
from sargan_core.models.judge.network import TEMPLATE as JUDGE_TEMPLATE
from sargan_core.models.judge.network import load_judge
from sargan_core.models.registry import SIDES, check_template
from sargan_core.photo.content import read_file, read_settings, reason_of
from sargan_core.weights import find_record

SHIPPED = "judge"
KINDS = ("expression", "identity")
CHANNELS = {"rgb": 3, "bgr": 3, "grey": 1}
OUTPUTS = ("logits", "probabilities")
OTHER = "-"
# Largest TOML file in bytes, because the parser takes quadratic time for hostile ones.
LARGEST_TOML = 2**13
# Largest network in bytes; OpenCV needs about three times as much memory.
LARGEST_NETWORK = 2**28
# Largest value of scale, mean and std.
LARGEST_NUMBER = 1e6
_KNOWN = {
    *("name", "kind", "file", "size", "channels", "scale", "mean", "std", "output", "labels", "template"),
}

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Verdicts:
    """Predictions of a judge for a batch of faces.

    Attributes:
        probabilities: (B, 7) float32, rows sum to 1, in label order; None = not predicted.
        embeddings: (B, D) float32 of length 1 each; None = not predicted.
    """

    probabilities: Floats | None = None
    embeddings: Floats | None = None


class FaceJudge(Protocol):
    """Anything that judges aligned faces.

    Attributes:
        name: short, for columns of tables.
        description: one line for the report.
        key: checksum of everything that its verdicts depend on.
        template: the alignment of the crops.
    """

    name: str
    description: str
    key: str
    template: Template

    def judge(self, crops: Tensor) -> Verdicts:
        """Return the verdicts on (B, 3, S, S) float32 RGB crops in [0, 1]."""
        ...


class ShippedJudge:
    """The judge that comes with the package: expression and identity.

    Raises:
        WeightsError: its weights are missing or damaged.
    """

    def __init__(self, device: str = "cpu") -> None:
        record = find_record(SHIPPED)
        self._network = load_judge(device)
        self._device = device
        self.name = SHIPPED
        self.description = record.description
        self.key = record.sha256
        self.template = self._network.template

    def judge(self, crops: Tensor) -> Verdicts:
        """Return expression and identity of the crops."""
        with torch.inference_mode():
            logits, embeddings = self._network.judge(crops.to(self._device))
        return Verdicts(logits.softmax(1).cpu().numpy(), embeddings.cpu().numpy())


@dataclass(frozen=True)
class OnnxSettings:
    """Content of a judge's TOML file; see the module's docstring."""

    name: str
    kind: str
    file: Path
    template: Template
    channels: str = "rgb"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    output: str = "logits"
    labels: tuple[Expression | None, ...] = ()


class OnnxJudge:
    """A network of the user, run by OpenCV on the CPU.

    Raises:
        DataError: the network cannot be read or run, or answers with another number of classes than labels.
    """

    def __init__(self, settings: OnnxSettings) -> None:
        self.settings = settings
        self.name = settings.name
        self.template = settings.template
        self.description = f"{settings.kind} by {settings.file.name}"
        try:
            content = read_file(settings.file, LARGEST_NETWORK)
        except (OSError, ValueError) as error:
            raise DataError(f"{settings.file}: cannot be read ({reason_of(error)}); check 'file'") from error
        self.key = checksum(content, repr(settings))
        try:
            self._network = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
            width = self._run(np.zeros((1, 3, settings.template.size, settings.template.size), np.float32))
        except (cv2.error, ValueError) as error:
            reason = " ".join(str(error).split())[:160]
            raise DataError(
                f"{settings.file}: OpenCV cannot run this network ({reason}); export it as plain ONNX with "
                "a fixed input size"
            ) from error
        if settings.kind == "expression" and width.shape[1] != len(settings.labels):
            raise DataError(
                f"{settings.file}: answers with {width.shape[1]} classes, but 'labels' names "
                f"{len(settings.labels)}; list them in the network's order, '{OTHER}' for others"
            )

    def judge(self, crops: Tensor) -> Verdicts:
        """Return the network's verdicts; probabilities of labels outside the seven are dropped."""
        answer = self._run(crops.cpu().numpy())
        if self.settings.kind == "identity":
            return Verdicts(
                embeddings=answer / np.maximum(np.linalg.norm(answer, axis=1, keepdims=True), 1e-9)
            )
        if self.settings.output == "logits":
            answer = np.exp(answer - answer.max(1, keepdims=True))
        seven = np.zeros((len(answer), len(LABELS)), np.float32)
        for column, expression in enumerate(self.settings.labels):
            if expression is not None:
                seven[:, expression.label] += answer[:, column]
        return Verdicts(probabilities=seven / np.maximum(seven.sum(1, keepdims=True), 1e-9))

    def _run(self, crops: npt.NDArray[Any]) -> Floats:
        settings = self.settings
        if settings.channels == "bgr":
            crops = crops[:, ::-1]
        elif settings.channels == "grey":
            crops = np.einsum("bchw,c->bhw", crops, np.array([0.299, 0.587, 0.114]))[:, None]
        mean, std = (np.array(value).reshape(1, -1, 1, 1) for value in (settings.mean, settings.std))
        blob = ((crops * settings.scale - mean) / std).astype(np.float32)
        rows = []
        for row in blob:  # many exported networks have a fixed batch size of one
            self._network.setInput(np.ascontiguousarray(row[None]))
            rows.append(np.asarray(self._network.forward(), np.float32).reshape(-1))
        return np.stack(rows)


def read_judge(path: Path) -> OnnxJudge:
    """Return the judge that a TOML file describes.

    Raises:
        DataError: the file cannot be read, or its network cannot.
        UsageError: a member is missing, unknown, or has an impossible value.
    """
    try:
        values = tomllib.loads(read_settings(path, LARGEST_TOML))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check --judge") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a TOML file ({error}); see docs/evaluation.md") from error
    try:
        settings = _settings(values, path)
    except (LookupError, TypeError, ValueError, OverflowError, UsageError) as error:
        missing = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"{path}: {missing}; see docs/evaluation.md for a judge's members") from error
    return OnnxJudge(settings)


def _settings(values: Mapping[str, Any], path: Path) -> OnnxSettings:
    if unknown := sorted(set(values) - _KNOWN):
        raise ValueError(f"'{unknown[0]}' is no member of a judge")
    kind, channels, output = values["kind"], values.get("channels", "rgb"), values.get("output", "logits")
    for name, value, known in (
        ("kind", kind, KINDS),
        ("channels", channels, tuple(CHANNELS)),
        ("output", output, OUTPUTS),
    ):
        if value not in known:
            raise ValueError(f"{name} '{value}': use {' or '.join(known)}")
    size = int(values["size"])
    if size not in SIDES:
        raise ValueError(f"size {size}: give a side from {SIDES[0]} to {SIDES[-1]} pixels")
    labels = tuple(
        None if name == OTHER else parse_expression(str(name)) for name in values.get("labels", ())
    )
    if kind == "expression" and not any(labels):
        raise ValueError("an expression judge needs 'labels'")
    where = {**JUDGE_TEMPLATE.to_json(), **values.get("template", {}), "size": size, "shape": None}
    return OnnxSettings(
        name=str(values["name"]),
        kind=kind,
        file=path.parent / str(values["file"]),
        template=check_template(Template.from_json(where)),
        channels=channels,
        scale=_numbers([values.get("scale", 1.0)], 1, "scale")[0],
        mean=_numbers(values.get("mean", (0.0,)), CHANNELS[channels], "mean"),
        std=_numbers(values.get("std", (1.0,)), CHANNELS[channels], "std"),
        output=output,
        labels=labels,
    )


def _numbers(values: Sequence[Any], channels: int, name: str) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    finite = all(abs(number) <= LARGEST_NUMBER for number in numbers)
    if len(numbers) not in (1, channels) or not finite or (name == "std" and 0.0 in numbers):
        raise ValueError(f"{name} {list(numbers)[:4]}: give 1 or {channels} numbers, none of them 0 for std")
    return numbers


def make_judges(paths: Sequence[Path] = (), device: str = "cpu") -> list[FaceJudge]:
    """Return the shipped judge and those of the TOML files, with unique names.

    Raises:
        WeightsError, DataError, UsageError: as ``ShippedJudge`` and ``read_judge``; also for a name given twice.
    """
    judges: list[FaceJudge] = [ShippedJudge(device), *(read_judge(path) for path in paths)]
    names = [judge.name for judge in judges]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two judges are called '{name}'; give each its own 'name'")
    return judges
