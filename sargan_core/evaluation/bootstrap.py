"""Confidence intervals by resampling people: photos of one person are not independent of each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap

RESAMPLES = 2000
CONFIDENCE = 0.95
SEED = 20


@dataclass(frozen=True)
class Estimate:
    """A mean over people and how certain it is.

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
