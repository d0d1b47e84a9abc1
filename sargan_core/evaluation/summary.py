"""Aggregate measures into results: means over people, confusion matrices, curves, distances between sets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from sargan_core.evaluation.journal import NOTHING, TRUTH, Measure
from sargan_core.evaluation.metrics import SetDistance, set_distance
from sargan_core.evaluation.protocol import TARGETS
from sargan_core.evaluation.results import ALL, LOST, Confusion, CurvePoint, Row, estimate
from sargan_core.expressions import LABELS, Expression


def make_rows(measures: Sequence[Measure]) -> tuple[Row, ...]:
    """Return the tables' rows: each model over everything, by source and by expression.

    True pictures count for the source of the photo that they were compared with.
    """
    homes = {measure.person: measure.source for measure in measures if measure.model == NOTHING}
    groups: dict[tuple[str, str, str, str], list[Measure]] = defaultdict(list)
    for measure in measures:
        keys = [(ALL, measure.expression)]
        if measure.expression != Expression.NEUTRAL.value:
            source = homes.get(measure.person, measure.source) if measure.model == TRUTH else measure.source
            keys += [(ALL, ALL), (source, ALL)]
        for source, expression in keys:
            groups[measure.part, source, measure.model, expression].append(measure)
    rows = []
    for (part, source, model, expression), members in groups.items():
        figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for measure in members:
            for key, value in measure.values.items():
                figures[key][measure.person].append(value)
        estimates = {key: estimate(by_person) for key, by_person in figures.items()}
        rows.append(
            Row(
                *(part, source, model, expression),
                pictures=len(members),
                lost=sum(not measure.found for measure in members),
                figures={key: value for key, value in estimates.items() if value is not None},
            )
        )
    return tuple(rows)


def people_means(measures: Iterable[Measure]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Return part -> model -> figure -> person -> mean."""
    values: dict[str, Any] = defaultdict(lambda: defaultdict(lambda: defaultdict(lambda: defaultdict(list))))
    for measure in measures:
        if measure.expression == Expression.NEUTRAL.value:
            continue
        for key, value in measure.values.items():
            values[measure.part][measure.model][key][measure.person].append(value)
    return {
        part: {
            model: {
                key: {person: float(np.mean(found)) for person, found in sorted(people.items())}
                for key, people in keys.items()
            }
            for model, keys in models.items()
        }
        for part, models in values.items()
    }


def make_confusion(measures: Iterable[Measure], judges: Sequence[str]) -> tuple[Confusion, ...]:
    """Return the confusion of each judge on each model's outputs, and on the true pictures by data set."""
    counts: dict[tuple[str, str, str, str], dict[str, dict[str, int]]] = {}
    columns = [*(expression.value for expression in LABELS), LOST]
    for measure in measures:
        sources = (ALL, measure.source) if measure.model == TRUTH else (ALL,)
        for judge in judges:
            if judge not in measure.predicted and measure.found:
                continue
            for source in sources:
                table = counts.setdefault((measure.part, measure.model, source, judge), {})
                line = table.setdefault(measure.expression, dict.fromkeys(columns, 0))
                line[measure.predicted.get(judge, LOST)] += 1
    order = [expression.value for expression in LABELS]
    return tuple(
        Confusion(*key, counts={name: table[name] for name in order if name in table})
        for key, table in counts.items()
        if any(line[seen] for line in table.values() for seen in order)
    )


def make_curves(measures: Sequence[Measure]) -> tuple[CurvePoint, ...]:
    """Return the strength curves of the photos with several strengths; strength 0 is the photo itself."""
    curved = {
        (measure.part, measure.model, measure.photo)
        for measure in measures
        if measure.strength != 1.0 and measure.model not in (NOTHING, TRUTH)
    }
    models_of: dict[tuple[str, str], list[str]] = defaultdict(list)
    for part, model, photo in sorted(curved):
        models_of[part, photo].append(model)
    groups: dict[tuple[str, str, str, float], list[Measure]] = defaultdict(list)
    for measure in measures:
        if measure.model == NOTHING:
            models, strength = models_of.get((measure.part, measure.photo), []), 0.0
        elif (measure.part, measure.model, measure.photo) in curved:
            models, strength = [measure.model], measure.strength
        else:
            continue
        for model in models:
            for expression in (ALL, measure.expression):
                groups[measure.part, model, expression, strength].append(measure)
    return tuple(
        CurvePoint(
            *key,
            figures={
                name: float(np.mean(found))
                for name in ("recognised", "reached", "identity")
                if (found := [measure.values[name] for measure in members if name in measure.values])
            },
            people=len({measure.person for measure in members}),
        )
        for key, members in sorted(groups.items())
    )


def make_distances(measures: Sequence[Measure]) -> dict[str, dict[str, dict[str, SetDistance]]]:
    """Return the distances of each model's outputs to the true pictures of the wanted expressions."""
    wanted = {expression.value for expression in TARGETS}
    features: dict[tuple[str, str, str], list[Any]] = defaultdict(list)
    for measure in measures:
        if measure.strength == 1.0 and measure.expression in wanted:
            for network, vector in measure.features.items():
                features[measure.part, measure.model, network].append(vector)
    result: dict[str, dict[str, dict[str, SetDistance]]] = {}
    for (part, model, network), vectors in features.items():
        real = features.get((part, TRUTH, network))
        if model == TRUTH or real is None:
            continue
        distance = set_distance(np.stack(real), np.stack(vectors))
        if distance is not None:
            result.setdefault(part, {}).setdefault(model, {})[network] = distance
    return result


def count_truths(measures: Iterable[Measure]) -> dict[str, dict[str, int]]:
    """Return how many pictures were compared with exact and with registered true pictures, by part."""
    counts: dict[str, dict[str, int]] = {}
    for measure in measures:
        if measure.truth and measure.model == NOTHING:
            part = counts.setdefault(measure.part, {"exact": 0, "registered": 0})
            part[measure.truth] += 1
    return counts
