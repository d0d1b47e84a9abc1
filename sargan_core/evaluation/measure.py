"""One photo: edited by every model to every expression, and measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sargan_core.data.samples import Pair, Sample
from sargan_core.errors import NoFaceError
from sargan_core.evaluation.journal import NOTHING, TRUTH, Measure
from sargan_core.evaluation.metrics import (
    Unedited,
    background_error,
    changed,
    compared,
    landmark_error,
    mouth_detail,
    similarity_of,
)
from sargan_core.evaluation.protocol import TARGETS, Case
from sargan_core.evaluation.view import Targets, View, Viewer, common_alignment, face_in_frame, frame
from sargan_core.expressions import LABELS, Expression
from sargan_core.faces.align import Alignment
from sargan_core.faces.face import Face, Pixels
from sargan_core.faces.find import select_faces
from sargan_core.photo.photo import read_photo

if TYPE_CHECKING:
    from sargan_core.data.crops import Cropper
    from sargan_core.editor import Editor

# Computes features (D,) of a crop (1, 3, S, S) in [0, 1], for distances between sets.
Features = Callable[[Tensor], np.ndarray]


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
        faces = viewer.finder.find(self.photo.pixels)
        largest = select_faces(faces, "largest") if faces else []
        view = viewer.view(self.photo.pixels, largest[0]) if largest else None
        if view is None:
            raise NoFaceError(f"{case.path}: no face found; leave the photo out or give a larger picture")
        # The editor gets the face as it finds it itself; measures use the face as the viewer finds it in every picture.
        self.face: Face = largest[0]
        self.view = view
        self.alignment = common_alignment(view.face)
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
        faces = self.viewer.finder.find(pixels)
        largest = select_faces(faces, "largest") if faces else []
        view = self.viewer.view(pixels, largest[0]) if largest else None
        moved: Alignment = self._cropper.align_target(pair, self.alignment)
        return TruePicture(pair, view, frame(pixels, moved), _mouth(pixels, view))

    def true_pixels(self, expression: Expression) -> Pixels | None:
        """Return a true picture that lies pixel on pixel on the photo, or None."""
        exact = [pair for pair in self.case.truths_of(expression) if pair.still]
        return read_photo(exact[0].target.path).pixels if exact else None

    def measure_truths(self) -> list[Measure]:
        """Return what the judges see in the photo itself and in the true pictures."""
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
        """Return the measures of a model at each strength; figures of the picture at strength 1 only."""
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
        """Return the measure with the judges' figures; a lost face counts as not recognised."""
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
                    # Length sqrt(D) puts the cosine where the kernel expects its products.
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
