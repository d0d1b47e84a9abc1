import numpy as np
import torch

from sargan_core.faces.landmarks import MIRRORED
from sargan_core.models.landmarks.network import SIZE, LandmarkNetwork
from sargan_core.models.landmarks.task import LandmarkOptions, augment, train_landmarks

SIDE = SIZE + 40


def test_mirroring_twice_is_nothing():
    assert [MIRRORED[point] for point in MIRRORED] == list(range(68))


def test_network_answers_inside_its_crop_and_ignores_brightness():
    torch.manual_seed(0)
    network = LandmarkNetwork().eval()
    crops = torch.rand(2, 1, SIZE, SIZE)
    with torch.inference_mode():
        points = network(crops)
        darker = network(0.3 * crops + 0.1)
    assert points.shape == (2, 68, 2)
    assert points.min() >= 0
    assert points.max() <= SIZE - 1
    assert torch.allclose(points, darker, atol=0.01)


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
    views, moved, _ = augment(images, torch.from_numpy(points), torch.ones(16, 68))
    hits = 0
    for view, places in zip(views, moved, strict=True):
        soft = torch.nn.functional.avg_pool2d(view[None], 9, 1, 4)[0, 0]
        y, x = divmod(int(soft.argmax()), SIZE)
        hits += float((places[0] - torch.tensor([x, y])).norm()) < 6
    # Occluders and inverted contrast hide the spot in some views.
    assert hits >= 10


def test_training_learns_and_is_repeatable():
    crops, points = spots(32)
    options = LandmarkOptions(steps=30, batch=8, learning_rate=3e-3)
    losses: list[list[float]] = [[], []]
    trained = []
    for run in losses:
        network = train_landmarks(
            crops,
            points,
            np.ones((32, 68), np.float32),
            np.ones(32),
            options,
            progress=lambda step, loss, run=run: run.append(loss),
        )
        trained.append(network.state_dict()["heat.weight"])
    assert np.mean(losses[0][-8:]) < 0.7 * np.mean(losses[0][:4])
    assert losses[0] == losses[1]
    assert torch.equal(*trained)
