"""Training of the neutral network, which estimates where a face's landmarks lie without its expression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from sargan_core.data.crop_table import CropTable, column
from sargan_core.data.crops import STABLE, face_from_landmarks
from sargan_core.data.samples import SYNTH, TRANSFER, Sample, Skipped
from sargan_core.errors import DataError, PhotoError, WeightsError
from sargan_core.expressions import Expression
from sargan_core.faces.align import anchors, apply_matrix, similarity, to_square
from sargan_core.faces.landmarks import MIRRORED, upright_crop
from sargan_core.models.aipgan.parts import NeutralNetwork
from sargan_core.models.landmarks.network import CROP_POINTS, SIZE
from sargan_core.photo.photo import MAX_PIXELS, read_photo
from sargan_core.training.loop import Schedule, fit
from sargan_core.weights import find_record, load_tensors

Points = npt.NDArray[np.float64]

# Room around the network's crop for rotation, shift and scale in training.
MARGIN = 28
# A photo -> (68, 2) photo pixels, None where nothing is found.
Find = Callable[[Sample], npt.NDArray[np.float32] | None]
# Standard deviation of the noise on the landmarks in training, in crop pixels: of all together, of each.
JITTER = (0.5, 0.8)


@dataclass(frozen=True)
class NeutralOptions:
    """Settings of the training.

    Attributes:
        steps: optimiser steps.
        batch: crops per step.
        rate: peak rate of the one-cycle schedule (AdamW).
        seed: of draws and augmentation.
    """

    steps: int = 1600
    batch: int = 32
    rate: float = 1e-3
    seed: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class NeutralCrops(CropTable):
    """Upright luminance crops (N, 168, 168), with a margin for the augmentation, and their neutral landmarks.

    Attributes:
        motions: (N, 68, 2) float32 crop pixels, landmarks minus those of the neutral face.
        trust: (N, 68) float32, weight of each point in the loss.
        chances: (N,) float64, how often each is drawn, relative.
    """

    motions: npt.NDArray[np.float32] = column(np.float32, (68, 2))
    trust: npt.NDArray[np.float32] = column(np.float32, (68,))
    chances: npt.NDArray[np.float64] = column(np.float64)


def neutral_points(sample: Sample, neutral: Sample, find: Find | None = None) -> tuple[Points, Points] | None:
    """Return a photo's landmarks and those of its person's neutral face, (68, 2) pixels of the photo.

    Where the head may have moved between the two photos, the neutral landmarks are brought to the photo by a similarity
    transform on points that expressions hardly move. Photos that came without landmarks are searched with ``find``.
    None where the two sets of points were not found in the same way.
    """
    if sample.known is None or neutral.known is None:
        one, other = (find(sample), find(neutral)) if find is not None else (None, None)
        return None if one is None or other is None else _together(one, other)
    if sample is neutral or sample.source in (SYNTH, TRANSFER):
        one, other = sample.landmarks, neutral.landmarks
        return None if one is None or other is None else (one.astype(np.float64), other.astype(np.float64))
    one, other = sample.found_landmarks, neutral.found_landmarks
    if one is None or other is None or sample.source != neutral.source:
        return None
    return _together(one, other)


def _together(own: npt.NDArray[np.float32], neutral: npt.NDArray[np.float32]) -> tuple[Points, Points]:
    """Return both sets of landmarks, the neutral ones brought to the photo of the others."""
    one, other = own.astype(np.float64), neutral.astype(np.float64)
    return one, apply_matrix(similarity(other[list(STABLE)], one[list(STABLE)]), other)


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
        own, neutral = points
        face = face_from_landmarks(own.astype(np.float32))
        try:
            image, matrix = training_crop(sample.path, anchors(face), max_pixels)
        except PhotoError as error:
            skipped.append(Skipped(sample.path, str(error)))
            continue
        inverse = np.asarray(np.linalg.inv(to_square(matrix))[:2], dtype=np.float64)
        images.append(image)
        landmarks.append(apply_matrix(inverse, own))
        motions.append(apply_matrix(inverse, own) - apply_matrix(inverse, neutral))
        trust, chance = _weights(sample)
        trusts.append(trust)
        chances.append(chance)
    if not images:
        raise DataError("no photo whose person also has a neutral one with known landmarks")
    crops = NeutralCrops(
        images=np.stack(images),
        landmarks=np.asarray(landmarks, dtype=np.float32),
        motions=np.asarray(motions, dtype=np.float32),
        trust=np.asarray(trusts, dtype=np.float32),
        chances=np.asarray(chances, dtype=np.float64),
    )
    return crops, skipped


def _weights(sample: Sample) -> tuple[npt.NDArray[np.float32], float]:
    """Return the weight of each point (68,) in the loss, and how often the photo is drawn, relative."""
    trust = np.ones(68, np.float32)
    trust[:17] = 0.3
    if sample.source == SYNTH:
        return trust, 2.0 if sample.expression is Expression.NEUTRAL else 0.8
    # Real smiles are what transferred expressions are not: faint, crooked, with moving cheeks.
    return trust, 1.0 if sample.source == TRANSFER else 4.0


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
        images = crops.pictures(drawn)[:, None]
        own = torch.from_numpy(crops.landmarks[drawn])
        neutral = own - torch.from_numpy(crops.motions[drawn])
        trust = torch.from_numpy(crops.trust[drawn])
        # The same draw for both sets of points.
        state = torch.get_rng_state()
        views, points, weight = seen_views(images, own, trust)
        torch.set_rng_state(state)
        _, without, _ = seen_views(images[..., :1, :1].expand_as(images), neutral, trust)
        noise = JITTER[0] * torch.randn(len(drawn), 1, 2) + JITTER[1] * torch.randn_like(points)
        error = functional.smooth_l1_loss(
            network(views, points + noise), points - without, reduction="none", beta=0.5
        ).sum(2)
        return (error * weight).sum() / weight.sum()

    fit(network, loss_of_batch, Schedule(options.steps, options.rate, 1e-3, seed=options.seed), progress)
    return network


def start_neutral(seed: int = 0) -> NeutralNetwork:
    """Return a network with the trunk of the shipped neutral network and a new head.

    Args:
        seed: of the head's weights.

    Raises:
        WeightsError: the shipped weights are missing or damaged.
    """
    record = find_record("aipgan")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
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


def training_crop(
    path: Path, anchors: npt.NDArray[np.float64], max_pixels: int = MAX_PIXELS
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """Cut the upright crop of a face, with a margin for ``augment``.

    Args:
        path: the photo.
        anchors: (3, 2) photo pixels: eyes and mouth.
        max_pixels: refuse photos of more pixels.

    Returns:
        (C, C) luminance, C = 168, and the (2, 3) matrix from its pixels to the photo's.

    Raises:
        PhotoError: the photo cannot be read.
    """
    matrix = similarity(np.array(CROP_POINTS) * SIZE - 0.5 + MARGIN, anchors)
    luminance = upright_crop(read_photo(path, max_pixels=max_pixels).pixels, matrix, SIZE + 2 * MARGIN)
    return (luminance * 255).round().astype(np.uint8), matrix


def seen_views(images: Tensor, points: Tensor, trust: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Draw a jittered 112 px view of each crop: flip, rotation, scale, shift, light, blur, noise, occluders.

    Args:
        images: (B, 1, C, C) luminance in [0, 1].
        points: (B, 68, 2) crop pixels.
        trust: (B, 68).

    Returns:
        (B, 1, 112, 112), the points in its pixels, and the trust, mirrored with the points.
    """
    count, side = len(images), images.shape[-1]
    flip = torch.rand(count) < 0.5
    points, trust = points.clone(), trust.clone()
    points[flip, :, 0] = side - 1 - points[flip, :, 0]
    points[flip] = points[flip][:, MIRRORED]
    trust[flip] = trust[flip][:, MIRRORED]
    images = torch.where(flip[:, None, None, None], images.flip(3), images)

    angle = torch.randn(count) * 0.16
    scale = torch.exp(torch.randn(count) * 0.12)
    stretch = torch.exp(torch.randn(count) * 0.05)
    shift = torch.randn(count, 2) * 4.5
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    # View pixel -> crop pixel, about both centres.
    matrix = torch.stack(
        [torch.stack([cosine, -sine * stretch], 1), torch.stack([sine, cosine * stretch], 1)], 1
    )
    ticks = torch.arange(SIZE) - (SIZE - 1) / 2
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    view = torch.stack([x, y], 2).view(1, -1, 2)
    position = view @ matrix.transpose(1, 2) + shift[:, None]
    grid = (position / ((side - 1) / 2)).view(count, SIZE, SIZE, 2)
    images = functional.grid_sample(images, grid, align_corners=True, padding_mode="border")
    centred = points - (side - 1) / 2 - shift[:, None]
    points = centred @ torch.linalg.inv(matrix).transpose(1, 2) + (SIZE - 1) / 2
    return _worsened(images), points, trust


def _worsened(images: Tensor) -> Tensor:
    count = len(images)

    def draw() -> Tensor:
        return torch.rand(count, 1, 1, 1)

    gamma = torch.exp((draw() - 0.5) * 1.6)
    images = images.clamp(1e-3, 1) ** gamma
    ramp = torch.linspace(-1, 1, SIZE)
    light = (draw() - 0.5) * ramp.view(1, 1, 1, -1) + (draw() - 0.5) * ramp.view(1, 1, -1, 1)
    images = images * (1 + 0.9 * light) * (0.4 + 0.9 * draw()) + (draw() - 0.5) * 0.3
    soft = functional.avg_pool2d(functional.pad(images, (2, 2, 2, 2), mode="replicate"), 5, 1)
    images = torch.lerp(images, soft, (draw() * 2.6 - 1.2).clamp(-0.8, 1))
    # Drawings and statues show little but outlines: sometimes only local contrast, or a few grey levels.
    levels = 3 + (draw() * 4).floor()
    images = torch.where(draw() < 0.06, (images * levels).round() / levels, images)
    images = torch.where(draw() < 0.06, 0.5 + 3 * (images - soft), images)
    images = images + torch.randn_like(images) * 0.06 * draw()
    for _ in range(2):
        centre = torch.rand(count, 2) * SIZE
        reach = 4 + torch.rand(count, 2) * 18
        ticks = torch.arange(SIZE)
        inside = ((ticks - centre[:, :1]).abs() < reach[:, :1])[:, None, None, :] & (
            (ticks - centre[:, 1:]).abs() < reach[:, 1:]
        )[:, None, :, None]
        images = torch.where(inside & (draw() < 0.15), draw().expand_as(images), images)
    return images
