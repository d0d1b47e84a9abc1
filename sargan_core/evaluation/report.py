"""The report of an evaluation as one self-contained HTML page, and as JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from sargan_core.evaluation.examples import PLACES, RANKINGS, Gallery
from sargan_core.evaluation.journal import NOTHING, TRUTH
from sargan_core.evaluation.results import ALL, LOST, Confusion, Results
from sargan_core.evaluation.tables import (
    NAMES,
    PARTS,
    Table,
    cost_table,
    expression_table,
    figure_keys,
    setting_line,
    source_tables,
    summary_table,
)
from sargan_core.expressions import LABELS
from sargan_core.page import page_templates
from sargan_core.photo.files import shown, write_atomically

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
    """Return a confusion matrix with fractions of each row for shading."""
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


WIDTH, HEIGHT = 340, 210
LEFT, RIGHT, TOP, BOTTOM = 42, 12, 14, 34


def line_chart(
    title: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    x_label: str,
    y_range: tuple[float, float],
    y_ticks: Sequence[float],
) -> Markup:
    """Return a line chart as SVG; each point has a mark, and a title on hover.

    Args:
        title: what is drawn, for screen readers.
        series: name -> points (x, y) in rising x.
        x_label: name of the x axis.
        y_range: lowest and highest y; points outside are drawn at the edge.
        y_ticks: values of the horizontal lines.
    """
    xs = sorted({x for points in series.values() for x, _ in points})
    if not xs:
        return Markup()
    low_x, high_x = xs[0], max(xs[-1], xs[0] + 1e-9)
    low, high = y_range

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - low_x) / (high_x - low_x) * (WIDTH - LEFT - RIGHT)
        down = TOP + (high - min(max(y, low), high)) / (high - low) * (HEIGHT - TOP - BOTTOM)
        return round(across, 1), round(down, 1)

    parts = [Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(WIDTH, HEIGHT, title)]
    for tick in y_ticks:
        _, y = place(low_x, tick)
        parts.append(
            Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(LEFT, WIDTH - RIGHT, y, y)
        )
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(LEFT - 5, y + 4, f"{tick:g}")
        )
    for x_value in xs:
        x, _ = place(x_value, low)
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
                x, HEIGHT - BOTTOM + 14, f"{x_value:g}"
            )
        )
    parts.append(
        Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, x_label
        )
    )
    for number, (name, points) in enumerate(series.items()):
        placed = [place(x, y) for x, y in points]
        path = " ".join(f"{x},{y}" for x, y in placed)
        parts.append(Markup('<polyline class="line c{}" points="{}"/>').format(number % 8, path))
        for (x, y), (x_value, y_value) in zip(placed, points, strict=True):
            parts.append(
                Markup(
                    '<circle class="dot c{}" cx="{}" cy="{}" r="3"><title>{}: {} at {}</title></circle>'
                ).format(number % 8, x, y, name, f"{y_value:.3g}", f"{x_value:g}")
            )
    return Markup("").join([*parts, Markup("</svg>")])


def to_markdown(results: Results) -> str:
    """Return the results as a Markdown page."""
    lines = ["# Evaluation", "", _plain(setting_line(results)), ""]
    for part in PARTS:
        tables = [summary_table(results, part), *(source_tables(results, part))]
        tables += [expression_table(results, part, model) for model in results.models]
        for position, table in enumerate(table for table in tables if table is not None):
            lines += markdown_table(table, 2 if position == 0 else 3)
    if (costs := cost_table(results)) is not None:
        lines += markdown_table(costs, 2)
    if results.skipped:
        lines += ["## Left out", "", *(f"- {_plain(reason)}" for reason in results.skipped.values()), ""]
    return "\n".join(lines)


def markdown_table(table: Table, level: int = 2) -> list[str]:
    """Return a table as lines of Markdown, with the best model's cells in bold."""
    lines = [f"{'#' * level} {_plain(table.title)}", ""]
    lines += ["| | " + " | ".join(map(_plain, table.columns)) + " |", "|---" * (len(table.columns) + 1) + "|"]
    for name, cells in table.rows:
        texts = [f"**{cell.text}**" if cell.best else cell.text for cell in cells]
        spans = [
            f"{text} ({cell.interval})" if cell.interval else text
            for text, cell in zip(texts, cells, strict=True)
        ]
        lines.append(f"| {_plain(name)} | " + " | ".join(spans) + " |")
    return [*lines, "", *map(_plain, table.notes), ""]


def to_csv(results: Results) -> str:
    """Return the results as CSV, one mean per line."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names = "part source model expression figure mean low high people count pictures lost"
    writer.writerow(names.split())
    for row in results.rows:
        for key in figure_keys([row]):
            item = row.figures[key]
            writer.writerow(
                [
                    *(row.part, row.source, row.model, row.expression, key),
                    *(_number(item.mean), _number(item.low), _number(item.high)),
                    *(item.people, item.count, row.pictures, row.lost),
                ]
            )
    return file.getvalue()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
