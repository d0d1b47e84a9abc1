"""Results of an evaluation: means with confidence intervals, confusion, curves, costs; written and read as JSON.

Intervals come from resampling people: photos of one person are not independent of each other.
"""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from scipy.stats import bootstrap

from sargan_core.errors import DataError
from sargan_core.evaluation.cost import Cost
from sargan_core.evaluation.metrics import SetDistance
from sargan_core.photo.content import read_settings, reason_of

RESAMPLES = 2000
CONFIDENCE = 0.95
SEED = 20


@dataclass(frozen=True)
class Estimate:
    """A mean over people with its confidence interval.

    Attributes:
        mean: mean of the people's means.
        low: lower end of the 95 % interval; None with fewer than two people.
        high: upper end.
        people: number of people.
        count: number of measurements.
    """

    mean: float
    low: float | None
    high: float | None
    people: int
    count: int


def estimate(by_person: Mapping[str, Sequence[float]]) -> Estimate | None:
    """Return the mean over people with its percentile bootstrap interval; None without any measurement."""
    means = [float(np.mean(values)) for _, values in sorted(by_person.items()) if len(values)]
    if not means:
        return None
    low, high = interval(means)
    count = sum(len(values) for values in by_person.values())
    return Estimate(float(np.mean(means)), low, high, len(means), count)


def interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the 95 % bootstrap interval of the mean of independent ``values``."""
    if len(values) < 2:
        return None, None
    if min(values) == max(values):
        return float(values[0]), float(values[0])
    return _resampled([values], np.mean)


def difference_interval(one: Sequence[float], other: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the 95 % interval of ``mean(other) - mean(one)`` for different, independent people."""
    if len(one) < 2 or len(other) < 2:
        return None, None
    if min(one) == max(one) and min(other) == max(other):
        return float(other[0] - one[0]), float(other[0] - one[0])

    def difference(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray(b.mean(axis=axis) - a.mean(axis=axis))

    return _resampled([one, other], difference)


def _resampled(
    samples: Sequence[Sequence[float]], statistic: Callable[..., np.ndarray]
) -> tuple[float, float]:
    """Return the percentile interval of a statistic of independent samples, each of them resampled."""
    found = bootstrap(
        tuple(np.asarray(values, dtype=np.float64) for values in samples),
        statistic,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return float(found.low), float(found.high)


FORMAT = "sargan-evaluation"
VERSION = 1
ALL = "all"
LOST = "lost"
# Largest number of figures per person in total; a thousand people and twenty models have half of it.
MOST_FIGURES = 1_000_000


@dataclass(frozen=True)
class Row:
    """The means of one model over one group of pictures.

    Attributes:
        part: ``in`` or ``ood``.
        source: a data set, or ``all``.
        model: the model.
        expression: an expression, or ``all``.
        pictures: number of pictures.
        lost: number of those without a face.
        figures: by ``Metric.key``; further judges' as ``recognised:NAME``.
    """

    part: str
    source: str
    model: str
    expression: str
    pictures: int
    lost: int
    figures: dict[str, Estimate]


@dataclass(frozen=True)
class CurvePoint:
    """Means at one strength, over the people with curves.

    Attributes:
        part: ``in`` or ``ood``.
        model: the model.
        expression: an expression, or ``all``.
        strength: 0 = the photo itself.
        figures: ``recognised``, ``reached``, ``identity``.
        people: number of people.
    """

    part: str
    model: str
    expression: str
    strength: float
    figures: dict[str, float]
    people: int


@dataclass(frozen=True)
class Confusion:
    """Counts of the expressions that a judge predicted.

    Attributes:
        part: ``in`` or ``ood``.
        model: the model, or ``truth``.
        source: a data set, or ``all``.
        judge: the judge's name.
        counts: wanted expression -> seen expression (or ``lost``) -> number.
    """

    part: str
    model: str
    source: str
    judge: str
    counts: dict[str, dict[str, int]]


@dataclass(frozen=True)
class Results:
    """Content of the report, without pictures.

    Attributes:
        created: ISO time.
        versions: of sargan and of the libraries that figures depend on.
        settings: of the run, as plain values.
        models: names in the order of the tables, ``none`` first.
        judges: name -> description; the first one's figures have no suffix.
        rows: the tables.
        people: part -> model -> figure -> person -> mean, for the paired comparison of runs.
        confusion: predictions of the judges.
        curves: figures against strength.
        distances: part -> model -> network -> distance to the set of true pictures.
        costs: by model.
        cost_notes: model -> why its cost could not be measured.
        truths: number of exact and of registered comparisons with a true picture, by part.
        skipped: photo -> reason.
        seconds: wall-clock time of the run that wrote this.
    """

    created: str
    versions: dict[str, str]
    settings: dict[str, Any]
    models: tuple[str, ...]
    judges: dict[str, str]
    rows: tuple[Row, ...]
    people: dict[str, dict[str, dict[str, dict[str, float]]]]
    confusion: tuple[Confusion, ...] = ()
    curves: tuple[CurvePoint, ...] = ()
    distances: dict[str, dict[str, dict[str, SetDistance]]] = field(default_factory=dict)
    costs: dict[str, Cost] = field(default_factory=dict)
    cost_notes: dict[str, str] = field(default_factory=dict)
    truths: dict[str, dict[str, int]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def row(self, model: str, part: str = "in", source: str = ALL, expression: str = ALL) -> Row | None:
        """Return the row with these members, or None."""
        wanted = (part, source, model, expression)
        for row in self.rows:
            if (row.part, row.source, row.model, row.expression) == wanted:
                return row
        return None

    def to_json(self) -> dict[str, Any]:
        """Return the results as plain values, numbers to six significant digits."""
        values = asdict(self)
        shortened: dict[str, Any] = _rounded({"format": FORMAT, "version": VERSION, **values})
        return shortened

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Results:
        """Build results from what ``to_json`` returned; raises ValueError for anything else."""
        members = {name: value for name, value in values.items() if name not in ("format", "version")}
        # Results of earlier versions have no notes on costs.
        members.setdefault("cost_notes", {})
        made = record_of(cls, members)
        count = sum(
            len(people)
            for models in made.people.values()
            for part in models.values()
            for people in part.values()
        )
        if count > MOST_FIGURES:
            raise ValueError(f"{count:,} figures of people")
        return made


def read_results(path: Path) -> Results:
    """Read a results file.

    Raises:
        DataError: missing, not such a file, or of another version.
    """
    try:
        text = read_settings(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({reason_of(error)}); give a results.json") from error
    try:
        values = json.loads(text)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise DataError(f"{path}: not the results of sargan evaluate; give its results.json")
        if values.get("version") != VERSION:
            raise DataError(
                f"{path}: results of version {values.get('version')}, this sargan reads {VERSION}; "
                "evaluate again"
            )
        return Results.from_json(values)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: damaged results ({error}); evaluate again") from error


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


Record = TypeVar("Record")
# Largest number in a results file, far above every figure, time and size; sums of smaller numbers are finite.
LARGEST_NUMBER = 1e15


def record_of(kind: type[Record], values: Any) -> Record:
    """Return the dataclass ``kind`` from its JSON form; every member must have the declared type.

    Members may be ``str``, ``int``, ``float``, dataclasses, dictionaries by text, tuples, and ``None`` where declared.
    A float that was not finite, which JSON cannot hold, is ``None`` there and becomes NaN.

    Raises:
        ValueError: a member is missing, unknown, or of another type; the message says which.
    """
    made: Record = _value(kind, values, kind.__name__)
    return made


def _value(kind: Any, value: Any, name: str) -> Any:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _value(inner[0], value, name)
    if is_dataclass(kind):
        return _record(kind, value, name)
    if origin is dict and isinstance(value, dict):
        return {key: _value(inner[1], item, f"{name}, {key!r:.40}") for key, item in value.items()}
    if origin is tuple and isinstance(value, list):
        kinds = [inner[0]] * len(value) if inner[-1] is ... else inner
        if len(kinds) == len(value):
            return tuple(_value(each, item, name) for each, item in zip(kinds, value, strict=True))
    if kind is float and (value is None or _is_number(value, int | float)):
        return math.nan if value is None else float(value)
    if (kind is int and _is_number(value, int)) or (kind is str and isinstance(value, str)):
        return value
    raise ValueError(f"{name} is {value!r:.40}")


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER


def _record(kind: Any, value: Any, name: str) -> Any:
    known = _members(kind)
    if not isinstance(value, Mapping) or value.keys() != known.keys():
        odd = sorted(value.keys() ^ known.keys()) if isinstance(value, Mapping) else ["all"]
        raise ValueError(f"{name} has members missing or unknown: {', '.join(odd[:4])[:80]}")
    return kind(**{member: _value(known[member], value[member], member) for member in known})


@cache
def _members(kind: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}
