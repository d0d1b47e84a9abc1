"""The report of an evaluation: one HTML page that needs nothing else, and the same as JSON, CSV and Markdown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from markupsafe import Markup

from sargan_core.evaluation.charts import line_chart
from sargan_core.evaluation.examples import PLACES, RANKINGS, Gallery
from sargan_core.evaluation.export import to_csv, to_markdown
from sargan_core.evaluation.records import NOTHING, TRUTH
from sargan_core.evaluation.results import ALL, LOST, Confusion, Results
from sargan_core.evaluation.tables import (
    NAMES,
    PARTS,
    Table,
    cost_table,
    expression_table,
    setting_line,
    source_tables,
    summary_table,
)
from sargan_core.expressions import LABELS
from sargan_core.files import shown, write_atomically
from sargan_core.page import page_templates

PAGE, JSON, CSV, MARKDOWN = "report.html", "results.json", "results.csv", "results.md"
# Figure -> title, range and ticks of the strength curves.
CURVES: dict[str, tuple[str, tuple[float, float], tuple[float, ...]]] = {
    "reached": ("probability of the wanted expression", (0, 1), (0, 0.25, 0.5, 0.75, 1)),
    "identity": ("identity (cosine to the input)", (0, 1), (0, 0.25, 0.5, 0.75, 1)),
}


def write_report(results: Results, gallery: Gallery, folder: Path) -> Path:
    """Write ``report.html``, ``results.json``, ``results.csv`` and ``results.md`` to ``folder``; return the page.

    Raises:
        PhotoError: a file cannot be written.
    """
    text = json.dumps(results.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    contents = {
        JSON: text,
        CSV: to_csv(results),
        MARKDOWN: to_markdown(results),
        PAGE: render(results, gallery),
    }
    for name, content in contents.items():
        write_atomically(folder / name, content.encode("utf-8", "replace"), overwrite=True)
    return folder / PAGE


def render(results: Results, gallery: Gallery) -> str:
    """Return the page; every text in it is escaped."""
    templates = page_templates("sargan_core.evaluation")
    templates.filters["number"] = lambda value: f"{value:.2f}"
    models = [model for model in results.models if model not in (NOTHING, TRUTH)]
    parts = [_part(results, gallery, part, models) for part in PARTS]
    return templates.get_template("report.html").render(
        results=results,
        names=NAMES,
        models=models,
        parts=[part for part in parts if part["summary"] is not None],
        costs=cost_table(results),
        line=setting_line(results),
        rankings=RANKINGS,
        places=PLACES,
        settings={key: _shown(value) for key, value in results.settings.items()},
        skipped=[(shown(photo), reason) for photo, reason in results.skipped.items()],
    )


def _part(results: Results, gallery: Gallery, part: str, models: list[str]) -> dict[str, Any]:
    confusion = [item for item in results.confusion if item.part == part and item.model != NOTHING]
    return {
        "key": part,
        "summary": summary_table(results, part),
        "sources": [table for table in source_tables(results, part) if table is not None],
        "expressions": _expression_tables(results, part),
        "overview": gallery.overview.get(part, []),
        "examples": gallery.examples.get(part, {}),
        "confusion": [_heat(item) for item in sorted(confusion, key=lambda item: _order(results, item))],
        "curves": [chart for model in models for chart in _charts(results, part, model)],
    }


def _expression_tables(results: Results, part: str) -> list[Table]:
    tables = (expression_table(results, part, model) for model in results.models)
    return [table for table in tables if table is not None]


def _order(results: Results, item: Confusion) -> tuple[int, int, str, str]:
    return results.models.index(item.model), item.source != ALL, item.source, item.judge


def _heat(item: Confusion) -> dict[str, Any]:
    """Return a confusion matrix with shares of each line, 0..1, for shading."""
    columns = [expression.value for expression in LABELS]
    if any(line.get(LOST) for line in item.counts.values()):
        columns.append(LOST)
    rows = []
    for wanted, line in item.counts.items():
        total = max(1, sum(line.values()))
        rows.append((wanted, [(line[seen], line[seen] / total, seen == wanted) for seen in columns], total))
    right = sum(line.get(wanted, 0) for wanted, line in item.counts.items())
    total = sum(sum(line.values()) for line in item.counts.values())
    title = NAMES.get(item.model, item.model) + ("" if item.source == ALL else f", {item.source}")
    return {
        "title": title,
        "judge": item.judge,
        "columns": columns,
        "rows": rows,
        "accuracy": 100 * right / max(1, total),
        "total": total,
    }


def _charts(results: Results, part: str, model: str) -> list[dict[str, Any]]:
    points = [point for point in results.curves if point.part == part and point.model == model]
    charts = []
    for figure, (title, y_range, ticks) in CURVES.items():
        series: dict[str, list[tuple[float, float]]] = {}
        for point in sorted(
            points, key=lambda point: (point.expression == ALL, point.expression, point.strength)
        ):
            if figure in point.figures:
                series.setdefault(point.expression, []).append((point.strength, point.figures[figure]))
        if series:
            chart: Markup = line_chart(
                f"{model}: {title} against strength", series, "strength", y_range, ticks
            )
            people = max(point.people for point in points)
            charts.append(
                {"title": f"{model}: {title}", "svg": chart, "names": list(series), "people": people}
            )
    return charts


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {item}" for key, item in value.items()) or "–"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "–"
    return "–" if value is None else str(value)
