"""The settings of an evaluation, and its cases: neutral photos of test people with true pictures and references."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

from sargan_core.data.samples import TRANSFER, Pair, Sample, pairs
from sargan_core.data.sources import IMAGE_SUFFIXES, Sources, read_sources
from sargan_core.data.split import read_split, split_by_person
from sargan_core.errors import DataError, UsageError, WeightsError
from sargan_core.evaluation.journal import NOTHING, TRUTH
from sargan_core.expressions import LABELS, Expression
from sargan_core.photo.content import reason_of
from sargan_core.weights import find_record, read_content

Item = TypeVar("Item")

DEFAULT_STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)


@dataclass(frozen=True)
class ModelChoice:
    """A model to evaluate.

    Attributes:
        name: its name in the tables.
        weights: a weights file; None = the shipped weights of that name.
    """

    name: str
    weights: Path | None = None

    def checksum(self) -> str:
        """Return the sha256 of the weights.

        Raises:
            WeightsError: no such weights.
        """
        if self.weights is None:
            return find_record(self.name).sha256
        try:
            return hashlib.sha256(read_content(self.weights)).hexdigest()
        except FileNotFoundError as error:
            raise WeightsError(
                f"{self.weights}: no such weights file; check --model {self.name}=FILE"
            ) from error
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"{self.weights}: cannot be read ({reason_of(error)}); check --model {self.name}=FILE"
            ) from error


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings of an evaluation.

    Attributes:
        models: the models; the unchanged photo is always evaluated too.
        data: folders of labelled photos, as for training.
        ood: folders of unlabelled photos, reported apart.
        split: manifest of a training run; None = the fixed rule of every fifth person.
        everyone: use all people of ``data`` as test people.
        judges: TOML files of further judges.
        limit: largest number of people of ``data``, and of photos of each ``ood`` folder.
        curve_people: number of people for strength curves; 0 = no curves.
        strengths: the strengths of the curves besides 0.
        inception: also compare sets of pictures by Inception features (extra ``fidelity``).
        device: where networks run.
        landmarks: as for the editor.
        precision: as for the editor.
        workers: number of processes.
    """

    models: tuple[ModelChoice, ...]
    data: tuple[Path, ...] = ()
    ood: tuple[Path, ...] = ()
    split: Path | None = None
    everyone: bool = False
    judges: tuple[Path, ...] = ()
    limit: int | None = None
    curve_people: int = 6
    strengths: tuple[float, ...] = DEFAULT_STRENGTHS
    inception: bool = False
    device: str = "auto"
    landmarks: str = "auto"
    precision: str = "auto"
    workers: int = 1


def parse_models(text: str) -> tuple[ModelChoice, ...]:
    """Read ``pixel,mine=runs/pixel/pixel.safetensors`` into choices; ``none`` is left out, it always takes part.

    Raises:
        UsageError: an empty or reserved name, or one given twice.
    """
    choices: list[ModelChoice] = []
    for item in text.split(","):
        name, equals, path = (part.strip() for part in item.partition("="))
        if name == NOTHING and not equals:
            continue
        if not name or name in (NOTHING, TRUTH) or (equals and not path):
            raise UsageError(f"--model '{item}': give a name of sargan models list, or NAME=FILE.safetensors")
        if any(choice.name == name for choice in choices):
            raise UsageError(f"--model names {name} twice; give the second another name: {name}2=FILE")
        choices.append(ModelChoice(name, Path(path) if equals else None))
    return tuple(choices)


# The part of the evaluation that a photo belongs to: ``in`` = labelled test people, ``ood`` = unlabelled photos.
Part = Literal["in", "ood"]
TARGETS: tuple[Expression, ...] = tuple(
    expression for expression in LABELS if expression is not Expression.NEUTRAL
)
TEST_FRACTION = 0.2


@dataclass(frozen=True)
class Case:
    """One photo to edit.

    Attributes:
        path: the photo.
        person: who it shows; for unlabelled photos the file's name, so that each photo counts as a person.
        part: ``in`` or ``ood``.
        source: the data set, or the folder's name for unlabelled photos.
        truths: the pairs of this photo with the pictures that show the same person with an expression.
        references: photos of *other* test people with each expression, for models that need a photo.
    """

    path: Path
    person: str
    part: Part
    source: str
    truths: tuple[Pair, ...] = ()
    references: tuple[tuple[Expression, Path], ...] = ()

    def truths_of(self, expression: Expression) -> tuple[Pair, ...]:
        """Return the pairs with ``expression``, only the pixel-aligned ones if there are any."""
        all_of_it = [pair for pair in self.truths if pair.target.expression is expression]
        exact = [pair for pair in all_of_it if pair.still]
        return tuple(exact or all_of_it)

    def reference(self, expression: Expression) -> Path | None:
        """Return the photo of another person with ``expression``, or None."""
        return dict(self.references).get(expression)


def labelled_cases(
    folders: Sequence[Path], split: Path | None = None, everyone: bool = False, limit: int | None = None
) -> tuple[list[Case], Sources]:
    """Return the neutral photos of the test people below ``folders``, and all that was found there.

    Args:
        folders: as for ``read_sources``.
        split: the manifest of a training run (``split.json``); None = the fixed rule of ``split_by_person``.
        everyone: evaluate all people, for data that no model was trained on.
        limit: largest number of people, spread evenly over the data sets.

    Raises:
        DataError: no data, a split that does not know a person, or no neutral photo of a test person.
    """
    sources = read_sources(folders)
    if everyone:
        samples = [sample for sample in sources.samples if not sample.train_only]
    else:
        rule = read_split(split) if split is not None else split_by_person(sources.samples, TEST_FRACTION)
        _, samples = rule.apply(sources.samples)
    if limit is not None:
        kept = set(_evenly(sorted({sample.person for sample in samples}), limit))
        samples = [sample for sample in samples if sample.person in kept]
    truths: dict[Path, list[Pair]] = {}
    for pair in pairs(samples):
        if pair.source.expression is Expression.NEUTRAL:
            truths.setdefault(pair.source.path, []).append(pair)
    neutral = [sample for sample in samples if sample.expression is Expression.NEUTRAL]
    if not neutral:
        raise DataError(
            "no neutral photo of a test person in the data; label some, or give unlabelled photos with --ood"
        )
    cases = [
        Case(sample.path, sample.person, "in", sample.source, tuple(truths.get(sample.path, ())))
        for sample in sorted(neutral, key=lambda sample: (sample.person, sample.path))
    ]
    return with_references(cases, samples), sources


def unlabelled_cases(folders: Sequence[Path], limit: int | None = None) -> list[Case]:
    """Return every photo below ``folders``.

    Raises:
        DataError: a folder does not exist or holds no image file.
    """
    cases = []
    for folder in folders:
        if not folder.exists():
            raise DataError(f"{folder}: no such folder; check --ood")
        files = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file())
        found = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
        if not found:
            raise DataError(f"{folder}: no image file in it; check --ood")
        cases += [Case(path, f"{folder.name}/{path.stem}", "ood", folder.stem) for path in found[:limit]]
    return cases


def with_references(cases: Sequence[Case], samples: Iterable[Sample]) -> list[Case]:
    """Return the cases with a reference photo for each expression: the next person's in sorted order.

    A photograph is preferred to a picture with a transferred expression, and the same kind of picture to another kind.
    """
    by_expression: dict[Expression, list[Sample]] = {}
    for sample in sorted(samples, key=lambda sample: (sample.person, sample.source == TRANSFER, sample.path)):
        by_expression.setdefault(sample.expression, []).append(sample)
    result = []
    for case in cases:
        found = [(expression, _next(case, by_expression.get(expression, []))) for expression in TARGETS]
        references = tuple((expression, path) for expression, path in found if path is not None)
        result.append(replace(case, references=references))
    return result


def _next(case: Case, samples: Sequence[Sample]) -> Path | None:
    group = case.person.split("-", 1)[0]
    alike = [sample for sample in samples if sample.person.split("-", 1)[0] == group]
    others = [sample for sample in (alike or samples) if sample.person != case.person]
    others = others or [sample for sample in samples if sample.person != case.person]
    after = (sample.path for sample in others if sample.person > case.person)
    return next(after, others[0].path if others else None)


def _evenly(people: Sequence[str], limit: int) -> list[str]:
    """Return at most ``limit`` people, taken in turn from each data set."""
    groups: dict[str, list[str]] = {}
    for person in people:
        groups.setdefault(person.split("-", 1)[0], []).append(person)
    return in_turn(groups.values())[:limit]


def in_turn(groups: Collection[Sequence[Item]]) -> list[Item]:
    """Return the items of all groups: the first of each, then the second of each, and so on."""
    rounds = max((len(group) for group in groups), default=0)
    return [group[turn] for turn in range(rounds) for group in groups if turn < len(group)]
