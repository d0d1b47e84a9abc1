"""Stimulus sets: check that the expression of each face grows with every step of strength.

Reads the manifest of ``sargan batch … --strength 0.25,0.5,0.75,1`` and judges its outputs.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from sargan_core.batch.manifest import Entry, read_manifest
from sargan_core.errors import DataError, SarganError, UsageError
from sargan_core.evaluation.judges import FaceJudge
from sargan_core.evaluation.metrics import similarity_of
from sargan_core.evaluation.report import line_chart, markdown_table
from sargan_core.evaluation.tables import Cell, Table
from sargan_core.evaluation.view import View, Viewer
from sargan_core.expressions import LABELS, ExpressionMix, parse_mix
from sargan_core.faces.face import Face
from sargan_core.models.landmarks.finder import face_finder
from sargan_core.outcome import Progress
from sargan_core.page import page_templates
from sargan_core.photo.files import shown, write_atomically
from sargan_core.photo.photo import read_photo

FORMAT = "sargan-series"
# Largest decrease of a probability between two steps that counts as constant.
TOLERANCE = 0.02


@dataclass(frozen=True)
class Step:
    """One strength of a series.

    Attributes:
        strength: 0 = the input.
        output: the file, relative to the folder of the manifest; of the input for strength 0.
        reached: probability that the judge gives the wanted expression, summed over the parts of a mix.
        seen: the judge's likeliest expression.
        identity: cosine of the judge's embeddings of input and output; None without the input.
    """

    strength: float
    output: str
    reached: float
    seen: str
    identity: float | None


@dataclass(frozen=True)
class Series:
    """One face of one photo under one expression, at rising strength.

    Attributes:
        input: the photo.
        face: the face's number in it.
        model: the model.
        expression: the target.
        steps: by strength.
        drops: strengths at which the probability is lower than at the step before.
        gain: probability at the highest strength minus that at the lowest.
    """

    input: str
    face: int
    model: str
    expression: str
    steps: tuple[Step, ...]
    drops: tuple[float, ...]
    gain: float

    @property
    def monotone(self) -> bool:
        """Whether the probability never decreases."""
        return not self.drops


@dataclass(frozen=True)
class SeriesReport:
    """All series of an output folder.

    Attributes:
        folder: the folder.
        judge: name and description.
        series: sorted by expression, photo and face.
        left_out: output -> reason.
        tolerance: largest decrease that counts as constant.
    """

    folder: str
    judge: tuple[str, str]
    series: tuple[Series, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    tolerance: float = TOLERANCE

    def by_expression(self) -> dict[str, list[Series]]:
        """Return the series of each expression."""
        groups: dict[str, list[Series]] = defaultdict(list)
        for series in self.series:
            groups[series.expression].append(series)
        return dict(groups)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        values = asdict(self)
        for item, series in zip(values["series"], self.series, strict=True):
            item["monotone"] = series.monotone
        return {"format": FORMAT, "version": 1, **values}


def check_series(
    folder: Path,
    judges: Sequence[FaceJudge],
    landmarks: str = "auto",
    device: str = "cpu",
    progress: Progress = lambda done, total: None,
) -> SeriesReport:
    """Judge every output of a batch and return its series.

    Args:
        folder: the batch's output folder, or its manifest.
        judges: the first one for expressions is used.
        landmarks: as for ``FaceFinder``.
        device: where networks run.
        progress: called with (done, total) outputs.

    Raises:
        DataError: no manifest, or nothing in it that can be checked.
        UsageError: no judge recognises expressions.
    """
    root = folder if folder.is_dir() else folder.parent
    entries = [entry for entry in read_manifest(folder).values() if entry.outcome == "done"]
    viewer = Viewer(face_finder(landmarks, device), judges, device)
    looker = _Looker(root, viewer)
    left_out: dict[str, str] = {}
    groups: dict[tuple[str, str, str, int], dict[float, Step]] = defaultdict(dict)
    for done, entry in enumerate(
        sorted(entries, key=lambda entry: (entry.input, entry.expression, entry.strength))
    ):
        progress(done, len(entries))
        try:
            for face, step in looker.steps(entry):
                groups[entry.expression, entry.input, entry.model, face][step.strength] = step
        except SarganError as error:
            left_out[entry.output] = str(error)
    progress(len(entries), len(entries))
    for (expression, photo, _, face), steps in groups.items():
        if (start := looker.start(photo, face, expression)) is not None:
            steps.setdefault(0.0, start)
    series = tuple(
        _series(photo, face, model, expression, [steps[strength] for strength in sorted(steps)])
        for (expression, photo, model, face), steps in sorted(groups.items())
        if len(steps) > 1
    )
    if not series:
        reason = next(iter(left_out.values()), "no photo with two strengths")
        raise DataError(f"{folder}: no series to check ({reason}); run batch with --strength 0.25,0.5,0.75,1")
    first = judges[0]
    return SeriesReport(str(folder), (first.name, first.description), series, left_out)


def _series(photo: str, face: int, model: str, expression: str, steps: Sequence[Step]) -> Series:
    drops = tuple(
        after.strength for before, after in pairwise(steps) if after.reached < before.reached - TOLERANCE
    )
    return Series(photo, face, model, expression, tuple(steps), drops, steps[-1].reached - steps[0].reached)


class _Looker:
    """Judges outputs and, if they still exist, their inputs."""

    def __init__(self, root: Path, viewer: Viewer) -> None:
        self._root = root
        self._viewer = viewer
        # Faces of the inputs by path and number.
        self._inputs: dict[tuple[str, int], View | None] = {}

    def steps(self, entry: Entry) -> list[tuple[int, Step]]:
        """Return one step per face of an output."""
        mix = _mix(entry.expression)
        pixels = read_photo(self._root / entry.output).pixels
        found = []
        for values in entry.faces:
            near = _face(values)
            own = self._input(entry.input, near)
            view = self._viewer.view(pixels, near)
            if view is not None:
                found.append((near.number, _step(view, own, mix, entry.strength, entry.output)))
        return found

    def start(self, photo: str, face: int, expression: str) -> Step | None:
        """Return strength 0: the input itself."""
        own = self._inputs.get((photo, face))
        return None if own is None else _step(own, own, _mix(expression), 0.0, photo)

    def _input(self, photo: str, near: Face) -> View | None:
        key = photo, near.number
        if key not in self._inputs:
            try:
                self._inputs[key] = self._viewer.view(read_photo(self._root / photo).pixels, near)
            except SarganError:
                # Without the input, the series starts at its first strength.
                self._inputs[key] = None
        return self._inputs[key]


def _mix(expression: str) -> ExpressionMix:
    try:
        return parse_mix(expression)
    except UsageError as error:
        raise DataError(f"'{expression}' is not a named expression, so no judge can recognise it") from error


def _step(view: View, own: View | None, mix: ExpressionMix, strength: float, output: str) -> Step:
    verdicts = [verdict for verdict in view.verdicts.values() if verdict.probabilities is not None]
    if not verdicts:
        raise UsageError("no judge recognises expressions; give one of kind 'expression'")
    chances = verdicts[0].probabilities
    assert chances is not None
    reached = float(sum(chances[0][expression.label] for expression, weight in mix.parts if weight > 0))
    identity = None
    if own is not None:
        for name, verdict in view.verdicts.items():
            before = own.verdicts[name].embeddings
            if verdict.embeddings is not None and before is not None:
                identity = similarity_of(before[0], verdict.embeddings[0])
                break
    return Step(strength, output, reached, LABELS[int(chances[0].argmax())].value, identity)


def _face(values: dict[str, Any]) -> Face:
    """Return the face described in the manifest.

    Raises:
        DataError: the description is not usable.
    """
    try:
        box = tuple(float(value) for value in values["box"])
        points = np.array(values["points"], np.float32).reshape(5, 2)
        number = int(values["number"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"a face in the manifest has no box, points or number ({error}); run batch again"
        ) from error
    if len(box) != 4 or not np.isfinite([*box, *points.ravel()]).all() or min(box[2:]) <= 0:
        raise DataError("a face in the manifest has no usable box; run batch again")
    return Face((box[0], box[1], box[2], box[3]), 1.0, points, None, number)


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
    """Return one row per expression: how many series rise, and how strong the expression becomes."""
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
