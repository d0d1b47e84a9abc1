import numpy as np
import pytest
import torch

from sargan_core.faces.eyes import EYES, eye_regions
from sargan_core.faces.teeth_light import teeth_light

SIZE = 256
PLAIN = np.array([0.62, 0.50, 0.455])


def landmarks():
    points = np.zeros((68, 2))
    corners = np.array([[-14, 0], [-6, -6], [6, -6], [14, 0], [6, 6], [-6, 6]])
    for eye, middle in zip(EYES, (90, 166), strict=True):
        points[list(eye)] = corners + np.array([middle, 82])
    points[[48, 54]] = [[100, 165], [156, 165]]
    return points


def light(skin, white, **more):
    points = landmarks()
    image = torch.from_numpy(skin).float()[:, None, None].expand(3, SIZE, SIZE).clone()
    image[:, eye_regions(points, SIZE)] = torch.from_numpy(white).float()[:, None]
    return teeth_light(image, points, **more)


def redness(colour):
    return float(np.log(colour[0] / colour[1]))


def test_brighter_whites_mean_more_light():
    dim, bright = (light(PLAIN * 0.8, PLAIN.mean() * level * np.ones(3)) for level in (0.8, 1.4))
    assert dim.mean() < bright.mean()


def test_in_warm_light_teeth_are_warmer_than_whites_without_colour():
    warm = light(PLAIN * [1.2, 1.0, 0.7], np.full(3, 0.6))
    assert 0.05 < redness(warm) < 0.5 * redness(PLAIN * [1.2, 1.0, 1.0])
    assert warm[2] < warm[1]


def test_in_plain_light_the_skin_adds_no_colour():
    faint = np.array([0.62, 0.58, 0.575])
    assert redness(light(PLAIN, faint)) == pytest.approx(redness(faint), abs=0.02)


def test_whites_as_red_as_the_skin_are_not_believed():
    skin = PLAIN * [1.3, 1.0, 0.8]
    assert redness(light(skin, skin)) < 0.5 * redness(skin)


def test_covered_eyes_leave_the_skin_to_tell():
    dark, bright = (light(PLAIN * level, np.zeros(3), hidden=True) for level in (0.4, 1.0))
    assert 0.1 < dark.mean() < bright.mean()
