"""A tiny training set and task that train in milliseconds."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from sargan_core.models.sargan.data import CropPairs, face_weight, sargan_template, sheet_samples
from sargan_core.models.sargan.generator import DiscriminatorSettings, GeneratorSettings
from sargan_core.models.sargan.recipes import SarganTraining, paired_recipe, paper_recipe
from sargan_core.models.sargan.task import SarganTask

SIZE = 32
SETTINGS = GeneratorSettings(width=4, downs=2, size=SIZE)


def tiny_pairs(people: int = 4, size: int = SIZE) -> CropPairs:
    random = torch.Generator().manual_seed(5)
    crops = torch.randint(0, 256, (7 * people, 3, size, size), generator=random, dtype=torch.uint8)
    pairs = np.array([(7 * p + 4, 7 * p + label) for p in range(people) for label in range(7)])
    return CropPairs(
        template=sargan_template(size),
        images=crops.numpy(),
        persons=np.array([f"p{index // 7}" for index in range(7 * people)]),
        labels=np.tile(np.arange(7), people),
        pairs=pairs,
        odds=np.ones(len(pairs), np.float32),
        trust=np.where(np.arange(len(pairs)) % 5 == 0, 0.25, 1.0).astype(np.float32),
        mask=face_weight(size),
        held_out=np.array(["p0"]),
    )


def tiny_training(recipe: str = "paired", **changes: Any) -> SarganTraining:
    make = paper_recipe if recipe == "paper" else paired_recipe
    training = replace(
        make(SETTINGS, batch=2), discriminator=DiscriminatorSettings(width=4, layers=3, size=SIZE)
    )
    return replace(training, **({"adversarial_from": 3} if recipe == "paired" else {}), **changes)


def tiny_task(training: SarganTraining | None = None) -> SarganTask:
    data = tiny_pairs()
    training = training or tiny_training()
    samples = sheet_samples(data.test(), 3)
    return SarganTask(training, data.training(), samples, Fabric(accelerator="cpu", devices=1))
