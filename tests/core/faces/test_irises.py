"""Irises are found as discs, and stay discs where lids move over them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sargan_core.faces.eyes import EYES
from sargan_core.faces.irises import Iris, find_iris, with_round_irises
from sargan_core.faces.warp import positions, sample, spline_field

SIZE = 256
MIDDLES = ((90.0, 80.0), (166.0, 80.0))
RADIUS = 7.5


def lids(height: float) -> np.ndarray:
    """Return 68 landmarks of which only those of the eyes count, with lids ``height`` above and below the middle."""
    points = np.full((68, 2), 128.0)
    for eye, (x, y) in zip(EYES, MIDDLES, strict=True):
        aside = np.array([-15, -7, 7, 15, 7, -7.0])
        above = np.array([0, -1, -1, 0, 1, 1.0]) * height
        points[list(eye)] = np.stack([x + aside, y + above], 1)
    return points


def face(*, shut: bool = False) -> torch.Tensor:
    """Return a drawn face of skin, white almonds and dark irises with a catch light, (1, 3, S, S)."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(float)
    light = np.full((SIZE, SIZE), 0.6)
    for x, y in MIDDLES if not shut else ():
        opening = 7.0 * np.sqrt(np.clip(1 - ((columns - x) / 16) ** 2, 0, 1))
        white = np.clip(opening - np.abs(rows - y) + 0.5, 0, 1) * (opening > 0)
        disc = np.clip(RADIUS - np.hypot(columns - x, rows - y) + 0.5, 0, 1)
        light = light + white * (0.85 - light)
        light = light + white * disc * (0.2 - light)
        light[np.hypot(columns - x - 2, rows - y + 2) < 1] = 1.0
    return torch.from_numpy(light).float().expand(1, 3, -1, -1).contiguous()


def lid_field(before: float, after: float) -> torch.Tensor:
    own, goal = lids(before), lids(after)
    eyes = [point for eye in EYES for point in eye]
    return torch.from_numpy(spline_field(goal[eyes], (own - goal)[eyes], SIZE))[None]


def found(image: torch.Tensor, height: float = 4.5) -> list[Iris]:
    return [find_iris(image[0], lids(height), eye) for eye in EYES]


def test_irises_are_found():
    for iris, (x, y) in zip(found(face()), MIDDLES, strict=True):
        assert iris.certainty == 1
        assert np.hypot(iris.x - x, iris.y - y) < 0.4
        assert abs(iris.radius - RADIUS) < 0.06 * RADIUS
        assert iris.above > 0.6 * RADIUS
        assert iris.below > 0.8 * RADIUS


def test_where_there_is_no_iris_the_field_stays():
    image = face(shut=True)
    assert [iris.certainty for iris in found(image)] == [0, 0]
    field = lid_field(4.5, 7.0)
    assert torch.equal(with_round_irises(image, lids(4.5), field), field)
    unknown = np.full((68, 2), np.nan)
    assert with_round_irises(image, unknown, field) is field


@pytest.mark.parametrize("after", [3.0, 6.0, 7.5])
def test_rings_stay_rings_where_lids_open_and_shut(after: float):
    field = lid_field(4.5, after)
    held = with_round_irises(face(), lids(4.5), field)
    for stretched, flow in ((True, field), (False, held)):
        source = positions(flow)[0].numpy()
        rows, columns = np.mgrid[0:SIZE, 0:SIZE]
        x, y = MIDDLES[0]
        aside, above = columns - x, rows - y
        # Inside of the opening as it is after the edit, within the iris.
        seen = (np.hypot(aside, above) < RADIUS) & (np.abs(above) < after - 1)
        off = np.hypot(aside, above) - np.hypot(source[0] - x, source[1] - y)
        assert (np.abs(off[seen]).max() > 0.3) == stretched


def test_a_wide_eye_shows_a_round_iris_and_no_skin_in_it():
    image = face()
    field = with_round_irises(image, lids(4.5), lid_field(4.5, 7.5))
    edited = sample(image, positions(field))[0, 0].numpy()
    x, y = MIDDLES[0]
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    distance = np.hypot(columns - x, rows - y)
    seen = np.abs(rows - y) < 7
    assert edited[(distance < RADIUS - 1.5) & seen].mean() < 0.3
    # The catch light is where it was.
    assert edited[int(y) - 2, int(x) + 2] > 0.9


def test_nothing_moves_where_the_lids_do_not():
    still = torch.zeros(1, 2, SIZE, SIZE)
    held = with_round_irises(face(), lids(4.5), still)
    assert held.dtype == still.dtype
    assert held.abs().max() < 1e-3


def test_far_from_the_eyes_the_field_is_the_same():
    field = lid_field(4.5, 7.5)
    held = with_round_irises(face(), lids(4.5), field)
    assert torch.equal(held[..., 110:, :], field[..., 110:, :])
