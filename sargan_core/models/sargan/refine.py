"""Training of a refiner: its input is the edit of its base model, its target the true picture in the same geometry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import Tensor

from sargan_core.data.crop_table import CropSet
from sargan_core.data.crops import face_from_landmarks
from sargan_core.data.samples import STILL, SYNTH, TRANSFER, Pair, Sample, Skipped, pairs
from sargan_core.errors import DataError
from sargan_core.expressions import LABELS, Expression, ExpressionMix
from sargan_core.faces.align import Alignment, align, extract, face_crops
from sargan_core.faces.eyes import eyes_region
from sargan_core.faces.face import Template
from sargan_core.faces.mouth import closed, lip_gap
from sargan_core.faces.warp import positions, sample, spline_field
from sargan_core.models.pixel.model import PixelModel
from sargan_core.models.sargan import recipes as losses
from sargan_core.models.sargan.data import (
    LOOSE_TRUST,
    CropPairs,
    Photos,
    check_crops,
    cut_pairs,
    pair_number,
    pair_odds,
)
from sargan_core.models.sargan.file import save_generator
from sargan_core.models.sargan.model import Window, face_masks, mouth_window
from sargan_core.models.sargan.recipes import SarganTraining
from sargan_core.models.sargan.task import SarganTask
from sargan_core.training.augment import NONE, augment
from sargan_core.training.loop import step_random, to_picture

# Weight of the pixels of the eyes, whose irises are elsewhere in the truth, and of those between the lips, where the
# truth shows one of many possible sets of teeth.
EYES_COUNT = 0.3
INSIDE_COUNT = 0.8


class RefineTask(SarganTask):
    """A ``TrainingTask`` for a refiner.

    Args:
        settings: what to train and how.
        data: pairs of the base's edit and the truth, see ``prepare_refinement``.
        samples: such pairs of people left out, for the sample sheets.
        fabric: device, precision and processes.
        base: the model to refine.
        base_name: its name among the shipped weights.
        start: weights to start from instead of random ones.
    """

    def __init__(
        self,
        settings: SarganTraining,
        data: CropPairs,
        samples: CropPairs,
        fabric: Fabric,
        base: PixelModel,
        base_name: str,
        start: dict[str, Tensor] | None = None,
    ) -> None:
        super().__init__(settings, data, samples, fabric, start)
        self.base_name = base_name
        self.base_template = base.template
        window = mouth_window(base.template, settings.generator.size)
        self.face = face_masks(base, window).to(fabric.device)
        self.region = self.face * compared(base, window).to(fabric.device)

    def step(self, step: int) -> dict[str, Tensor]:
        """Make one step; see ``TrainingTask``."""
        random = step_random(self.settings.seed, step, self.fabric.global_rank)
        self._set_rate(step)
        settings = self.settings
        batch = self.data.draw(settings.batch, random, self.fabric.device)
        edit, truth = augment((batch.source, batch.target), settings.augment, random)
        source, target = self._to_network(edit), self._to_network(truth)
        wanted, trust = batch.target_label, batch.trust
        face = self.face[wanted]
        made = source + face * (self.generator(source, self._one_hot(wanted)) - source)
        # The surroundings of the face are the same in both pictures, so that the discriminator sees the face alone.
        target = source + face * (target - source)
        weight = losses.change_weight(source, target) * self.region[wanted] * trust[:, None, None, None]
        metrics = {
            "pixel": losses.weighted_l1(made, target, weight),
            "gradient": losses.gradient_l1(made, target, weight),
        }
        squared = losses.weighted_l2(made, target, weight)
        metrics["relative"] = metrics["pixel"] / losses.weighted_l1(source, target, weight)
        metrics["relative_squared"] = squared / losses.weighted_l2(source, target, weight)
        if step <= settings.squared_until:
            loss = settings.pixel * squared
        else:
            loss = settings.pixel * metrics["pixel"] + settings.gradient * metrics["gradient"]
        return self._finish_pairs(step, loss, metrics, made, target, wanted, trust)

    @torch.no_grad()
    def sheet(self) -> Tensor:
        """Return three rows per person: edits of the base, refined edits, truths; one column per pair."""
        source, target = self.samples.pictures(self.samples.pairs).unbind(1)
        wanted = torch.from_numpy(self.samples.labels[self.samples.pairs[:, 1]]).to(self.fabric.device)
        source, target = self._to_network(source), self._to_network(target)
        face = self.face[wanted]
        made = source + face * (self.average(source, self._one_hot(wanted)) - source)
        target = source + face * (target - source)
        rows = [
            torch.cat(list(picture), dim=2)
            for chunk in zip(*(x.split(len(LABELS)) for x in (source, made, target)), strict=True)
            for picture in chunk
        ]
        widest = max(row.shape[2] for row in rows)
        rows = [torch.nn.functional.pad(row, (0, widest - row.shape[2])) for row in rows]
        return to_picture(torch.cat(rows, dim=1))

    def export(self, path: Path) -> None:
        """Write the averaged generator in half precision with its settings, its base and the base's template."""
        if self.fabric.is_global_zero:
            save_generator(self.average, self.base_template, path, base=self.base_name)


def compared(base: PixelModel, window: Window) -> Tensor:
    """Return the weight of each pixel in the loss for every expression, (7, 1, size, size) in [0, 1]."""
    whole = base.template.size
    inside = base.get_buffer("inside")
    weights = []
    for row, expression in enumerate(LABELS):
        eyes = eyes_region(base.goal(expression), whole).float()
        weights.append((1 - (1 - EYES_COUNT) * eyes) * (1 - (1 - INSIDE_COUNT) * inside[row].cpu()))
    return window.cut(torch.stack(weights))


def sheet_pairs(data: CropPairs, people: int) -> CropPairs:
    """Return one pair per label, in label order, of up to ``people`` people who have all labels, evenly chosen."""
    labels = data.labels[data.pairs[:, 1]].tolist()
    first: dict[str, dict[int, int]] = {}
    for row, label in enumerate(labels):
        person = str(data.persons[data.pairs[row, 0]])
        first.setdefault(person, {}).setdefault(label, row)
    whole = [person for person in sorted(first) if len(first[person]) == len(LABELS)] or sorted(first)
    chosen = whole[:: max(1, len(whole) // people)][:people]
    rows = [first[person][label] for person in chosen for label in sorted(first[person])]
    return data.select_links(rows)


# How often each direction is drawn for one person: from neutral, to neutral, between two others.
TOTALS = np.array([6.0, 1.5, 1.2])
# One in this many pairs is used, by data set and direction; of all others every one.
SHARES = {(SYNTH, 0): 2, (SYNTH, 1): 4, (SYNTH, 2): 48, (TRANSFER, 1): 6, (TRANSFER, 2): 32}
# Smoothing of the spline that warps the truth to the edit's geometry, as in the fit of the pixel model.
SMOOTHING = 0.5
# Opening of the mouth as a fraction of the crop's side from which the edit's mouth is open, and largest opening of the
# truth where it is closed; where it is open, the least fraction of its opening that the truth must have.
OPEN, CLOSED, LEAST_OPEN = 0.02, 0.02, 0.6
# Largest mean and largest single distance of the truth's landmarks (without the outline) from the edit's, as fractions
# of the crop's side. A truth in another pose, or with landmarks of another convention, would be distorted.
REACH_MEAN, REACH_MOST = 0.014, 0.04
OUTLINE = 17
# Half of the pairs get another light or style before the base edits them. The base adds the same shading to every face,
# and the refiner must learn to correct it on dark, grey or painted ones.
APPEARANCE = replace(NONE, colour=1.6, grey_odds=0.15, posterise_odds=0.1, sketch_odds=0.06)


def prepare_refinement(photos: Photos, base: PixelModel, size: int) -> tuple[CropPairs, tuple[Skipped, ...]]:
    """Read, split and crop photos and edit them with ``base``; return the data and what was left out.

    Args:
        photos: what to read; landmarks are found where the data set brings none.
        base: the displaced pixel model to refine.
        size: side of the part of the base's crop that the refiner sees.

    Returns:
        Of each pair the source is the base's edit, the target the true picture in the edit's geometry.

    Raises:
        DataError: no usable pair, or a packed file of another crop size.
    """
    window = mouth_window(base.template, size)
    data = photos.packed()
    if data is not None:
        check_packed_refinement(data, window.template(base.template), photos.folders[0])
        return data, ()
    affine = replace(base.template, kind="affine", shape=None)
    return cut_pairs(
        photos,
        affine,
        refined_pairs,
        lambda crops: edited_pairs(crops, base, window),
        only_pairs=True,
        known_first=True,
    )


def check_packed_refinement(data: CropPairs, template: Template, file: Path) -> None:
    """Raise DataError for a packed file that was made for another model, or without a pair to train on."""
    if data.template != template:
        raise DataError(
            f"{file}: packed with crops of {data.template.size} px for another model; pack again with --refine"
        )
    check_crops(data, file)


def refined_pairs(samples: Sequence[Sample]) -> list[Pair]:
    """Return the pairs to edit: a fixed subset where a person has many."""
    return [
        pair
        for pair in pairs(samples)
        if pair_number(pair)
        % SHARES.get((_source(pair), _direction(pair.source.expression, pair.target.expression)), 1)
        == 0
    ]


def _source(pair: Pair) -> str:
    return TRANSFER if TRANSFER in (pair.source.source, pair.target.source) else pair.target.source


def _direction(source: Expression, target: Expression) -> int:
    if source is Expression.NEUTRAL:
        return 0
    return 1 if target is Expression.NEUTRAL else 2


def edited_pairs(crops: CropSet, base: PixelModel, window: Window) -> CropPairs:
    """Return the base's edit and the truth for every pair of ``crops`` that can be compared.

    Args:
        crops: cut with the base's template without its spline; pairs without landmarks are left out.
        base: the model to refine.
        window: the part that is kept.

    Raises:
        DataError: no pair is left.
    """
    pictures: list[Tensor] = []
    kept: list[int] = []
    alignments: dict[int, Alignment] = {}
    goals = {expression.label: base.goal(expression) for expression in LABELS}
    for number, (source, target) in enumerate(crops.pairs):
        label = int(crops.labels[target])
        if not np.isfinite(crops.landmarks[[source, target]]).all():
            continue
        if source not in alignments:
            # Pairs are ordered by source, so one alignment at a time is enough.
            face = face_from_landmarks(crops.landmarks[source])
            alignments = {source: align(face, base.template, base.neutral_estimate())}
        points = _placed(crops.landmarks[target], alignments[source])
        if not comparable(points, goals[label], crops.template.size):
            continue
        before, after = _shown(crops, number)
        edit = _edited(base, before, alignments[source], LABELS[label])
        truth = _brought(after, points, alignments[source], goals[label])
        pictures += [_stored(edit, window), _stored(truth, window)]
        kept.append(number)
    if not kept:
        raise DataError(
            "no pair with landmarks and comparable mouths; a refiner cannot be trained on this data"
        )
    return _as_crop_pairs(crops, torch.stack(pictures), np.array(kept), base, window)


def comparable(points: npt.NDArray[np.float64], goal: npt.NDArray[np.float64], size: int) -> bool:
    """Return whether a truth with landmarks ``points`` can be warped to ``goal``: near, and both mouths open or closed.

    Both are (68, 2) pixels of a crop of side ``size``.
    """
    distance = np.linalg.norm(points - goal, axis=1)[OUTLINE:] / size
    if distance.mean() > REACH_MEAN or distance.max() > REACH_MOST:
        return False
    wanted, true = lip_gap(goal) / size, lip_gap(points) / size
    return true >= LEAST_OPEN * wanted if wanted > OPEN else true <= CLOSED


def _placed(landmarks: npt.NDArray[np.float32], alignment: Alignment) -> npt.NDArray[np.float64]:
    """Return landmarks of the affine crop in pixels of the aligned one; lips that cross are brought together."""
    places = alignment.to_crop(torch.from_numpy(landmarks.T.copy())[None, :, :, None])
    return closed(places[0, :, :, 0].T.double().numpy())


def _shown(crops: CropSet, number: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return input and truth (S, S, 3) of a pair; every second pair gets another light or style."""
    both = torch.from_numpy(crops.images[crops.pairs[number]])
    if number % 2:
        random = torch.Generator().manual_seed(number)
        one, other = (both.float() / 255).split(1)
        both = (torch.cat(augment((one, other), APPEARANCE, random)) * 255).round().byte()
    before, after = both.permute(0, 2, 3, 1).numpy()
    return np.ascontiguousarray(before), np.ascontiguousarray(after)


@torch.inference_mode()
def _edited(
    base: PixelModel, image: npt.NDArray[np.uint8], alignment: Alignment, target: Expression
) -> Tensor:
    crop = extract(image, alignment)
    return base.edit(face_crops(crop, [alignment]), [ExpressionMix(((target, 1.0),))]).image[0]


def _brought(
    image: npt.NDArray[np.uint8],
    points: npt.NDArray[np.float64],
    alignment: Alignment,
    goal: npt.NDArray[np.float64],
) -> Tensor:
    """Return the truth (3, S, S), warped so that its landmarks move from ``points`` of the aligned crop to ``goal``.

    It is sampled twice and bilinearly, as the edit is: a sharper truth would teach sharpening.
    """
    crop = extract(image, alignment)
    field = spline_field(closed(goal), points - closed(goal), crop.shape[-1], SMOOTHING)
    return sample(crop, positions(torch.from_numpy(field)[None]))[0]


def _stored(picture: Tensor, window: Window) -> Tensor:
    return (window.cut(picture) * 255).round().clamp(0, 255).byte()


def _as_crop_pairs(
    crops: CropSet, pictures: Tensor, kept: npt.NDArray[np.int64], base: PixelModel, window: Window
) -> CropPairs:
    rows = crops.pairs[kept]
    labels = crops.labels[rows]
    kinds = np.array([_direction(LABELS[source], LABELS[target]) for source, target in labels])
    rendered = crops.sources[rows[:, 0]] == SYNTH
    odds = pair_odds(kinds, TOTALS, crops.persons[rows[:, 0]], rendered)
    still = np.isin(crops.sources[rows], list(STILL)).any(1)
    return CropPairs(
        template=window.template(base.template),
        images=pictures.numpy(),
        persons=crops.persons[rows].reshape(-1),
        labels=labels.reshape(-1),
        pairs=np.arange(2 * len(rows)).reshape(-1, 2),
        odds=odds.astype(np.float32),
        trust=np.where(still, 1.0, LOOSE_TRUST).astype(np.float32),
        mask=face_masks(base, window).amax((0, 1)).cpu().numpy(),
    )
