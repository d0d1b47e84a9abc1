"""Measure photo by photo: each is edited by every model to every expression; a session holds what all photos share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from sargan_core.data.crops import Cropper
from sargan_core.data.samples import Pair, Sample
from sargan_core.device import choose_device
from sargan_core.editor import Editor, EditSettings
from sargan_core.errors import DataError, NoFaceError, SarganError, WeightsError
from sargan_core.evaluation.journal import NOTHING, TRUTH, Measure, PhotoMeasures
from sargan_core.evaluation.judges import FaceJudge, make_judges
from sargan_core.evaluation.metrics import (
    TEMPLATE,
    Unedited,
    background_error,
    changed,
    compared,
    inception_features,
    landmark_error,
    mouth_detail,
    similarity_of,
)
from sargan_core.evaluation.protocol import TARGETS, Case, EvaluationSettings, ModelChoice
from sargan_core.evaluation.view import Targets, View, Viewer, face_in_frame, frame
from sargan_core.expressions import LABELS, Expression
from sargan_core.faces.align import Alignment, align
from sargan_core.faces.face import Pixels
from sargan_core.models.landmarks.finder import face_finder
from sargan_core.photo.photo import read_photo

# Computes features (D,) of a crop (1, 3, S, S) in [0, 1], for distances between sets.
Features = Callable[[Tensor], np.ndarray]
# Makes the judges of a session.
JudgeFactory = Callable[[EvaluationSettings, str], Sequence[FaceJudge]]
INCEPTION = "inception"


@dataclass(frozen=True)
class TruePicture:
    """A true picture of the wanted expression.

    Attributes:
        pair: the input and the true picture.
        view: its own face; None where none is found.
        crop: (1, 3, S, S) in the input's common frame.
        mouth: figures of its open mouth, see ``mouth_detail``.
    """

    pair: Pair
    view: View | None
    crop: Tensor
    mouth: dict[str, float]


class Subject:
    """A photo with its face, which all models edit.

    Args:
        case: what is evaluated.
        viewer: finds and judges faces.
        cropper: registers true pictures to the input where the head moved between the two.
        features: further networks for distances between sets, by name.

    Raises:
        PhotoError: the photo cannot be read.
        NoFaceError: it has no face.
    """

    def __init__(
        self, case: Case, viewer: Viewer, cropper: Cropper, features: dict[str, Features] | None = None
    ) -> None:
        self.case = case
        self.viewer = viewer
        self.photo = read_photo(case.path)
        self._cropper = cropper
        self._features = features or {}
        face, view = viewer.view_largest(self.photo.pixels)
        if face is None or view is None:
            raise NoFaceError(f"{case.path}: no face found; leave the photo out or give a larger picture")
        # The editor gets the finder's face; measures use the viewer's, as in all other pictures.
        self.face = face
        self.view = view
        self.alignment = align(view.face, TEMPLATE)
        self.crop = frame(self.photo.pixels, self.alignment)
        self.unedited = Unedited.of(self.crop, face_in_frame(self.alignment))

    @cached_property
    def truths(self) -> dict[Expression, list[TruePicture]]:
        """The true pictures by expression."""
        return {
            expression: [self._true_picture(pair) for pair in self.case.truths_of(expression)]
            for expression in TARGETS
        }

    def _true_picture(self, pair: Pair) -> TruePicture:
        pixels = read_photo(pair.target.path).pixels
        if pair.still:
            view = self.viewer.view(pixels, self.view.face)
            return TruePicture(pair, view, frame(pixels, self.alignment), _mouth(pixels, view))
        _, view = self.viewer.view_largest(pixels)
        moved: Alignment = self._cropper.align_target(pair, self.alignment)
        return TruePicture(pair, view, frame(pixels, moved), _mouth(pixels, view))

    def true_pixels(self, expression: Expression) -> Pixels | None:
        """Return a true picture that is pixel-aligned with the photo, or None."""
        exact = [pair for pair in self.case.truths_of(expression) if pair.still]
        return read_photo(exact[0].target.path).pixels if exact else None

    def measure_truths(self) -> list[Measure]:
        """Return the judges' figures of the photo itself and of the true pictures."""
        case = self.case
        own = Sample(case.path, case.person, Expression.NEUTRAL, case.source)
        measures = [self._seen(own, self.view, self.crop)] if case.part == "in" else []
        for pair in case.truths:
            for truth in self.truths.get(pair.target.expression, []):
                if truth.pair is pair:
                    seen = self._seen(pair.target, truth.view, truth.crop)
                    seen.values.update(truth.mouth)
                    measures.append(seen)
        return measures

    def _seen(self, sample: Sample, view: View | None, crop: Tensor) -> Measure:
        measure = Measure(
            self.case.part, sample.source, sample.person, str(sample.path), TRUTH, sample.expression.value
        )
        return self._judged(measure, view, crop, sample.expression)

    def measure_nothing(self) -> list[Measure]:
        """Return the row of doing nothing: the photo itself as the answer to every expression."""
        return [
            self._measured(NOTHING, expression, self.photo.pixels, self.view, None, 0.0)
            for expression in TARGETS
        ]

    def measure_model(
        self, name: str, editor: Editor, targets: Targets, strengths: Sequence[float] = (1.0,)
    ) -> list[Measure]:
        """Return the measures of a model at each strength; only at strength 1 with the figures of the picture."""
        prepared = editor.prepare(self.photo, [self.face])
        measures = []
        for expression in TARGETS:
            wanted = targets.of(self.case, expression)
            if wanted is None:
                continue
            for strength in strengths:
                target = wanted.target.scaled(strength)
                result = editor.finish(prepared, target, editor.infer([prepared], target)[0])
                pixels = result.photo.pixels
                view = self.viewer.view(pixels, self.view.face)
                if strength != 1.0:
                    empty = self._empty(name, expression, strength)
                    measures.append(self._judged(empty, view, None, expression))
                    continue
                place, seam = prepared.alignments[0], result.faces[0].seam
                measure = self._measured(name, expression, pixels, view, place, seam)
                if wanted.reference is not None and view is not None:
                    measure.values["leak"] = self._leak(view, wanted.reference)
                measures.append(measure)
        return measures

    def _measured(
        self,
        model: str,
        expression: Expression,
        pixels: Pixels,
        view: View | None,
        alignment: Alignment | None,
        seam: float,
    ) -> Measure:
        crop = frame(pixels, self.alignment)
        measure = self._judged(self._empty(model, expression, 1.0), view, crop, expression)
        values = measure.values
        values.update(changed(crop, self.unedited))
        values["background"] = background_error(pixels, self.photo.pixels, alignment)
        values["seam"] = seam
        values.update(_mouth(pixels, view))
        truths = self.truths.get(expression, [])
        if not truths:
            return measure
        values.update(compared(crop, torch.cat([truth.crop for truth in truths])))
        exact = truths[0].pair.still
        if exact and view is not None and view.face.landmarks is not None:
            errors = [
                landmark_error(view.face.landmarks, truth.view.face.landmarks)
                for truth in truths
                if truth.view is not None and truth.view.face.landmarks is not None
            ]
            if errors:
                values["landmarks"] = float(np.mean(errors))
        return replace(measure, truth="exact" if exact else "registered")

    def _empty(self, model: str, expression: Expression, strength: float) -> Measure:
        case = self.case
        return Measure(
            *(case.part, case.source, case.person, str(case.path), model, expression.value, strength)
        )

    def _judged(
        self, measure: Measure, view: View | None, crop: Tensor | None, wanted: Expression
    ) -> Measure:
        """Return the measure with the judges' figures; a face that is not found counts as not recognised."""
        values, predicted, features = dict(measure.values), dict(measure.predicted), {}
        for position, judge in enumerate(self.viewer.judges):
            suffix = "" if position == 0 else f":{judge.name}"
            own = self.view.verdicts[judge.name]
            seen = None if view is None else view.verdicts[judge.name]
            if own.probabilities is not None:
                chances = None if seen is None or seen.probabilities is None else seen.probabilities[0]
                label = None if chances is None else LABELS[int(chances.argmax())]
                values[f"recognised{suffix}"] = 100.0 if label is wanted else 0.0
                values[f"reached{suffix}"] = 0.0 if chances is None else float(chances[wanted.label])
                if label is not None:
                    predicted[judge.name] = label.value
            if own.embeddings is not None and seen is not None and seen.embeddings is not None:
                values[f"identity{suffix}"] = similarity_of(own.embeddings[0], seen.embeddings[0])
                if crop is not None:
                    # With length sqrt(D), the kernel of the KID gets the cosine.
                    embedding = seen.embeddings[0]
                    features[judge.name] = embedding * np.float32(np.sqrt(embedding.size))
        if crop is not None:
            features.update({name: network(crop) for name, network in self._features.items()})
        return replace(measure, found=view is not None, values=values, predicted=predicted, features=features)

    def _leak(self, view: View, reference: View) -> float:
        for judge in self.viewer.judges:
            own = self.view.verdicts[judge.name].embeddings
            if own is not None:
                out, other = view.verdicts[judge.name].embeddings, reference.verdicts[judge.name].embeddings
                assert out is not None
                assert other is not None
                return similarity_of(out[0], other[0]) - similarity_of(own[0], other[0])
        return 0.0


def _mouth(pixels: Pixels, view: View | None) -> dict[str, float]:
    return {} if view is None else mouth_detail(pixels, view.face.landmarks)


def default_judges(settings: EvaluationSettings, device: str) -> Sequence[FaceJudge]:
    """Return the shipped judge and those of the settings."""
    return make_judges(settings.judges, device)


@dataclass(frozen=True)
class Job:
    """The measures that are missing for one photo.

    Attributes:
        case: the photo.
        models: name, key of the entry and strengths; ``none`` and ``truth`` are names too.
    """

    case: Case
    models: tuple[tuple[str, str, tuple[float, ...]], ...]


class Session:
    """Measures photo by photo, with finder, judges and editors of its own; build it once per process.

    Raises:
        WeightsError, UsageError, DataError: as ``FaceFinder``, ``make_judges`` and ``inception_features``.
    """

    def __init__(self, settings: EvaluationSettings, judges: JudgeFactory = default_judges) -> None:
        self._settings = settings
        self._device = choose_device(settings.device)
        self.judges = tuple(judges(settings, self._device))
        finder = face_finder(settings.landmarks, self._device)
        self.viewer = Viewer(finder, self.judges, self._device)
        self._cropper = Cropper(TEMPLATE, landmarks=settings.landmarks, finder=finder)
        self._features: dict[str, Features] = (
            {INCEPTION: inception_features(self._device)} if settings.inception else {}
        )
        self._editors: dict[str, tuple[Editor, Targets]] = {}

    def editor(self, name: str) -> tuple[Editor, Targets]:
        """Return the editor of a model and its targets, built at the first call.

        Raises:
            WeightsError: as ``Editor``.
        """
        if name not in self._editors:
            choice = next(choice for choice in self._settings.models if choice.name == name)
            editor = Editor(edit_settings(choice, self._settings))
            self._editors[name] = editor, Targets(editor, self.viewer)
        return self._editors[name]

    def subject(self, case: Case) -> Subject:
        """Return a case's photo with its face found; raises what ``Subject`` raises."""
        return Subject(case, self.viewer, self._cropper, self._features)

    def work(self, job: Job) -> list[PhotoMeasures]:
        """Return one entry per model; an error affects only this photo, or this photo with this model.

        Raises:
            WeightsError: a model cannot be loaded, so no photo can be measured.
        """
        photo = str(job.case.path)
        try:
            subject = self.subject(job.case)
        except Exception as error:  # one bad photo must not stop the others
            return [PhotoMeasures(key, photo, name, error=_reason(error)) for name, key, _ in job.models]
        entries = []
        for name, key, strengths in job.models:
            try:
                if name == TRUTH:
                    measures = subject.measure_truths()
                elif name == NOTHING:
                    measures = subject.measure_nothing()
                else:
                    measures = subject.measure_model(name, *self.editor(name), strengths)
                    if not measures:
                        raise DataError(
                            f"{name} is shown photos of expressions; give labelled ones with --data"
                        )
                entries.append(PhotoMeasures(key, photo, name, tuple(measures)))
            except WeightsError:
                raise
            except Exception as error:
                entries.append(PhotoMeasures(key, photo, name, error=_reason(error)))
        return entries


def edit_settings(choice: ModelChoice, settings: EvaluationSettings) -> EditSettings:
    """Return the editor's settings for a model of an evaluation."""
    return EditSettings(
        model=choice.name,
        weights=choice.weights,
        device=settings.device,
        landmarks=settings.landmarks,
        faces="largest",
        precision=settings.precision,
        check=False,
    )


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, SarganError) else f"unexpected {type(error).__name__}: {error}"
