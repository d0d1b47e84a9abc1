"""Upright crops of the neutral network: points go where the picture goes; the shipped network can be started from."""

import numpy as np
import pytest
import torch

from sargan_core.errors import WeightsError
from sargan_core.models.aipgan import neutral
from sargan_core.models.aipgan.neutral import seen_views, start_neutral
from sargan_core.models.landmarks.network import SIZE
from sargan_core.weights import find_record, load_tensors

SIDE = SIZE + 40


def spots(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey crops with one bright spot, on which all 68 points lie."""
    rng = np.random.default_rng(0)
    crops = np.full((count, SIDE, SIDE), 60, np.uint8)
    places = rng.uniform(SIDE / 2 - 12, SIDE / 2 + 12, (count, 2))
    ticks = np.arange(SIDE)
    for crop, (x, y) in zip(crops, places, strict=True):
        crop += (150 * np.exp(-((ticks[None] - x) ** 2 + (ticks[:, None] - y) ** 2) / 30)).astype(np.uint8)
    return crops, np.repeat(places[:, None], 68, axis=1).astype(np.float32)


def test_augmented_points_still_lie_on_what_they_mark():
    torch.manual_seed(1)
    crops, points = spots(16)
    images = torch.from_numpy(crops).float()[:, None] / 255
    views, moved, _ = seen_views(images, torch.from_numpy(points), torch.ones(16, 68))
    hits = 0
    for view, places in zip(views, moved, strict=True):
        soft = torch.nn.functional.avg_pool2d(view[None], 9, 1, 4)[0, 0]
        y, x = divmod(int(soft.argmax()), SIZE)
        hits += float((places[0] - torch.tensor([x, y])).norm()) < 6
    # Occluders and inverted contrast hide the spot in some views.
    assert hits >= 10


def test_training_starts_from_the_whole_trunk_of_the_shipped_network():
    started, shipped = start_neutral().state_dict(), load_tensors(find_record("aipgan"))
    trunk = [name for name in started if name.startswith("at_") and "num_batches" not in name]
    assert len(trunk) > 30
    assert all(torch.equal(value, start_neutral().state_dict()[name]) for name, value in started.items())
    assert not torch.equal(started["features.0.weight"], start_neutral(1).state_dict()["features.0.weight"])
    for name in trunk:
        assert torch.equal(started[name], shipped[f"neutral.{name}"].float())


def test_weights_without_a_neutral_network_are_refused(monkeypatch):
    monkeypatch.setattr(neutral, "load_tensors", lambda record: {})
    with pytest.raises(WeightsError, match="no neutral network"):
        start_neutral()
