"""A fit of the pixel model, from photos to weights with card, figures and sheet; what ``sargan train pixel`` calls."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric

from sargan_core.data.crop_table import CropSet, make_crop_set
from sargan_core.data.crops import face_from_landmarks
from sargan_core.data.samples import SYNTH, Pair, Sample, pairs
from sargan_core.data.sources import read_sources
from sargan_core.data.split import split_by_person
from sargan_core.errors import DataError, UsageError
from sargan_core.expressions import LABELS, Expression, ExpressionMix
from sargan_core.faces.align import align, extract, face_crops
from sargan_core.faces.masks import crop_mask
from sargan_core.faces.paste import paste
from sargan_core.models.pixel.file import save_pixel
from sargan_core.models.pixel.fit import PixelOptions, fit_pixel
from sargan_core.models.pixel.model import PixelModel
from sargan_core.models.pixel.prototypes import with_prototypes
from sargan_core.models.registry import load_model
from sargan_core.models.units.model import UnitsModel
from sargan_core.outcome import Progress
from sargan_core.photo.files import write_atomically, write_text
from sargan_core.training.checks import LEAST_SIZE, check_size
from sargan_core.training.plan import TrainingPlan, survey
from sargan_core.training.run_folder import card_head
from sargan_core.training.session import Prepared, TrainingRun
from sargan_core.weights import WeightsRecord

Rgb8 = npt.NDArray[np.uint8]
FIGURES = "figures.json"
CARD = "pixel.md"
SHEET = "sheet.png"
SHEET_PEOPLE = 6
MOST_COMPARED = 24


@dataclass(frozen=True)
class Figures:
    """Root mean square error in the face region, in 8-bit levels, for one target on people never trained on.

    Attributes:
        expression: the target.
        kind: ``real`` or ``rendered`` people.
        pairs: number of pairs compared.
        error: between the edited and the true picture.
        unchanged: between the input and the true picture, as a baseline.
    """

    expression: str
    kind: str
    pairs: int
    error: float
    unchanged: float


@dataclass(frozen=True, kw_only=True)
class PixelRun(TrainingRun):
    """A fit of the pixel model in closed form.

    It writes weights, card and split, and figures and a sheet of held-out people.

    Attributes:
        fit: form and numbers.
        prototypes: ``data`` = the expressions as the people of the photos pose them; ``emfacs`` = brought towards the
            units that strangers know them by, see ``prototypes.py``.
    """

    fit: PixelOptions = field(default_factory=PixelOptions)
    prototypes: str = "data"

    weights: ClassVar[str] = "pixel.safetensors"

    def check(self) -> None:
        """Raise UsageError for options that no model can be fitted with."""
        check_size(self.fit.size, 1, LEAST_SIZE, "the pixel model")
        if not math.isfinite(self.fit.penalty) or self.fit.penalty < 0:
            raise UsageError(f"--lambda {self.fit.penalty:g}: must be a number from 0 up; 0.4 is usual")
        if self.prototypes != "data" and self.fit.form != "displaced":
            raise UsageError(
                f"--prototypes {self.prototypes}: goes with --form displaced, which moves a face"
            )
        super().check()

    def prepare(self, out: Path, fabric: Fabric, cache: Path | None, progress: Progress) -> Prepared:
        """Crop the photos; see ``TrainingRun.prepare``."""
        sources = read_sources(self.folders)
        split = split_by_person(sources.samples, self.test_fraction)
        cropper = self.cropper(self.fit.template, cache)
        skipped = list(sources.skipped)
        sides = []
        for samples in split.apply(sources.samples):
            chosen = chosen_pairs(samples)
            neutral = [sample for sample in samples if sample.expression is Expression.NEUTRAL]
            if chosen:
                crops, missed = make_crop_set(neutral, chosen, cropper, progress)
                skipped += missed
                sides.append(crops)
            elif not sides:
                check_chosen(chosen, self.folders[0])

        def finish(folder: Path, progress: Progress) -> None:
            self._fit(folder, sides[0], sides[1] if len(sides) > 1 else None, len(split.train))

        return Prepared(tuple(skipped), split, finish=finish)

    def plan(self, out: Path, fabric: Fabric) -> TrainingPlan:
        """Return the plan; see ``TrainingRun.plan``."""
        sources = read_sources(self.folders)
        split = split_by_person(sources.samples, self.test_fraction)
        train, _ = split.apply(sources.samples)
        chosen = chosen_pairs(train)
        check_chosen(chosen, self.folders[0])
        return TrainingPlan(
            survey(sources.samples, split, chosen, sources.skipped),
            size=self.fit.size,
            model=f"{self.fit.form}, channels {self.fit.channels}, scaling {self.fit.scaling}",
            recipe=f"closed form, lambda {self.fit.penalty:g}",
        )

    def _fit(self, folder: Path, crops: CropSet, held_out: CropSet | None, people: int) -> None:
        """Fit the model and write everything but the split."""
        model = fit_pixel(crops, self.fit)
        if self.prototypes == "emfacs":
            model = with_prototypes(model, _units())
        names = ", ".join(sorted({str(source) for source in crops.sources}))
        record = save_pixel(model, folder / self.weights, name="pixel", data=f"{people} people of {names}")
        figures: list[Figures] = []
        if held_out is not None:
            figures = held_out_figures(model, held_out)
            picture = iio.imwrite("<bytes>", held_out_sheet(model, held_out), extension=".png")
            write_atomically(folder / SHEET, picture, overwrite=True)
        values = {"options": asdict(self.fit), "figures": [asdict(figure) for figure in figures]}
        write_text(folder / FIGURES, json.dumps(values, indent=2) + "\n")
        write_text(folder / CARD, card(record, figures, self.fit, self.prototypes))


def _units() -> UnitsModel:
    units = load_model("units")
    if not isinstance(units, UnitsModel):
        raise DataError(
            "the shipped model units, which moves the mean face, is another one; reinstall sargan"
        )
    return units


def check_chosen(chosen: Sequence[Pair], folder: Path) -> None:
    """Raise DataError if there is no pair to train on."""
    if not chosen:
        raise DataError(f"{folder}: no person with a neutral photo and one of another expression")


def edit_crop(model: PixelModel, image: Rgb8, landmarks: npt.NDArray[np.float32], target: Expression) -> Rgb8:
    """Edit a training crop as if it were a photo: align, edit, paste.

    Args:
        model: the model.
        image: (S, S, 3) uint8 crop of a larger or equal field than the model's template.
        landmarks: (68, 2) its landmarks in crop pixels.
        target: the expression, at full strength.
    """
    alignment = align(face_from_landmarks(landmarks), model.template, model.neutral_estimate())
    crop = extract(image, alignment)
    with torch.inference_mode():
        edited = model.edit(face_crops(crop, [alignment]), [ExpressionMix(((target, 1.0),))])
        return paste(image, alignment, crop, edited).pixels.astype(np.uint8)


def held_out_figures(model: PixelModel, crops: CropSet, most: int = MOST_COMPARED) -> list[Figures]:
    """Return the error of each target on the pairs of ``crops``, and that of the unchanged input.

    Args:
        model: the model.
        crops: people never trained on.
        most: pairs to compare for each target and kind, spread evenly.
    """
    weight = np.broadcast_to(
        crop_mask(crops.template.size)[0, 0].numpy()[..., None], (crops.template.size,) * 2 + (3,)
    )
    rendered = crops.sources[crops.pairs[:, 1]] == SYNTH
    figures = []
    for kind, ours in (("real", ~rendered), ("rendered", rendered)):
        for expression in (Expression(name) for name in model.settings.expressions):
            rows = crops.pairs[ours & (crops.labels[crops.pairs[:, 1]] == expression.label)]
            errors = []
            for source, target in rows[:: max(1, -(-len(rows) // most))]:
                before = np.ascontiguousarray(crops.images[source].transpose(1, 2, 0))
                after = crops.images[target].transpose(1, 2, 0).astype(np.float64)
                edited = edit_crop(model, before, crops.landmarks[source], expression)
                errors.append([np.average((one - after) ** 2, weights=weight) for one in (edited, before)])
            if errors:
                error, unchanged = np.sqrt(np.mean(errors, axis=0))
                figures.append(Figures(expression.value, kind, len(errors), float(error), float(unchanged)))
    return figures


def held_out_sheet(model: PixelModel, crops: CropSet, people: int = SHEET_PEOPLE) -> Rgb8:
    """Return a sheet with one row per person: the neutral crop and its edit to every expression."""
    own = crops.own & (crops.labels == Expression.NEUTRAL.label)
    real = own & (crops.sources != SYNTH)
    rows = np.flatnonzero(real if real.any() else own)
    targets = [expression for expression in LABELS if expression is not Expression.NEUTRAL]
    targets = [expression for expression in targets if expression.value in model.settings.expressions]
    lines = []
    for row in rows[:: max(1, len(rows) // people)][:people]:
        image = np.ascontiguousarray(crops.images[row].transpose(1, 2, 0))
        edits = [edit_crop(model, image, crops.landmarks[row], target) for target in targets]
        lines.append(np.concatenate([image, *edits], axis=1))
    return np.concatenate(lines)


def card(
    record: WeightsRecord, figures: Sequence[Figures], options: PixelOptions, prototypes: str = "data"
) -> str:
    """Return the model card as Markdown."""
    lines = [
        *card_head(
            record,
            f"form {options.form}, channels {options.channels}, scaling {options.scaling}, {options.size} px, "
            f"lambda {options.penalty:g}, prototypes {prototypes}",
        ),
        "",
        "Error on people never trained on (root mean square in the face region, 8-bit levels):",
        "",
        "| target | people | pairs | edited | unchanged |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {figure.expression} | {figure.kind} | {figure.pairs} | {figure.error:.2f} | {figure.unchanged:.2f} |"
        for figure in figures
    ]
    return "\n".join(lines) + "\n"


def chosen_pairs(samples: Sequence[Sample]) -> list[Pair]:
    """Return the pairs to fit: from neutral to each expression, and back once per person and expression.

    Pairs whose landmarks were annotated in different ways are left out, because their difference is not motion.
    """
    chosen: list[Pair] = []
    returned: set[tuple[str, Expression]] = set()
    for pair in pairs(samples):
        if not pair.still and (pair.source.landmarks is not None or pair.target.landmarks is not None):
            continue
        if pair.source.expression is Expression.NEUTRAL:
            chosen.append(pair)
        elif pair.target.expression is Expression.NEUTRAL:
            key = (pair.source.person, pair.source.expression)
            if key not in returned:
                returned.add(key)
                chosen.append(pair)
    return chosen
