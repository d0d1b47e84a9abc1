"""A training run of the pixel model: photos in, weights with card, figures and contact sheet out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt
import torch

from sargan_core.data.crop_set import CropSet, make_crop_set
from sargan_core.data.crops import Cropper, face_from_landmarks
from sargan_core.data.samples import SYNTH, Pair, Sample, Skipped, pairs
from sargan_core.data.sources import read_sources
from sargan_core.data.split import SPLIT, split_by_person, write_split
from sargan_core.errors import DataError
from sargan_core.expressions import LABELS, Expression, ExpressionMix
from sargan_core.faces.align import align, extract, face_crops
from sargan_core.faces.paste import crop_mask, paste
from sargan_core.models.pixel.file import save_pixel
from sargan_core.models.pixel.fit import PixelOptions, fit_pixel
from sargan_core.models.pixel.model import PixelModel
from sargan_core.photo.files import write_atomically, write_text
from sargan_core.photo.photo import MAX_PIXELS
from sargan_core.progress import Progress
from sargan_core.training.checks import check_penalty, check_pixel_size, check_test_fraction
from sargan_core.training.run_folder import card_head
from sargan_core.weights import WeightsRecord

Rgb8 = npt.NDArray[np.uint8]


WEIGHTS = "pixel.safetensors"


FIGURES = "figures.json"


CARD = "pixel.md"


SHEET = "sheet.png"


SHEET_PEOPLE = 6


MOST_COMPARED = 24


@dataclass(frozen=True)
class Figures:
    """Error of one target expression on people never trained on, face region, root mean square in 8-bit levels.

    Attributes:
        expression: the target.
        kind: ``real`` or ``rendered`` people.
        pairs: how many pairs were compared.
        error: between the edited and the true picture.
        unchanged: between the input and the true picture: what doing nothing scores.
    """

    expression: str
    kind: str
    pairs: int
    error: float
    unchanged: float


def train_pixel(
    folders: Sequence[Path],
    out: Path,
    options: PixelOptions | None = None,
    *,
    test_fraction: float = 0.2,
    landmarks: str = "auto",
    cache: Path | None = None,
    progress: Progress = lambda done, total: None,
    max_pixels: int = MAX_PIXELS,
) -> tuple[Path, tuple[Skipped, ...]]:
    """Fit a pixel model and write it with its card, its figures on held-out people, a sheet and the split.

    Args:
        folders: training photos, see ``read_sources``.
        out: folder for the results; made if it is not there.
        options: form and numbers; None = the displaced form.
        test_fraction: part of the people that is held out.
        landmarks: what finds landmarks where the data set brings none.
        cache: the crop cache; None = the user's.
        progress: called with (done, total) while cropping.
        max_pixels: photos of more pixels are left out.

    Returns:
        The weights file, and what was left out and why.

    Raises:
        DataError: no usable pairs.
        UsageError: options that no model can be fitted with.
        PhotoError: the results cannot be written.
    """
    options = options or PixelOptions()
    check_pixel_options(options, test_fraction)
    sources = read_sources(folders)
    split = split_by_person(sources.samples, test_fraction)
    cropper = Cropper(
        options.template, landmarks=landmarks, known_first=True, cache=cache, max_pixels=max_pixels
    )
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
            check_chosen(chosen, folders[0])
    model = fit_pixel(sides[0], options)
    out.mkdir(parents=True, exist_ok=True)
    path = out / WEIGHTS
    names = ", ".join(sorted({str(source) for source in sides[0].sources}))
    record = save_pixel(model, path, name="pixel", data=f"{len(split.train)} people of {names}")
    write_split(split, out / SPLIT)
    figures: list[Figures] = []
    if len(sides) > 1:
        figures = held_out_figures(model, sides[1])
        picture = iio.imwrite("<bytes>", held_out_sheet(model, sides[1]), extension=".png")
        write_atomically(out / SHEET, picture, overwrite=True)
    values = {"options": asdict(options), "figures": [asdict(figure) for figure in figures]}
    write_text(out / FIGURES, json.dumps(values, indent=2) + "\n")
    write_text(out / CARD, card(record, figures, options))
    return path, tuple(skipped)


def check_chosen(chosen: Sequence[Pair], folder: Path) -> None:
    """Raise DataError if there is no pair to train on."""
    if not chosen:
        raise DataError(f"{folder}: no person with a neutral photo and one of another expression")


def check_pixel_options(options: PixelOptions, test_fraction: float) -> None:
    """Raise UsageError for options that no model can be fitted with, before any photo is read."""
    check_pixel_size(options.size)
    check_penalty(options.penalty)
    check_test_fraction(test_fraction)


def edit_crop(model: PixelModel, image: Rgb8, landmarks: npt.NDArray[np.float32], target: Expression) -> Rgb8:
    """Edit a training crop as if it were a photo: align, edit, paste.

    Args:
        model: the model.
        image: (S, S, 3) uint8 crop of a larger or equal field than the model's template.
        landmarks: (68, 2) its landmarks in crop pixels.
        target: the expression, at full strength.
    """
    alignment = align(face_from_landmarks(landmarks), model.template, model.rest_shape())
    crop = extract(image, alignment)
    with torch.inference_mode():
        edited = model.edit(face_crops(crop, [alignment]), [ExpressionMix(((target, 1.0),))])
        return paste(image, alignment, crop, edited).pixels.astype(np.uint8)


def held_out_figures(model: PixelModel, crops: CropSet, most: int = MOST_COMPARED) -> list[Figures]:
    """Return the error of each target on the pairs of ``crops``, against doing nothing.

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
    """Return a sheet: a row a person, the neutral crop and its edit to every expression."""
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


def card(record: WeightsRecord, figures: Sequence[Figures], options: PixelOptions) -> str:
    """Return the model card as Markdown."""
    lines = [
        *card_head(
            record,
            f"form {options.form}, channels {options.channels}, scaling {options.scaling}, {options.size} px, "
            f"lambda {options.penalty:g}",
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
    """Return the pairs to fit: from neutral to each expression, and back once a person, take and expression.

    Photos of one person whose landmarks come from different hands are left out: their difference is not motion.
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
