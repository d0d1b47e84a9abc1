"""Compare two runs: the differences, and whether they are larger than the noise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sargan_core.errors import DataError
from sargan_core.evaluation.journal import NOTHING, TRUTH
from sargan_core.evaluation.metrics import METRICS
from sargan_core.evaluation.results import Results, difference_interval, interval
from sargan_core.evaluation.tables import PARTS, heading, metric_of

# With fewer people in common, the runs are compared as if all people were different.
FEWEST_IN_COMMON = 3


@dataclass(frozen=True)
class Difference:
    """One figure of one model in two runs.

    Attributes:
        part: ``in`` or ``ood``.
        first: name of the model in the first run.
        second: name of the model in the second run.
        figure: ``Metric.key``.
        before: the first run's mean over the people compared.
        after: the second's.
        low: lower end of the 95 % interval of ``after - before``; None with fewer than two people.
        high: upper end.
        people: number of people compared (of the first run if they are not the same).
        paired: whether both means are over the same people.
        verdict: ``better``, ``worse``, ``changed`` (for figures without a good direction), or ``within the noise``.
    """

    part: str
    first: str
    second: str
    figure: str
    before: float
    after: float
    low: float | None
    high: float | None
    people: int
    paired: bool
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """Return the difference as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Comparison:
    """All differences of two runs, and reasons why they may not be comparable."""

    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as plain values."""
        return {"differences": [item.to_json() for item in self.differences], "notes": list(self.notes)}


def compare(first: Results, second: Results) -> Comparison:
    """Compare every model that is in both runs; or the only model of each, even if the names differ.

    Differences are per person where the runs have people in common (paired bootstrap over people), else between the
    two groups.

    Raises:
        DataError: no model, no part or no figure in common.
    """
    differences = [
        difference
        for part in PARTS
        for one, other in _models(first, second)
        for difference in _differences(first, second, part, one, other)
    ]
    if not differences:
        raise DataError("the two results have no model with the same figures in common; compare other runs")
    return Comparison(tuple(differences), tuple(_notes(first, second)))


def _models(first: Results, second: Results) -> list[tuple[str, str]]:
    own = [name for name in first.models if name not in (NOTHING, TRUTH)]
    others = [name for name in second.models if name not in (NOTHING, TRUTH)]
    there = set(others)
    common = [(name, name) for name in dict.fromkeys(own) if name in there]
    if not common and len(own) == len(others) == 1:
        return [(own[0], others[0])]
    return common


def _differences(first: Results, second: Results, part: str, one: str, other: str) -> Iterator[Difference]:
    before = first.people.get(part, {}).get(one, {})
    after = second.people.get(part, {}).get(other, {})
    order = {metric.key: place for place, metric in enumerate(METRICS)}
    both = [key for key in before.keys() & after.keys() if key.partition(":")[0] in order]
    for key in sorted(both, key=lambda key: (order[key.partition(":")[0]], key)):
        one_people, other_people = _finite(before[key]), _finite(after[key])
        if not one_people or not other_people:
            continue
        common = sorted(one_people.keys() & other_people.keys())
        paired = len(common) >= FEWEST_IN_COMMON
        people = common if paired else sorted(one_people)
        one_values = [one_people[person] for person in people]
        other_values = [other_people[person] for person in (common if paired else sorted(other_people))]
        if paired:
            low, high = interval([new - old for old, new in zip(one_values, other_values, strict=True)])
        else:
            low, high = difference_interval(one_values, other_values)
        means = float(np.mean(one_values)), float(np.mean(other_values))
        verdict = _verdict(key, *means, low, high)
        yield Difference(part, one, other, key, *means, low, high, len(people), paired, verdict)


def _finite(people: Mapping[str, float]) -> dict[str, float]:
    return {person: value for person, value in people.items() if math.isfinite(value)}


def _verdict(key: str, before: float, after: float, low: float | None, high: float | None) -> str:
    if low is None or high is None or low <= 0 <= high:
        return "within the noise"
    better = metric_of(key).better
    if better == "none":
        return "changed"
    improved = abs(after - 1) < abs(before - 1) if better == "one" else (after > before) == (better == "high")
    return "better" if improved else "worse"


def _notes(first: Results, second: Results) -> Iterator[str]:
    if first.judges != second.judges:
        yield "the judges differ, so recognised, probability and identity do not compare"
    if first.versions != second.versions:
        names = sorted(
            name
            for name in first.versions.keys() | second.versions.keys()
            if first.versions.get(name) != second.versions.get(name)
        )
        yield f"versions differ: {', '.join(names)}"
    for part in PARTS:
        one, other = (
            set(results.people.get(part, {}).get(NOTHING, {}).get("background", {}))
            for results in (first, second)
        )
        if one and other and one != other:
            yield f"{part}: {len(one - other)} people only in the first run, {len(other - one)} only in the second"
    yield (
        "95 % intervals, one figure at a time: of twenty differences without a cause about one exceeds the noise"
    )


def difference_cells(item: Difference) -> tuple[str, ...]:
    """Return the cells of one line of a comparison."""
    metric = metric_of(item.figure)
    digits = metric.decimals
    model = item.first if item.first == item.second else f"{item.first} / {item.second}"
    interval = "–" if item.low is None else f"{item.low:+.{digits}f} … {item.high:+.{digits}f}"
    people = f"{item.people}, the same" if item.paired else f"{item.people}, others"
    return (
        *(item.part, model, heading(metric)),
        *(f"{item.before:.{digits}f}", f"{item.after:.{digits}f}", f"{item.after - item.before:+.{digits}f}"),
        *(interval, people, item.verdict),
    )
