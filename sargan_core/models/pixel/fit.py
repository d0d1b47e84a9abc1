"""Training of the pixel model: mean motion of the landmarks, then one closed-form fit per pixel.

For the displaced form every crop is first freed of the shape of the person: input and target are warped so that
their landmarks lie on the template's and on the mean target's, and only then does the ridge fit compare them. Lips,
lids and brows of all people then coincide, so the fit does not smear them, and what is seen between parted lips is a
region of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sargan_core.data.crop_table import CropSet
from sargan_core.data.crops import affine_template, spline_template, symmetric
from sargan_core.data.samples import SYNTH
from sargan_core.errors import DataError
from sargan_core.expressions import LABELS, Expression
from sargan_core.faces.blur import gaussian_blur
from sargan_core.faces.eyes import eye_regions, eye_white, eyes_region
from sargan_core.faces.face import Template
from sargan_core.faces.landmarks import MIRRORED
from sargan_core.faces.masks import face_mask
from sargan_core.faces.mouth import closed, inside_mouth, lips_region
from sargan_core.faces.warp import positions, sample, spline_field
from sargan_core.models.pixel.model import PixelModel, PixelSettings, coarse
from sargan_core.models.pixel.ridge import CurveSums, RidgeSums
from sargan_core.outcome import Progress

Points = npt.NDArray[np.float64]


# Smoothing of the splines that free crops of the person's shape, see ``spline_field``.
SHAPE_SMOOTHING = 0.5


@dataclass(frozen=True)
class PixelOptions:
    """How a pixel model is fitted.

    Attributes:
        form: ``plain``, ``kernel`` or ``displaced``.
        channels: ``shared`` or ``separate``.
        scaling: ``product`` or ``fidelity``.
        size: crop side in pixels.
        penalty: the ridge penalty lambda.
        bandwidth: of the kernel form.
        agreement: displaced form: the share of an expression's pairs that is kept, those whose motion is nearest
            the median motion; pairs of another kind (teeth instead of pressed lips) would only blur.
    """

    form: str = "displaced"
    channels: str = "shared"
    scaling: str = "product"
    size: int = 256
    penalty: float = 0.4
    bandwidth: float = 0.15
    agreement: float = 0.5

    @property
    def template(self) -> Template:
        """The affine template that training crops are cut with."""
        return affine_template(self.size)


@dataclass(frozen=True)
class _Pair:
    source: Tensor
    target: Tensor
    source_landmarks: Points
    target_landmarks: Points


def fit_pixel(
    crops: CropSet, options: PixelOptions, progress: Progress = lambda done, total: None
) -> PixelModel:
    """Fit a pixel model to paired crops.

    Args:
        crops: training people only; cut with ``options.template``; landmarks known for the displaced form.
        options: form and numbers.
        progress: called with (done, total) after each expression.

    Returns:
        The model; targets without pairs are left out of its expressions.

    Raises:
        DataError: no pair to learn from, or landmarks missing for the displaced form.
    """
    fit = _fit_displaced if options.form == "displaced" else _fit_still
    chosen = {expression: pair_rows(crops, expression) for expression in LABELS}
    chosen = {expression: rows for expression, rows in chosen.items() if len(rows)}
    if not chosen:
        raise DataError(
            "no pairs of the same person with and without an expression; the pixel model needs them"
        )
    settings = PixelSettings(
        options.form, options.channels, options.scaling, tuple(expression.value for expression in chosen)
    )
    template, tensors = fit(crops, options, chosen, progress)
    return PixelModel(settings, template, tensors)


def _load(crops: CropSet, rows: npt.NDArray[np.int64]) -> Iterator[_Pair]:
    for source, target in rows:
        yield _Pair(
            torch.from_numpy(crops.images[source]).float() / 255,
            torch.from_numpy(crops.images[target]).float() / 255,
            crops.landmarks[source].astype(np.float64),
            crops.landmarks[target].astype(np.float64),
        )


def _stretch(x: Tensor) -> Tensor:
    return (x - x.amin()) / (x.amax() - x.amin()).clamp_min(1e-6)


def _fit_still(
    crops: CropSet,
    options: PixelOptions,
    chosen: dict[Expression, npt.NDArray[np.int64]],
    progress: Progress,
) -> tuple[Template, dict[str, Tensor]]:
    """Fit the plain or the kernel form on the crops as they are."""
    shape = (1 if options.channels == "shared" else 3, options.size, options.size)
    weights, biases, curves = [], [], []
    for done, rows in enumerate(chosen.values(), start=1):
        sums: RidgeSums | CurveSums
        sums = RidgeSums(shape) if options.form == "plain" else CurveSums(shape)
        for pair in _load(crops, rows):
            x, t = pair.source, pair.target
            if options.scaling == "fidelity":
                x, t = _stretch(x), _stretch(t)
            sums.add(x, t)
        if isinstance(sums, RidgeSums):
            # The published objective shrinks towards black; the product shrinks towards no change.
            weight, bias = sums.solve(options.penalty, towards_identity=options.scaling == "product")
            weights.append(weight)
            biases.append(bias)
        else:
            curves.append(sums.solve(options.penalty, options.bandwidth))
        progress(done, len(chosen))
    if options.form == "kernel":
        return options.template, {"curves": torch.stack(curves)}
    return options.template, {"weight": torch.stack(weights).float(), "bias": torch.stack(biases).float()}


def _fit_displaced(
    crops: CropSet,
    options: PixelOptions,
    chosen: dict[Expression, npt.NDArray[np.int64]],
    progress: Progress,
) -> tuple[Template, dict[str, Tensor]]:
    chosen = {expression: with_landmarks(crops, rows) for expression, rows in chosen.items()}
    shape = _mean_shape(crops)
    size = options.size
    channels = 1 if options.channels == "shared" else 3
    flows, weights, biases, insides, whites, goals = [], [], [], [], [], []
    for done, (expression, rows) in enumerate(chosen.items(), start=1):
        move = np.zeros((68, 2))
        rows = photographs(crops, rows)
        if expression is not Expression.NEUTRAL:
            rows = agreeing(crops, rows, options.agreement)
            moves = crops.landmarks[rows[:, 1]] - crops.landmarks[rows[:, 0]]
            move = _symmetric(moves.mean(0).astype(np.float64))
        goal = closed(shape + move)
        sums = RidgeSums((channels, size, size))
        inside = inside_mouth(goal, size)
        if inside.max() < 1:
            # Lips that touch show nothing between them.
            inside = torch.zeros_like(inside)
        mouths = []
        for pair in _load(crops, rows):
            x = _freed(pair.source, closed(pair.source_landmarks), goal)
            t = _freed(pair.target, closed(pair.target_landmarks), goal)
            sums.add(x, t)
            if inside.any():
                mouths.append((t * (inside > 0)).half())
            whites.append(eye_white(pair.source, eye_regions(pair.source_landmarks, size)))
        weight, bias = sums.solve(options.penalty, towards_identity=True)
        # Irises lie where the gaze puts them: a fit over people would only grey them.
        border = face_mask(goal, size) * (1 - eyes_region(goal, size))
        if expression is Expression.NEUTRAL:
            # What open mouths leave on lips that close is chance too.
            border = border * (1 - lips_region(goal, size))
        elif not mouths:
            weight, bias = smooth_on_lips(weight, bias, goal)
        bias = (border * bias).expand(3, -1, -1)
        if mouths:
            # Between the lips the input says nothing: what is seen there is the pairs' own.
            weight = weight * (1 - inside)
            bias = torch.lerp(bias, typical_mouth(torch.stack(mouths), inside), inside)
        flows.append(torch.from_numpy(spline_field(goal, shape - goal, size, SHAPE_SMOOTHING)))
        weights.append(1 + border * (weight - 1))
        biases.append(bias)
        insides.append(inside)
        goals.append(torch.from_numpy((goal + 0.5) / size))
        progress(done, len(chosen))
    rest, noise = fit_rest(crops, size)
    tensors = {
        "flow": coarse(torch.stack(flows)),
        "weight": torch.stack(weights).float(),
        "bias": torch.stack(biases).float(),
        "inside": torch.stack(insides).float(),
        "goals": torch.stack(goals).float(),
        "eye_white": torch.stack(whites).mean(0).float(),
        "rest": rest,
        "rest_noise": noise,
    }
    return spline_template(shape, size), tensors


def _mean_shape(crops: CropSet) -> Points:
    """Return the mean landmarks of the neutral faces, made symmetric, (68, 2) crop pixels."""
    neutral = crops.own & (crops.labels == Expression.NEUTRAL.label)
    neutral &= np.isfinite(crops.landmarks).all((1, 2))
    real = neutral & (crops.sources != SYNTH)
    neutral = real if real.any() else neutral
    return symmetric(crops.landmarks[neutral].mean(0).astype(np.float64), crops.template.size)


def _symmetric(move: Points) -> Points:
    mirrored = move[list(MIRRORED)].copy()
    mirrored[:, 0] *= -1
    return (move + mirrored) / 2


def _freed(image: Tensor, landmarks: Points, goal: Points) -> Tensor:
    """Return a (3, S, S) crop warped so that its landmarks lie on ``goal``."""
    field = spline_field(goal, landmarks - goal, image.shape[-1], SHAPE_SMOOTHING)
    return sample(image[None], positions(torch.from_numpy(field)[None]), "bicubic")[0].clamp(0, 1)


def pair_rows(crops: CropSet, expression: Expression) -> npt.NDArray[np.int64]:
    """Return the pairs (P, 2) that teach a target: from neutral to it, or from anything to neutral."""
    sources, targets = crops.labels[crops.pairs[:, 0]], crops.labels[crops.pairs[:, 1]]
    wanted = targets == expression.label
    if expression is not Expression.NEUTRAL:
        wanted &= sources == Expression.NEUTRAL.label
    return crops.pairs[wanted]


def with_landmarks(crops: CropSet, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the pairs whose landmarks are known, of both photos.

    Raises:
        DataError: there are none.
    """
    known = np.isfinite(crops.landmarks[rows]).all((1, 2, 3))
    if not known.any():
        raise DataError(
            "the displaced form needs landmarks of inputs and targets; crop with --landmarks builtin"
        )
    return rows[known]


def photographs(crops: CropSet, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the pairs of real photos where there are any: rendered faces teach shape, not the look of skin."""
    real = crops.sources[rows[:, 1]] != SYNTH
    return rows[real] if real.any() else rows


def agreeing(crops: CropSet, rows: npt.NDArray[np.int64], share: float) -> npt.NDArray[np.int64]:
    """Return the share of the pairs whose motion is nearest the median motion."""
    moves = crops.landmarks[rows[:, 1]] - crops.landmarks[rows[:, 0]]
    distance = ((moves - np.median(moves, axis=0)) ** 2).sum((1, 2))
    return rows[np.sort(np.argsort(distance, kind="stable")[: max(1, round(share * len(rows)))])]


# Ridge penalty (coordinates are fractions of the side).
PENALTY = 0.02


def fit_rest(crops: CropSet, size: int) -> tuple[Tensor, Tensor]:
    """Fit the ridge regression from a face's landmarks to the motion that makes them neutral.

    Args:
        crops: pairs to neutral, and neutral faces of their own, which must stay.
        size: crop side; coordinates are divided by it.

    Returns:
        (137, 136) matrix, the last row for the constant, and the root mean square motion that it wrongly gives
        to neutral faces, as a fraction of the side.
    """
    rows = with_landmarks(crops, pair_rows(crops, Expression.NEUTRAL))
    neutral = np.flatnonzero(crops.own & (crops.labels == Expression.NEUTRAL.label))
    neutral = neutral[np.isfinite(crops.landmarks[neutral]).all((1, 2))]
    moves = crops.landmarks[rows[:, 1]] - crops.landmarks[rows[:, 0]]
    repeats = max(1, len(rows) // (3 * max(1, len(neutral))))
    still = np.repeat(neutral, repeats)
    known = np.concatenate([crops.landmarks[rows[:, 0]], crops.landmarks[still]]).reshape(-1, 136) / size
    wanted = np.concatenate([moves.reshape(-1, 136), np.zeros((len(still), 136))]) / size
    known = np.concatenate([known, np.ones((len(known), 1))], axis=1).astype(np.float64)
    gram = known.T @ known + PENALTY * np.diag([1.0] * 136 + [0.0])
    matrix = np.linalg.solve(gram, known.T @ wanted)
    wrong = known[len(rows) :] @ matrix if len(still) else np.zeros((1, 136))
    noise = float(np.sqrt((wrong**2).mean()))
    return torch.from_numpy(matrix), torch.tensor(noise)


# Blur of what is fitted on shut lips, in pixels of a 256 px crop.
ON_LIPS = 6.0


def smooth_on_lips(weight: Tensor, bias: Tensor, goal: Points) -> tuple[Tensor, Tensor]:
    """Return weight and bias (C, S, S) without fine structure on lips that are shut before and after.

    The line between the lips lies a pixel higher or lower from face to face. A fit over people would wipe it out; as it
    is, it moves along with the lips.

    Args:
        weight: (C, S, S) factor.
        bias: (C, S, S) what is added.
        goal: (68, 2) landmarks after the edit, crop pixels.
    """
    size = weight.shape[-1]
    lips = lips_region(goal, size).to(weight)
    sigma = ON_LIPS * size / 256
    window = 2 * int(3 * sigma) + 1
    soft_weight, soft_bias = (gaussian_blur(part[None], window, sigma)[0] for part in (weight, bias))
    return torch.lerp(weight, soft_weight, lips), torch.lerp(bias, soft_bias, lips)


# How many mouths the shown one is the mean of; how much it is sharpened, at what scale in pixels of a 256 px crop.
TYPICAL_MOUTHS = 6


SHARPEN = 0.6


SHARPEN_SCALE = 1.6


# The rim of the opening lies in the lips' shadow: its width as a fraction of the crop's side, and its light.
RIM = 0.016


RIM_LIGHT = 0.45


def typical_mouth(mouths: Tensor, inside: Tensor) -> Tensor:
    """Return what to show between the lips: the mean of the few targets nearest the mean, shaded at the rim.

    The mean of all mouths is a grey band; a few that look alike keep their teeth.

    Args:
        mouths: (N, 3, S, S) float16 in [0, 1], freed of shape, so that their openings coincide; 0 outside.
        inside: (1, S, S) in [0, 1].
    """
    mean = mouths.float().mean(0)
    distances = torch.stack([((one.float() - mean) ** 2).sum() for one in mouths])
    nearest = distances.topk(min(TYPICAL_MOUTHS, len(mouths)), largest=False).indices
    picture = mouths[nearest].double().mean(0)
    sigma = SHARPEN_SCALE * inside.shape[-1] / 256
    window = 2 * int(3 * sigma) + 1
    soft = gaussian_blur(picture[None], window, sigma)[0]
    depth = cv2.distanceTransform(
        (inside[0].numpy() > 0.5).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
    )
    rim = np.clip(depth / (RIM * inside.shape[-1]), 0, 1)
    shade = torch.from_numpy(RIM_LIGHT + (1 - RIM_LIGHT) * rim.astype(np.float64))
    return (picture + SHARPEN * (picture - soft)).clamp(0, 1) * shade
