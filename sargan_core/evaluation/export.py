"""The results as Markdown, for people to paste, and as CSV, for programs to read."""

from __future__ import annotations

import csv
import io

from sargan_core.evaluation.results import Results
from sargan_core.evaluation.tables import (
    PARTS,
    Table,
    cost_table,
    expression_table,
    figure_keys,
    setting_line,
    source_tables,
    summary_table,
)


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
    """Return a table as the lines of Markdown, the best model's cell in bold."""
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
    """Return every mean of every row, one a line."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        [
            "part",
            "source",
            "model",
            "expression",
            "figure",
            "mean",
            "low",
            "high",
            "people",
            "count",
            "pictures",
            "lost",
        ]
    )
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
