"""Training of the network that sees shut eyes: nobody in the data shuts theirs, so some are shut by moving the lids."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sargan_core.data.samples import SYNTH
from sargan_core.faces.carry import Seen, carry
from sargan_core.models.lids import LidsNetwork, eye_patches, shut_lids
from sargan_core.progress import Progress
from sargan_core.training.aipgan_data import ExpressionCrops
from sargan_core.training.shading import seen

STEPS, BATCH, RATE = 500, 64, 2e-3
# Spread of the corners' finding error, in pixels of a 128 px crop.
JITTER = 0.8
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
        noise = rng.normal(0, JITTER * crops.template.size / 128, (68, 2))
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
