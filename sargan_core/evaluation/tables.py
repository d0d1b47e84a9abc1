"""Tables of the results, for the report, Markdown and the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sargan_core.evaluation.journal import NOTHING, TRUTH
from sargan_core.evaluation.metrics import BY_KEY, METRICS, Metric, SetDistance
from sargan_core.evaluation.protocol import TARGETS
from sargan_core.evaluation.results import ALL, Estimate, Results, Row

PARTS = {"in": "In the data set: test people", "ood": "Out of the data set"}
NAMES = {NOTHING: "none (do nothing)", TRUTH: "true pictures"}
# Figures in the tables by expression; the others hardly depend on the expression.
BY_EXPRESSION = (
    *("recognised", "reached", "identity", "mse", "psnr", "ssim", "landmarks", "colour", "detail"),
    *("mouth_detail", "mouth_gradient", "teeth_light"),
)


@dataclass(frozen=True)
class Cell:
    """One cell: its text, its interval, and whether it is the best model's of the column."""

    text: str
    interval: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table with a name for each row.

    Attributes:
        title: what it shows.
        columns: names with units and arrows.
        rows: name and cells, as many as columns.
        notes: sentences below it.
        meanings: what each column means.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    notes: tuple[str, ...] = ()
    meanings: dict[str, str] = field(default_factory=dict)


def metric_of(key: str) -> Metric:
    """Return the metric of a figure; a further judge's ``recognised:mine`` is labelled ``recognised (mine)``."""
    plain, colon, judge = key.partition(":")
    metric = BY_KEY[plain]
    if not colon:
        return metric
    return Metric(
        key, f"{metric.label} ({judge})", metric.unit, metric.better, metric.decimals, metric.meaning
    )


def figure_keys(rows: Sequence[Row]) -> list[str]:
    """Return the figures that any of the rows has, in the tables' order."""
    there = {key for row in rows for key in row.figures}
    order = [metric.key for metric in METRICS]
    return sorted(there, key=lambda key: (order.index(key.partition(":")[0]), key))


def summary_table(results: Results, part: str, source: str = ALL) -> Table | None:
    """Return all models over one part, or over one data set of it; None where nothing was measured."""
    rows = [(model, results.row(model, part, source)) for model in results.models]
    title = PARTS[part] if source == ALL else f"{PARTS[part]}, {source}"
    return _table(title, [(model, row) for model, row in rows if row is not None], results, part, source)


def expression_table(results: Results, part: str, model: str) -> Table | None:
    """Return one model by expression."""
    names = [expression.value for expression in TARGETS]
    if model == TRUTH:
        names.append("neutral")
    rows = [(name, results.row(model, part, ALL, name)) for name in names]
    kept = [(name, row) for name, row in rows if row is not None]
    return _table(NAMES.get(model, model), kept, None, part, ALL, BY_EXPRESSION)


def _table(
    title: str,
    rows: Sequence[tuple[str, Row]],
    results: Results | None,
    part: str,
    source: str,
    only: Sequence[str] = (),
) -> Table | None:
    keys = [key for key in figure_keys([row for _, row in rows]) if not only or key.partition(":")[0] in only]
    if not keys:
        return None
    metrics = [metric_of(key) for key in keys]
    best = {metric.key: _best(metric, rows) for metric in metrics} if results is not None else {}
    distances = results.distances.get(part, {}) if results is not None and source == ALL else {}
    networks = sorted({network for found in distances.values() for network in found})
    lines = []
    for name, row in rows:
        cells = [
            _cell(row.figures.get(metric.key), metric, best.get(metric.key) == name) for metric in metrics
        ]
        cells += [_distance(distances.get(name, {}).get(network)) for network in networks]
        lines.append((NAMES.get(name, name), (*cells, Cell(str(row.lost)))))
    columns = [heading(metric) for metric in metrics] + [
        f"set distance ({name}), × 1000 ↓" for name in networks
    ]
    meanings = {metric.label: metric.meaning for metric in metrics}
    for network in networks:
        meanings[f"set distance ({network})"] = (
            "Kernel distance between outputs and true pictures (the KID formula) on this network's features, ± its "
            "deviation over random subsets"
            + ("." if network == "inception" else "; not comparable with KIDs on Inception features.")
        )
    meanings["lost"] = "Pictures in which no face was found again; they count as not recognised."
    people = max((item.people for _, row in rows for item in row.figures.values()), default=0)
    pictures = max(row.pictures for name, row in rows if name != TRUTH or len(rows) == 1)
    notes = [f"{people} people, {pictures} pictures a row; in small print the 95 % interval over people."]
    if results is not None and source == ALL and (truths := results.truths.get(part)):
        notes.append(
            f"True pictures: {truths['exact']} comparisons pixel on pixel, {truths['registered']} after "
            "registration (no landmark error there)."
        )
    return Table(title, (*columns, "lost"), tuple(lines), tuple(notes), meanings)


def _best(metric: Metric, rows: Sequence[tuple[str, Row]]) -> str | None:
    """Return the best model's name; unchanged photos and true pictures are not considered."""
    found = {
        name: row.figures[metric.key].mean
        for name, row in rows
        if name not in NAMES and metric.key in row.figures
    }
    if len(found) < 2 or metric.better == "none" or len(set(found.values())) == 1:
        return None
    if metric.better == "one":
        return min(found, key=lambda name: abs(found[name] - 1))
    return (max if metric.better == "high" else min)(found, key=lambda name: found[name])


def heading(metric: Metric) -> str:
    """Return the heading of a metric's column: label, unit, and an arrow to the better side."""
    arrow = {"high": " ↑", "low": " ↓", "one": " → 1", "none": ""}[metric.better]
    unit = f", {metric.unit}" if metric.unit else ""
    return f"{metric.label}{unit}{arrow}"


def _cell(estimate: Estimate | None, metric: Metric, best: bool) -> Cell:
    if estimate is None:
        return Cell("–")
    digits = metric.decimals
    interval = ""
    if estimate.low is not None and estimate.high is not None:
        interval = f"{estimate.low:.{digits}f} … {estimate.high:.{digits}f}"
    return Cell(f"{estimate.mean:.{digits}f}", interval, best)


def _distance(distance: SetDistance | None) -> Cell:
    if distance is None:
        return Cell("–")
    fid = "" if distance.fid is None else f", FID {distance.fid:.1f}"
    return Cell(f"{1000 * distance.kid:.1f}", f"± {1000 * distance.error:.1f}{fid}")


def cost_table(results: Results) -> Table | None:
    """Return the costs of the models."""
    if not results.costs and not results.cost_notes:
        return None
    columns = (
        *("parameters ↓", "file, MB ↓", "multiply-adds, M ↓"),
        *("model, ms ↓", "edit, ms ↓", "peak memory, MB ↓"),
    )
    rows = []
    for name, cost in results.costs.items():
        peak = "–" if cost.peak_mb is None else f"{cost.peak_mb:.0f}"
        cells = (
            *(f"{cost.parameters:,}", f"{cost.bytes / 1e6:.2f}", f"{cost.multiply_adds / 1e6:,.1f}"),
            *(f"{cost.model_ms:.1f}", f"{cost.edit_ms:.0f}", peak),
        )
        rows.append((name, tuple(Cell(text) for text in cells)))
    rows += [(name, (Cell("–"),) * len(columns)) for name in results.cost_notes]
    notes = [f"{note}." for note in results.cost_notes.values()]
    for first in list(results.costs.values())[:1]:
        notes.insert(
            0,
            f"One face, photo of {first.photo[0]} × {first.photo[1]} px, {first.threads} threads, device "
            f"{results.settings.get('device', '?')}, median of five.",
        )
    meanings = {
        "multiply-adds": "Of the model for one face as it is executed; element-wise work and interpolation included.",
        "edit": "Finding the face, cropping, model and paste; without reading and writing the file.",
        "peak memory": "Of the whole process, libraries included.",
    }
    return Table("Cost of one image", columns, tuple(rows), tuple(notes), meanings)


def source_tables(results: Results, part: str) -> list[Table | None]:
    """Return a summary for each data set of a part, if there are several."""
    sources = sorted(
        {row.source for row in results.rows if row.part == part and row.model == NOTHING} - {ALL}
    )
    return [summary_table(results, part, source) for source in sources] if len(sources) > 1 else []


def setting_line(results: Results) -> str:
    """Return versions, judges and settings in one line, to be shown with a table."""
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    chosen = results.settings
    split = "all people" if chosen.get("everyone") else str(chosen.get("split") or "every fifth person")
    judges = ", ".join(results.judges)
    landmarks = chosen.get("landmarks")
    return (
        f"{results.created} · {versions} · judges: {judges} · test people: {split} · landmarks: {landmarks}"
    )
