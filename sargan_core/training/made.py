"""Made pictures to measure a step on: a step takes as long whatever they show."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sargan_core.expressions import LABELS
from sargan_core.faces.face import Template
from sargan_core.models.aipgan.bank import TransferBank
from sargan_core.models.judge.network import TEMPLATE
from sargan_core.models.judge.task import JudgeData
from sargan_core.models.landmarks.network import SIZE
from sargan_core.models.landmarks.task import MARGIN
from sargan_core.models.sargan.data import CropPairs, face_mask
from sargan_core.training.shape import affine_template

COUNT = len(LABELS)


def made_pairs(template: Template) -> CropPairs:
    """Return one person with every expression and all pairs among them."""
    labels = torch.arange(COUNT)
    pairs = torch.cartesian_prod(labels, labels)
    ones = torch.ones(len(pairs))
    mask = face_mask(template.size)
    return CropPairs(_noise(template.size), ("made",) * COUNT, labels, pairs, ones, ones, mask, template)


def made_bank(size: int) -> TransferBank:
    """Return two people's triples of crops of ``size`` pixels."""
    points = torch.rand(COUNT, 68, 2, generator=_random())
    order = torch.arange(COUNT)
    triples = torch.stack([order, order.roll(1), order.roll(2)], 1)
    crops = _noise(size)
    neutral = torch.zeros(COUNT, dtype=torch.int64)
    return TransferBank(
        affine_template(size), crops, points, order, order % 2, neutral, triples, crops.clone()
    )


def made_judge_data(people: int) -> JudgeData:
    """Return crops of ``people`` people, of whom one is shown."""
    where = torch.zeros(COUNT, dtype=torch.int64)
    names = tuple(f"p{number}" for number in range(max(1, people)))
    chances = torch.ones(COUNT, dtype=torch.float64)
    return JudgeData(_noise(TEMPLATE.size), torch.arange(COUNT), where, where.bool(), chances, names)


def made_landmark_crops() -> tuple[Any, Any, Any, Any]:
    """Return crops, points, weights and chances as ``train_landmarks`` takes them."""
    side = SIZE + 2 * MARGIN
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (COUNT, side, side), dtype=np.uint8)
    points = (rng.random((COUNT, 68, 2)) * side).astype(np.float32)
    return crops, points, np.ones((COUNT, 68), np.float32), np.ones(COUNT)


def _noise(size: int) -> Tensor:
    return torch.randint(0, 256, (COUNT, 3, size, size), generator=_random(), dtype=torch.uint8)


def _random() -> torch.Generator:
    return torch.Generator().manual_seed(0)
