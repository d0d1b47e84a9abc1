"""Measures of single pictures, and the journal of them, from which an interrupted run continues."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sargan_core.errors import DataError
from sargan_core.photo.content import reason_of
from sargan_core.photo.lines import LineFile, check_ours, read_lines

# Part of every key; increase it when a change of the code changes the figures.
VERSION = 3
# Pseudo-models: the unchanged photo, and the true pictures.
NOTHING = "none"
TRUTH = "truth"


@dataclass(frozen=True)
class Measure:
    """One picture: a photo edited by a model, or a true picture.

    Attributes:
        part: ``in`` or ``ood``.
        source: the data set of the photo; of the true picture for the model ``truth``.
        person: who it is.
        photo: path of the input; of the true picture for the model ``truth``.
        model: name of the model, ``none`` or ``truth``.
        expression: the target.
        strength: of the target.
        found: whether a face was found; without one the figures that need it are missing.
        truth: ``exact`` or ``registered``, the kind of the true pictures; empty = none.
        values: the figures by ``Metric.key``; those of further judges as ``recognised:NAME``.
        predicted: the likeliest expression by the judge's name.
        features: (D,) float32 embeddings by network, for distances between sets.
    """

    part: str
    source: str
    person: str
    photo: str
    model: str
    expression: str
    strength: float = 1.0
    found: bool = True
    truth: str = ""
    values: dict[str, float] = field(default_factory=dict)
    predicted: dict[str, str] = field(default_factory=dict)
    features: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the measure as plain values; features as base64 of float16."""
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "features": {
                name: base64.b64encode(value.astype("<f2").tobytes()).decode("ascii")
                for name, value in self.features.items()
            },
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Measure:
        """Build a measure from what ``to_json`` returned; raises KeyError, TypeError or ValueError otherwise."""
        features = {
            str(name): np.frombuffer(base64.b64decode(text), "<f2").astype(np.float32)
            for name, text in values["features"].items()
        }
        return cls(**{name: values[name] for name in _PLAIN}, features=features)


_PLAIN = (
    *("part", "source", "person", "photo", "model", "expression"),
    *("strength", "found", "truth", "values", "predicted"),
)


@dataclass(frozen=True)
class PhotoMeasures:
    """All measures of one photo with one model.

    Attributes:
        key: checksum of everything that the measures depend on.
        photo: path of the photo.
        model: name of the model.
        measures: one per expression and strength.
        error: why there are no measures; empty if there are.
    """

    key: str
    photo: str
    model: str
    measures: tuple[Measure, ...] = ()
    error: str = ""


class Journal:
    """A file of entries, one JSON object per line; unreadable lines (an incomplete last one) are ignored.

    Args:
        path: the file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self) -> None:
        """Raise UsageError if the file exists and is not a journal; nothing is changed."""
        check_ours(self.path, ("key", "photo", "model"), "journal of an evaluation")

    def read(self) -> Iterator[PhotoMeasures]:
        """Yield the entries that can be read; the photos of others are measured again.

        Raises:
            DataError: the file cannot be read.
        """
        try:
            for line in read_lines(self.path):
                try:
                    values = json.loads(line)
                    measures = tuple(Measure.from_json(item) for item in values["measures"])
                    names = (str(values["key"]), str(values["photo"]), str(values["model"]))
                    entry = PhotoMeasures(*names, measures, str(values["error"]))
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                    continue
                yield entry
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self.path}: cannot be read ({reason_of(error)}); choose another --out"
            ) from error

    def append(self, entry: PhotoMeasures) -> None:
        """Write one entry.

        Raises:
            DataError: the file cannot be written.
        """
        value = {
            "key": entry.key,
            "photo": entry.photo,
            "model": entry.model,
            "measures": [measure.to_json() for measure in entry.measures],
            "error": entry.error,
        }
        try:
            with LineFile(self.path) as lines:
                lines.append(value)
        except OSError as error:
            reason = error.strerror or str(error)
            raise DataError(f"{self.path}: cannot be written ({reason}); choose another --out") from error
