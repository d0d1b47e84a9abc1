"""Pictures for the report: the best, the median and the worst outputs."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from sargan_core.errors import SarganError
from sargan_core.evaluation.journal import TRUTH, Measure
from sargan_core.evaluation.measure import Session
from sargan_core.evaluation.protocol import TARGETS, Case
from sargan_core.expressions import Expression
from sargan_core.faces.align import Alignment, align, extract
from sargan_core.faces.face import Pixels, Template
from sargan_core.outcome import Progress

# Alignment of the pictures, with the whole head.
SHOWN = Template(160, "similarity", (0.37, 0.42), (0.63, 0.42), (0.5, 0.7))
QUALITY = 84
RANKINGS: dict[str, str] = {"reached": "by recognition", "identity": "by identity"}
PLACES = ("best", "median", "worst")


@dataclass(frozen=True)
class Example:
    """One chosen output beside its input and, where there is one, the true picture.

    Attributes:
        ranking: the figure it was chosen by.
        place: ``best``, ``median`` or ``worst``.
        measure: the output's figures.
        images: input, output and true picture as data addresses; empty = none.
    """

    ranking: str
    place: str
    measure: Measure
    images: tuple[str, str, str] = ("", "", "")


@dataclass(frozen=True)
class Gallery:
    """All pictures of a report.

    Attributes:
        examples: part -> model -> expression -> chosen outputs.
        overview: part -> lines of (expression, input, true picture, output by model) as data addresses.
    """

    examples: dict[str, dict[str, dict[str, list[Example]]]] = field(default_factory=dict)
    overview: dict[str, list[tuple[str, str, str, dict[str, str]]]] = field(default_factory=dict)


def choose(measures: Iterable[Measure], key: str) -> dict[str, Measure]:
    """Return the best, the median and the worst by figure ``key``; fewer where there are not three."""
    ranked = sorted(
        (measure for measure in measures if key in measure.values),
        key=lambda measure: (-measure.values[key], measure.photo),
    )
    if not ranked:
        return {}
    chosen = {"best": ranked[0]}
    if len(ranked) > 2:
        chosen["median"] = ranked[len(ranked) // 2]
    if len(ranked) > 1:
        chosen["worst"] = ranked[-1]
    return chosen


def make_gallery(
    session: Session,
    cases: Sequence[Case],
    measures: Sequence[Measure],
    models: Sequence[str],
    progress: Progress = lambda done, total: None,
) -> Gallery:
    """Edit the chosen photos again and return their pictures.

    Args:
        session: holds the editors.
        cases: the photos of the evaluation.
        measures: what was measured.
        models: names of the models to show.
        progress: called with (done, total) photos.
    """
    full = [measure for measure in measures if measure.strength == 1.0 and measure.model in models]
    groups: dict[tuple[str, str, str], list[Measure]] = {}
    for measure in full:
        groups.setdefault((measure.part, measure.model, measure.expression), []).append(measure)
    chosen: dict[tuple[str, str, str], list[tuple[str, str, Measure]]] = {
        group: [(key, place, measure) for key in RANKINGS for place, measure in choose(members, key).items()]
        for group, members in groups.items()
    }
    shown = {part: _overview_cases(cases, part) for part in dict.fromkeys(case.part for case in cases)}
    wanted = {
        (measure.photo, measure.model, measure.expression)
        for items in chosen.values()
        for *_, measure in items
    }
    for lines in shown.values():
        wanted |= {
            (str(case.path), model, expression.value) for expression, case in lines for model in models
        }
    pictures = _pictures(session, cases, wanted, progress)
    gallery = Gallery()
    for (part, model, expression), items in chosen.items():
        gallery.examples.setdefault(part, {}).setdefault(model, {})[expression] = [
            Example(key, place, measure, _triple(pictures, measure.photo, model, expression))
            for key, place, measure in items
        ]
    for part, lines in shown.items():
        for expression, case in lines:
            photo, name = str(case.path), expression.value
            outputs = {model: pictures.get((photo, model, name), "") for model in models}
            line = (name, pictures.get((photo, "", ""), ""), pictures.get((photo, TRUTH, name), ""), outputs)
            gallery.overview.setdefault(part, []).append(line)
    return gallery


def _overview_cases(cases: Sequence[Case], part: str) -> list[tuple[Expression, Case]]:
    """Return one photo per expression, spread over people and data sets, whatever the figures."""
    by_source: dict[str, list[Case]] = {}
    for case in cases:
        if case.part == part:
            by_source.setdefault(case.source, []).append(case)
    groups = list(by_source.values())
    lines = []
    for number, expression in enumerate(TARGETS):
        group = groups[number % len(groups)]
        lines.append((expression, group[(number // len(groups)) * len(group) // len(TARGETS) % len(group)]))
    return lines


def _triple(
    pictures: dict[tuple[str, str, str], str], photo: str, model: str, expression: str
) -> tuple[str, str, str]:
    return (
        pictures.get((photo, "", ""), ""),
        pictures.get((photo, model, expression), ""),
        pictures.get((photo, TRUTH, expression), ""),
    )


def _pictures(
    session: Session, cases: Sequence[Case], wanted: set[tuple[str, str, str]], progress: Progress
) -> dict[tuple[str, str, str], str]:
    """Return (photo, model, expression) -> data address; also of the inputs and of the true pictures."""
    pictures: dict[tuple[str, str, str], str] = {}
    photos = {photo for photo, *_ in wanted}
    for done, case in enumerate(case for case in cases if str(case.path) in photos):
        progress(done, len(photos))
        photo = str(case.path)
        asked = sorted((model, name) for path, model, name in wanted if path == photo)
        try:
            subject = session.subject(case)
            place = align(subject.view.face, SHOWN)
            pictures[photo, "", ""] = data_address(subject.photo.pixels, place)
            for name in {name for _, name in asked}:
                if (pixels := subject.true_pixels(Expression(name))) is not None:
                    pictures[photo, TRUTH, name] = data_address(pixels, place)
            for model, name in asked:
                editor, targets = session.editor(model)
                if (wish := targets.of(case, Expression(name))) is not None:
                    result = editor.edit(subject.photo, wish.target, [subject.face])
                    pictures[photo, model, name] = data_address(result.photo.pixels, place)
        except SarganError:
            # The photo keeps its figures, but has no picture.
            continue
    return pictures


def data_address(pixels: Pixels, place: Alignment) -> str:
    """Return the aligned face as a JPEG in a ``data:`` address."""
    crop = extract(pixels, place)[0].clamp(0, 1).permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray((crop * 255).round().astype(np.uint8)).save(file, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
