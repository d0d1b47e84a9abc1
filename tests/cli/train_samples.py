"""A tiny packed set, and the call that trains on it in a second."""

from pathlib import Path

import numpy as np

from sargan_core.models.sargan.data import CropPairs, face_weight, sargan_template
from sargan_core.training.plan import random_crops

SIZE = 64


def write_pack(file: Path, held_out: tuple[str, ...] = ("p0",)) -> Path:
    """Write three people with seven expressions of noise each."""
    pairs = np.array([(7 * p + 4, 7 * p + label) for p in range(3) for label in range(7)])
    ones = np.ones(len(pairs), np.float32)
    data = CropPairs(
        template=sargan_template(SIZE),
        images=random_crops(SIZE, 21),
        persons=np.array([f"p{index // 7}" for index in range(21)]),
        labels=np.tile(np.arange(7), 3),
        pairs=pairs,
        odds=ones,
        trust=ones,
        mask=face_weight(SIZE),
        held_out=np.array(held_out),
    )
    data.save(file)
    return file


def arguments(packed: Path, out: Path, *more: str) -> list[str]:
    """Return the arguments of a training of the smallest network."""
    small = ["--size", str(SIZE), "--width", "4", "--batch", "2", "--device", "cpu"]
    return ["train", "--data", str(packed), "--out", str(out), *small, *more]
