"""A tiny packed set, and the call that trains on it in a second."""

from pathlib import Path

import torch

from sargan_core.models.sargan.data import CropPairs, face_mask, sargan_template

SIZE = 64


def write_pack(file: Path, held_out: tuple[str, ...] = ("p0",)) -> Path:
    """Write three people with seven expressions of noise each."""
    random = torch.Generator().manual_seed(5)
    crops = torch.randint(0, 256, (21, 3, SIZE, SIZE), generator=random, dtype=torch.uint8)
    persons = tuple(f"p{index // 7}" for index in range(21))
    pairs = torch.tensor([(7 * p + 4, 7 * p + label) for p in range(3) for label in range(7)])
    ones = torch.ones(len(pairs))
    labels = torch.arange(7).repeat(3)
    data = CropPairs(
        crops, persons, labels, pairs, ones, ones, face_mask(SIZE), sargan_template(SIZE), held_out=held_out
    )
    data.save(file)
    return file


def arguments(packed: Path, out: Path, *more: str) -> list[str]:
    """Return the arguments of a training of the smallest network."""
    small = ["--size", str(SIZE), "--width", "4", "--batch", "2", "--device", "cpu"]
    return ["train", "--data", str(packed), "--out", str(out), *small, *more]
