"""The check of a stimulus set as a page, JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sargan_core.evaluation.charts import line_chart
from sargan_core.evaluation.export import markdown_table
from sargan_core.evaluation.series import Series, SeriesReport
from sargan_core.evaluation.tables import Cell, Table
from sargan_core.files import shown, write_atomically
from sargan_core.page import page_templates

PAGE, JSON, CSV, MARKDOWN = "series.html", "series.json", "series.csv", "series.md"


def write_series(report: SeriesReport, versions: dict[str, str], folder: Path) -> Path:
    """Write ``series.html``, ``.json``, ``.csv`` and ``.md`` to ``folder``; return the page.

    Raises:
        PhotoError: a file cannot be written.
    """
    table = series_table(report)
    line = ", ".join(f"{name} {version}" for name, version in versions.items())
    values = {**report.to_json(), "versions": versions}
    contents = {
        JSON: json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        CSV: _csv(report),
        MARKDOWN: "\n".join(["# Stimulus set", "", *markdown_table(table), line, ""]),
        PAGE: _render(report, table, line),
    }
    for name, content in contents.items():
        write_atomically(folder / name, content.encode("utf-8", "replace"), overwrite=True)
    return folder / PAGE


def series_table(report: SeriesReport) -> Table:
    """Return one line an expression: how many series rise, and how plain the expression becomes."""
    strengths = sorted({step.strength for series in report.series for step in series.steps})
    rows = []
    for expression, group in report.by_expression().items():
        rising = sum(series.monotone for series in group)
        cells = [Cell(f"{rising} of {len(group)}"), Cell(f"{_mean([series.gain for series in group]):+.2f}")]
        cells += [Cell(_at(group, strength)) for strength in strengths]
        rows.append((expression, tuple(cells)))
    columns = ("series that rise", "gain", *(f"at {strength:g}" for strength in strengths))
    note = (
        f"Mean probability that the judge '{report.judge[0]}' gives the wanted expression, by strength; 0 is the "
        f"input. A series rises if no step falls by {report.tolerance:g} or more."
    )
    return Table("Strength series", columns, tuple(rows), (note,))


def _at(group: Sequence[Series], strength: float) -> str:
    found = _reached(group, strength)
    return f"{_mean(found):.2f}" if found else "–"


def _reached(group: Sequence[Series], strength: float) -> list[float]:
    return [step.reached for series in group for step in series.steps if step.strength == strength]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _render(report: SeriesReport, table: Table, line: str) -> str:
    templates = page_templates("sargan_core.evaluation")
    means: dict[str, list[tuple[float, float]]] = {}
    for expression, group in report.by_expression().items():
        strengths = sorted({step.strength for series in group for step in series.steps})
        means[expression] = [(strength, _mean(_reached(group, strength))) for strength in strengths]
    chart = line_chart(
        "mean probability against strength", means, "strength", (0, 1), (0, 0.25, 0.5, 0.75, 1)
    )
    falling = [series for series in report.series if not series.monotone]
    return templates.get_template("series.html").render(
        folder=shown(report.folder),
        table=table,
        chart=chart,
        names=list(means),
        falling=falling,
        count=len(report.series),
        judge=report.judge,
        line=line,
        left_out=[(shown(output), reason) for output, reason in report.left_out.items()],
    )


def _csv(report: SeriesReport) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        [
            *("input", "face", "model", "expression", "strength", "output"),
            *("reached", "seen", "identity", "monotone"),
        ]
    )
    for series in report.series:
        for step in series.steps:
            identity = "" if step.identity is None else f"{step.identity:.4f}"
            writer.writerow(
                [
                    *(series.input, series.face, series.model, series.expression, f"{step.strength:g}"),
                    *(step.output, f"{step.reached:.4f}", step.seen, identity, str(series.monotone).lower()),
                ]
            )
    return file.getvalue()
