"""Training of the small parts beside the networks: closed eyelids, and the shading that goes with a movement."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from sargan_core.data.crop_table import CropSet
from sargan_core.data.samples import SYNTH
from sargan_core.faces.blur import gaussian_blur
from sargan_core.faces.eyes import eyes_region
from sargan_core.faces.masks import face_mask
from sargan_core.faces.motion import Seen, carry
from sargan_core.faces.mouth import lips_region
from sargan_core.models.aipgan.parts import (
    LIMITS,
    LidsNetwork,
    Shading,
    eye_patches,
    shut_lids,
)
from sargan_core.outcome import Progress

Points = npt.NDArray[np.float64]
STEPS, BATCH, RATE = 500, 64, 2e-3
# Standard deviation of the noise on the landmarks, in pixels of a 128 px crop.
LIDS_JITTER = 0.8
# How many faces get their eyes closed artificially, and how many more are used as they are.
SHUT, OPEN = 500, 1500
# Fraction of the way to closed from which an eye counts as closed.
CLOSED = 0.8


def lid_patches(
    crops: CropSet, seed: int = 0, progress: Progress = lambda done, total: None
) -> tuple[Tensor, Tensor]:
    """Return patches of eyes (N, 2, 24, 32) and whether each is closed (N,), from training people.

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
        # Landmark networks place the lids of closed eyes as if these were open.
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


# Principal components of the motion of the landmarks.
WAYS = 20
# Added to the luminance before its logarithm, so that noise in dark hair has little weight.
FLOOR = 0.04
# Standard deviation of the blur of the change, in pixels of a 128 px crop: narrower folds are left to the skin's grain.
BLUR = 1.0
# Weight of the lips, which have a colour of their own.
LIPS_SHARE = 0.35
# Ridge penalty as a fraction of the mean variance of a component.
PENALTY = 0.02


def fit_shading(crops: CropSet, progress: Progress = lambda done, total: None) -> Shading:
    """Fit the shading to people with a neutral crop and one with an expression.

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


def _log_change(crops: CropSet, row: int) -> Tensor:
    """Return log(luminance after / before), the landmarks of before moved to those of after; (S, S), 0 off the face."""
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


def seen(crops: CropSet, row: int) -> Seen:
    """Return one crop with its landmarks."""
    return Seen(crops.pictures([row]), crops.landmarks[row].astype(np.float64))


def _light(image: Tensor) -> Tensor:
    weights = image.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (image * weights).sum(1, keepdim=True)
