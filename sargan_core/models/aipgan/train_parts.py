"""Training of the neutral network: people with an expression, and where their landmarks lie without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from sargan_core.data.crops import STABLE, face_from_landmarks
from sargan_core.data.samples import SYNTH, TRANSFER, Sample, Skipped
from sargan_core.errors import DataError, PhotoError, WeightsError
from sargan_core.expressions import Expression
from sargan_core.faces.align import anchors, apply_matrix, similarity, to_square
from sargan_core.faces.blur import gaussian_blur
from sargan_core.faces.carry import Seen, carry
from sargan_core.faces.eyes import eyes_region
from sargan_core.faces.mouth import lips_region
from sargan_core.faces.paste import face_mask
from sargan_core.models.aipgan.data import ExpressionCrops
from sargan_core.models.aipgan.parts import (
    LIMITS,
    LidsNetwork,
    NeutralNetwork,
    Shading,
    eye_patches,
    shut_lids,
)
from sargan_core.models.aipgan.upright_crops import augment, training_crop
from sargan_core.photo.photo import MAX_PIXELS
from sargan_core.progress import Progress
from sargan_core.training.loop import Schedule, fit
from sargan_core.weights import find_record, load_tensors

Points = npt.NDArray[np.float64]


# A photo -> (68, 2) photo pixels, None where nothing is found.
Find = Callable[[Sample], npt.NDArray[np.float32] | None]


# Spread in crop pixels of the finding error that is put on the landmarks in training: of all together, of each.
JITTER = (0.5, 0.8)


@dataclass(frozen=True)
class NeutralOptions:
    """Settings of the training.

    Attributes:
        steps: optimiser steps.
        batch: crops a step.
        rate: peak rate of the one-cycle schedule (AdamW).
        seed: of draws and augmentation.
    """

    steps: int = 1600
    batch: int = 32
    rate: float = 1e-3
    seed: int = 0


@dataclass(frozen=True)
class NeutralCrops:
    """Upright crops with own and neutral landmarks; arrays share their first index.

    Attributes:
        images: (N, C, C) uint8 luminance, C = 168: with a margin for the augmentation.
        landmarks: (N, 68, 2) float32 crop pixels.
        motions: (N, 68, 2) float32 crop pixels, landmarks minus those of the neutral face.
        trust: (N, 68) float32.
        chances: (N,) float64, how often each is drawn, relative.
    """

    images: npt.NDArray[np.uint8]
    landmarks: npt.NDArray[np.float32]
    motions: npt.NDArray[np.float32]
    trust: npt.NDArray[np.float32]
    chances: npt.NDArray[np.float64]


def neutral_points(sample: Sample, neutral: Sample, find: Find | None = None) -> tuple[Points, Points] | None:
    """Return a photo's landmarks and those of its person's neutral face, (68, 2) pixels of the photo.

    Pairs that are not still are brought together by a similarity transform on points that expressions hardly move.
    Photos that came without landmarks are asked for with ``find``. None where the two sets of points were not found
    in the same way.
    """
    if sample.known is None or neutral.known is None:
        found = (find(sample), find(neutral)) if find is not None else (None, None)
        if found[0] is None or found[1] is None:
            return None
        own, rest = (np.asarray(points, dtype=np.float64) for points in found)
        return own, apply_matrix(similarity(rest[list(STABLE)], own[list(STABLE)]), rest)
    if sample is neutral or sample.source in (SYNTH, TRANSFER):
        one, other = sample.landmarks, neutral.landmarks
        return None if one is None or other is None else (one.astype(np.float64), other.astype(np.float64))
    one, other = sample.found_landmarks, neutral.found_landmarks
    if one is None or other is None or sample.source != neutral.source:
        return None
    own, rest = one.astype(np.float64), other.astype(np.float64)
    return own, apply_matrix(similarity(rest[list(STABLE)], own[list(STABLE)]), rest)


def neutral_crops(
    samples: Sequence[Sample], find: Find | None = None, max_pixels: int = MAX_PIXELS
) -> tuple[NeutralCrops, list[Skipped]]:
    """Cut the photos of people whose neutral face is known.

    Args:
        samples: photos of people.
        find: finds the landmarks of photos that came without; None = leave them out.
        max_pixels: photos of more pixels are left out.

    Raises:
        DataError: there are none.
    """
    by_person = {
        sample.person: sample
        for sample in reversed(samples)
        if sample.expression is Expression.NEUTRAL and (sample.known is not None or find is not None)
    }
    images, landmarks, motions, trusts, chances = [], [], [], [], []
    skipped = []
    for sample in samples:
        known = by_person.get(sample.person)
        points = neutral_points(sample, known, find) if known is not None else None
        if points is None:
            continue
        own, rest = points
        face = face_from_landmarks(own.astype(np.float32))
        try:
            image, matrix = training_crop(sample.path, anchors(face), max_pixels)
        except PhotoError as error:
            skipped.append(Skipped(sample.path, str(error)))
            continue
        inverse = np.asarray(np.linalg.inv(to_square(matrix))[:2], dtype=np.float64)
        images.append(image)
        landmarks.append(apply_matrix(inverse, own))
        motions.append(apply_matrix(inverse, own) - apply_matrix(inverse, rest))
        trust, chance = _worth(sample)
        trusts.append(trust)
        chances.append(chance)
    if not images:
        raise DataError("no photo whose person also has a neutral one with known landmarks")
    crops = NeutralCrops(
        np.stack(images),
        np.asarray(landmarks, dtype=np.float32),
        np.asarray(motions, dtype=np.float32),
        np.asarray(trusts, dtype=np.float32),
        np.asarray(chances, dtype=np.float64),
    )
    return crops, skipped


def _worth(sample: Sample) -> tuple[npt.NDArray[np.float32], float]:
    """Return how far each point is to be trusted and how often the photo is drawn, relative."""
    trust = np.ones(68, np.float32)
    trust[:17] = 0.3
    still = sample.expression is Expression.NEUTRAL
    if sample.source == SYNTH:
        return trust, 2.0 if still else 0.8
    if sample.source == TRANSFER:
        return trust, 1.0
    # Real smiles are what the pairs above are not: faint, crooked, with moving cheeks.
    return trust, 4.0


def train_neutral(
    crops: NeutralCrops,
    options: NeutralOptions,
    network: NeutralNetwork,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> NeutralNetwork:
    """Fit the network with a smooth L1 loss on the motions; it is changed and returned.

    Args:
        crops: training people only.
        options: the run's settings.
        network: see ``start_neutral``.
        progress: called with step and mean error in crop pixels.
    """
    rng = np.random.default_rng(options.seed)
    chances = crops.chances / crops.chances.sum()

    def loss_of_batch() -> Tensor:
        drawn = rng.choice(len(crops.images), options.batch, p=chances)
        images = torch.from_numpy(crops.images[drawn]).float()[:, None] / 255
        own = torch.from_numpy(crops.landmarks[drawn])
        rest = own - torch.from_numpy(crops.motions[drawn])
        trust = torch.from_numpy(crops.trust[drawn])
        # The same draw for both sets of points.
        state = torch.get_rng_state()
        views, seen, worth = augment(images, own, trust)
        torch.set_rng_state(state)
        _, still, _ = augment(images[..., :1, :1].expand_as(images), rest, trust)
        noise = JITTER[0] * torch.randn(len(drawn), 1, 2) + JITTER[1] * torch.randn_like(seen)
        error = functional.smooth_l1_loss(
            network(views, seen + noise), seen - still, reduction="none", beta=0.5
        ).sum(2)
        return (error * worth).sum() / worth.sum()

    fit(network, loss_of_batch, Schedule(options.steps, options.rate, 1e-3, seed=options.seed), progress)
    return network


def start_neutral() -> NeutralNetwork:
    """Return a network that sees faces as the shipped neutral network does, with a head that is untrained.

    Raises:
        WeightsError: the shipped weights are missing or damaged.
    """
    record = find_record("aipgan")
    network = NeutralNetwork()
    # The counters of batch normalisation serve training only and are not in the file.
    trunk = {name for name in network.state_dict() if name.startswith("at_") and "num_batches" not in name}
    tensors = {name: tensor.float() for name, tensor in load_tensors(record).items()}
    try:
        network.load_state_dict({name: tensors[f"neutral.{name}"] for name in trunk}, strict=False)
    except (KeyError, RuntimeError) as error:
        raise WeightsError(
            f"{record.file}: holds no neutral network to start from; reinstall sargan"
        ) from error
    return network


STEPS, BATCH, RATE = 500, 64, 2e-3


# Spread of the corners' finding error, in pixels of a 128 px crop.
LIDS_JITTER = 0.8


# How many faces get eyes shut, and how many more are looked at as they are.
SHUT, OPEN = 500, 1500


# Least share by which lids that count as shut have come together; open ones are at most half as far.
CLOSED = 0.8


def lid_patches(
    crops: ExpressionCrops, seed: int = 0, progress: Progress = lambda done, total: None
) -> tuple[Tensor, Tensor]:
    """Return patches of eyes (N, 2, 24, 32) and whether each is shut (N,), from training people.

    Args:
        crops: crops of people; real ones are preferred.
        seed: of draws.
        progress: called with (done, total).
    """
    rng = np.random.default_rng(seed)
    odds = np.where(crops.sources == SYNTH, 0.3, 1.0)
    patches, answers = [], []
    total = SHUT + OPEN
    for number in range(total):
        row = int(rng.choice(len(crops), p=odds / odds.sum()))
        face = seen(crops, row)
        wanted = np.zeros(2)
        if number < SHUT:
            wanted = rng.choice([0.0, 0.3, 0.9, 1.0], 2, p=[0.25, 0.25, 0.25, 0.25])
            face = Seen(carry(face, shut_lids(face.landmarks, wanted), face).image, face.landmarks)
        # What the finder would say: the lids of an open eye.
        noise = rng.normal(0, LIDS_JITTER * crops.template.size / 128, (68, 2))
        picture = (face.image[0].permute(1, 2, 0).clamp(0, 1).numpy() * 255).astype(np.uint8)
        patches.append(eye_patches(np.ascontiguousarray(picture), face.landmarks + noise))
        answers.append(torch.from_numpy(wanted > CLOSED).float())
        progress(number + 1, total)
    return torch.cat(patches), torch.cat(answers)


def train_lids(patches: Tensor, answers: Tensor, seed: int = 0) -> LidsNetwork:
    """Return a network fitted to patches and answers as of ``lid_patches``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = LidsNetwork()
        optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.02)
        share = answers.mean().clamp(0.05, 0.95)
        for _ in range(STEPS):
            drawn = torch.randint(len(patches), (BATCH,))
            x = patches[drawn]
            soft = functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
            x = torch.lerp(x, soft, torch.rand(BATCH, 1, 1, 1)) * (0.8 + 0.4 * torch.rand(BATCH, 2, 1, 1))
            x = x + 0.3 * torch.rand(BATCH, 1, 1, 1) * torch.randn_like(x)
            loss = functional.binary_cross_entropy_with_logits(
                network(x), answers[drawn], pos_weight=(1 - share) / share
            )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
    return network.eval()


# Ways of moving that are told apart: a few more than the eye does.
WAYS = 20


# Added to light before its logarithm, so that noise in dark hair counts for little.
FLOOR = 0.04


# Folds narrower than this, in pixels of a 128 px crop, are left to the grain of the skin.
BLUR = 1.0


# How much of the lips takes part: their colour is their own.
LIPS_SHARE = 0.35


# Ridge penalty as a share of the mean variance of a way of moving.
PENALTY = 0.02


def fit_shading(crops: ExpressionCrops, progress: Progress = lambda done, total: None) -> Shading:
    """Fit the shading to people seen neutral and with an expression.

    Args:
        crops: training people; real photos only are used where there are any, because rendered faces teach shape,
            not the look of skin.
        progress: called with (done, total).
    """
    real = crops.sources != SYNTH
    moved = crops.neutral != np.arange(len(crops))
    rows = np.flatnonzero(moved & real if (moved & real).any() else moved)
    size = crops.template.size
    motions = (crops.motions[rows].reshape(len(rows), -1) / size).astype(np.float64)
    basis = np.linalg.svd(motions, full_matrices=False)[2][:WAYS]
    known = motions @ basis.T
    gram = known.T @ known
    gram += PENALTY * np.trace(gram) / len(gram) * np.eye(len(gram))
    sums = torch.zeros(len(basis), size, size)
    for done, (row, weights) in enumerate(zip(rows, known, strict=True), start=1):
        change = _log_change(crops, int(row))
        sums += torch.from_numpy(weights).float()[:, None, None] * change
        progress(done, len(rows))
    pictures = torch.linalg.solve(torch.from_numpy(gram).float(), sums.flatten(1)).view(
        len(basis), 1, size, size
    )
    return Shading(torch.from_numpy(basis).float(), pictures)


def _log_change(crops: ExpressionCrops, row: int) -> Tensor:
    """Return the logarithm of the light after over before, landmarks in the same places, (S, S) on the face."""
    before, after = seen(crops, int(crops.neutral[row])), seen(crops, row)
    size = crops.template.size
    carried = carry(before, after.landmarks, after)
    ratio = torch.log((_light(after.image) + FLOOR) / (_light(carried.image) + FLOOR)).clamp(*LIMITS)
    still = (1 - eyes_region(after.landmarks, size)) * (1 - carried.inside[0])
    mask = (
        face_mask(after.landmarks, size) * still * (1 - (1 - LIPS_SHARE) * lips_region(after.landmarks, size))
    )
    sigma = BLUR * size / 128
    window = 2 * int(2 * sigma + 0.5) + 1
    soft = gaussian_blur(ratio * still[None].float(), window, sigma)
    return soft[0, 0] * mask[0].float()


def seen(crops: ExpressionCrops, row: int) -> Seen:
    """Return one crop with its landmarks."""
    image = torch.from_numpy(crops.images[row])[None].float() / 255
    return Seen(image, crops.landmarks[row].astype(np.float64))


def _light(image: Tensor) -> Tensor:
    weights = image.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (image * weights).sum(1, keepdim=True)
