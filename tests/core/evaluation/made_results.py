"""Results made up for tests: no photo was measured."""

from __future__ import annotations

import numpy as np

from sargan_core.evaluation.cost import Cost
from sargan_core.evaluation.journal import Measure
from sargan_core.evaluation.metrics import SetDistance
from sargan_core.evaluation.results import Results
from sargan_core.evaluation.summary import make_confusion, make_curves, make_rows, people_means

MODELS = ("none", "pixel", "sargan", "truth")


def made_results(shift: float = 0.0, *, people: int = 12, seed: int = 0, names: str = "p") -> Results:
    """Two models on made people; ``shift`` is added to what the pixel model reaches."""
    generator = np.random.default_rng(seed)
    measures = []
    for number in range(people):
        for model in MODELS:
            for expression in ("happy", "sad"):
                level = {"none": 0.1, "pixel": 0.6 + shift, "sargan": 0.4, "truth": 0.9}[model]
                reached = float(np.clip(level + generator.normal(0, 0.05), 0, 1))
                values = {
                    "recognised": 100.0 * (reached > 0.5),
                    "reached": reached,
                    "identity": float(1 - 0.3 * reached + generator.normal(0, 0.02)),
                }
                if model != "truth":
                    values |= {"mse": 100 - 40 * reached, "detail": 1.1 if model == "pixel" else 0.7}
                    values |= {"background": 0.0}
                seen = expression if reached > 0.5 else "neutral"
                measures.append(
                    Measure(
                        *("in", "made", f"{names}{number}", f"{names}{number}.png", model, expression),
                        values=values,
                        predicted={"made": seen},
                    )
                )
    first = ("in", "made", f"{names}0", f"{names}0.png", "pixel", "happy", 0.5)
    half = [Measure(*first, values={"reached": 0.3, "identity": 0.9})]
    return Results(
        created="2026-01-01T00:00:00+00:00",
        versions={"sargan": "0.1.0"},
        settings={"device": "cpu", "split": None, "everyone": False, "landmarks": "auto"},
        models=MODELS,
        judges={"made": "made for tests"},
        rows=make_rows(measures),
        people=people_means(measures),
        confusion=make_confusion(measures, ["made"]),
        curves=make_curves([*measures, *half]),
        distances={"in": {"pixel": {"made": SetDistance(0.012, 0.003, None, 24, 24)}}},
        costs={"pixel": Cost(1000, 4000, 2_000_000, 3.5, 200.0, None, 2, (512, 512))},
        truths={"in": {"exact": 24, "registered": 0}},
    )
