import numpy as np
import pytest
import torch

from sargan_core.faces.face import Face
from sargan_core.faces.landmarks import MIRRORED
from sargan_core.models.landmarks.data import LandmarkPictures
from sargan_core.models.landmarks.finder import BuiltinLandmarks
from sargan_core.models.landmarks.lesson import Lesson, inverse, jittered, point_loss, upright
from sargan_core.models.landmarks.network import (
    EYE_POINTS,
    PATCH,
    SIZE,
    FaceNetwork,
    PatchNetwork,
    eye_frame,
    mouth_frame,
)
from sargan_core.training.augment import degrade, sample_views
from sargan_core.training.loop import Schedule, fit


def test_mirroring_twice_is_nothing():
    assert [MIRRORED[point] for point in MIRRORED] == list(range(68))


@pytest.mark.parametrize(
    ("network", "size", "points"), [(FaceNetwork(), SIZE, 68), (PatchNetwork(11), PATCH, 11)]
)
def test_networks_answer_inside_their_crop_and_ignore_brightness(network, size, points):
    network.eval()
    torch.manual_seed(0)
    crops = torch.rand(2, 1, size, size)
    with torch.inference_mode():
        found = network(crops)
        darker = network(0.3 * crops + 0.1)
    assert found.shape == (2, points, 2)
    assert found.min() >= 0
    assert found.max() <= size - 1
    assert torch.allclose(found, darker, atol=0.01)


def faces(count: int = 12) -> LandmarkPictures:
    """Pictures of a few bright spots where eyes, brows and lips of a turned and moved face would be."""
    torch.manual_seed(0)
    side = 224
    ring = torch.linspace(0, 2 * np.pi, 69)[:68, None]
    shape = torch.cat([30 * ring.cos(), 42 * ring.sin()], 1)
    for listed, centre, reach in (
        (range(17, 22), (-25, -30), 10),
        (range(22, 27), (25, -30), 10),
        (range(36, 42), (-25, -15), 7),
        (range(42, 48), (25, -15), 7),
        (range(48, 68), (0, 35), 15),
    ):
        turn = torch.linspace(0, 2 * np.pi, len(listed) + 1)[:-1, None]
        shape[list(listed)] = torch.tensor(centre) + reach * torch.cat([turn.cos(), 0.6 * turn.sin()], 1)
    points = side / 2 + shape[None] + torch.randint(-12, 13, (count, 1, 2))
    ticks = torch.arange(side)
    across = torch.exp(-((ticks - points[..., :1]) ** 2) / 6)
    down = torch.exp(-((ticks - points[..., 1:]) ** 2) / 6)
    images = torch.einsum("npx,npy->nyx", across, down).clamp(0, 1)[:, None]
    return LandmarkPictures(
        images=(40 + 200 * images).byte()[:, 0].numpy(),
        landmarks=points.float().numpy(),
        trust=np.ones((count, 68), np.float32),
        kind=np.zeros(count, np.int64),
        chances=np.ones(count),
    )


def points_of(count: int) -> torch.Tensor:
    return torch.from_numpy(faces(count).landmarks)


def test_views_show_points_where_the_matrix_says():
    data = faces(4)
    images, points = data.pictures(range(4))[:, None], torch.from_numpy(data.landmarks)
    matrix = jittered(upright(points, SIZE), SIZE, shift=4.5, turn=0.16, zoom=0.13)
    views, moved = sample_views(images, matrix, SIZE), inverse(matrix, points)
    x, y = moved[:, 36:].round().long().clamp(0, SIZE - 1).unbind(2)
    at_points = torch.stack([view[0][y[row], x[row]] for row, view in enumerate(views)])
    assert at_points.mean() > views.mean() + 0.2


def test_spoilt_views_stay_pictures_and_differ():
    torch.manual_seed(3)
    for channels in (1, 3):
        picture = torch.rand(1, channels, PATCH, PATCH).expand(12, -1, -1, -1)
        spoilt = degrade(picture)
        assert spoilt.shape == picture.shape
        assert spoilt.min() >= 0
        assert spoilt.max() <= 1
        assert (spoilt[0] - spoilt[1]).abs().mean() > 0.01


def test_frames_of_mouth_and_eye_hold_their_points():
    points = points_of(3)
    for frame, listed in ((mouth_frame, range(48, 68)), (eye_frame, EYE_POINTS)):
        centre, side = frame(points)
        away = (points[:, list(listed)] - centre[:, None]).abs().amax((1, 2))
        assert (away < 0.45 * side).all()


def test_a_mouth_that_should_be_open_costs_though_each_point_is_near():
    truth = points_of(1)
    found = truth.clone()
    found[:, 61:64, 1] += 1
    found[:, 65:68, 1] -= 1
    moved = truth.clone()
    moved[:, 61:68, 1] += 1
    every = tuple(range(68))
    trust = torch.ones(1, 68)
    assert point_loss(found, truth, trust, every) > point_loss(moved, truth, trust, every)


def test_training_learns_and_is_repeatable():
    data = faces()
    losses: list[list[float]] = [[], []]
    trained = []
    for run in losses:
        torch.manual_seed(0)
        taught = Lesson(data, 4)
        with torch.no_grad():
            run.append(float(taught.loss()))
        fit(taught, taught.loss, Schedule(25, 3e-3), lambda step, loss, run=run: run.append(loss))
        trained.append(taught.networks.face.heat.weight.detach())
    assert losses[0][-1] < 0.8 * losses[0][0]
    assert losses[0] == losses[1]
    assert torch.equal(*trained)


def test_a_training_ends_in_time():
    taught = torch.nn.Linear(2, 1)
    made = fit(taught, lambda: taught(torch.ones(3, 2)).square().mean(), Schedule(10**9, 1e-2, minutes=0.005))
    assert 1 < made < 10**6
    assert abs(float(taught(torch.ones(1, 2)).detach())) < 0.5
    assert not taught.training


class Fixed(torch.nn.Module):
    """Answers with the places of points of an upright crop, whatever it is shown."""

    def __init__(self, places: torch.Tensor) -> None:
        super().__init__()
        self.places = places

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return self.places.expand(len(crops), -1, -1)


def test_what_is_seen_closer_comes_back_to_the_photo_in_its_place():
    """A symmetric face whose networks know where its points lie is found where it is, brows and lips too."""
    points = points_of(1)[0].numpy().astype(np.float64)
    middle = np.array([2 * points[:, 0].mean(), 0])
    points = (points + middle + points[list(MIRRORED)] * [-1, 1]) / 2
    level = inverse(upright(torch.tensor(points)[None].float(), SIZE), torch.tensor(points)[None].float())

    class Networks(torch.nn.Module):
        face = Fixed(level)
        mouth: torch.nn.Module
        eye: torch.nn.Module

    networks = Networks()
    for name, frame, listed in (("mouth", mouth_frame, range(48, 68)), ("eye", eye_frame, EYE_POINTS)):
        centre, side = frame(level)
        places = (level[:, list(listed)] - centre[:, None]) * PATCH / side[:, None, None] + (PATCH - 1) / 2
        setattr(networks, name, Fixed(places))
    eyes = [points[36:42].mean(0), points[42:48].mean(0)]
    anchors = np.array([*eyes, points[27:36].mean(0), points[48], points[54]], np.float32)
    face = Face((60.0, 60.0, 100.0, 100.0), 1.0, anchors)
    found = BuiltinLandmarks(networks=networks).landmarks(np.zeros((224, 224, 3), np.uint8), face)
    assert np.abs(found - points).max() < 0.5
