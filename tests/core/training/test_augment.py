"""Augmentation: the same for input and truth, repeatable, within range."""

from dataclasses import fields, replace

import pytest
import torch

from sargan_core.training.augment import FLIP, NONE, AugmentSettings, augment

ODDS = [field.name for field in fields(AugmentSettings) if field.name.endswith("_odds")]
ALWAYS = AugmentSettings(**dict.fromkeys(ODDS, 1.0))


def pictures(count: int = 4, side: int = 40) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(3))


def random(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("settings", [AugmentSettings(), ALWAYS], ids=["default", "always"])
def test_equal_pictures_stay_equal(settings: AugmentSettings):
    one, other = augment((pictures(), pictures()), settings, random())
    assert torch.equal(one, other)


@pytest.mark.parametrize("settings", [AugmentSettings(), ALWAYS], ids=["default", "always"])
def test_range_and_repeatability(settings: AugmentSettings):
    (one,) = augment((pictures(),), settings, random())
    (other,) = augment((pictures(),), settings, random())
    assert torch.equal(one, other)
    assert one.min() >= 0
    assert one.max() <= 1
    assert one.shape == (4, 3, 40, 40)


def test_nothing_asked_nothing_changed():
    (one,) = augment((pictures(),), NONE, random())
    torch.testing.assert_close(one, pictures(), atol=1e-5, rtol=0)


def test_flip_is_a_mirror_image():
    (one,) = augment((pictures(),), replace(FLIP, flip_odds=1.0), random())
    torch.testing.assert_close(one, pictures().flip(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", [name for name in ODDS if name != "flip_odds"])
def test_every_kind_does_something(name: str):
    (one,) = augment((pictures(),), replace(NONE, **{name: 1.0}), random())
    assert (one - pictures()).abs().mean() > 1e-3


def test_grey_has_no_hue_but_a_tint():
    (one,) = augment((pictures(),), replace(NONE, grey_odds=1.0), random())
    inside = (one[0] > 0.01) & (one[0] < 0.99)
    ratio = (one[0, 0] / one[0, 1])[inside[:2].all(0)]
    assert ratio.std() < 1e-4


def test_jpeg_leaves_a_flat_picture_nearly_flat():
    flat = torch.full((1, 3, 40, 40), 0.5)
    (one,) = augment((flat,), replace(NONE, jpeg_odds=1.0), random())
    assert (one - flat).abs().max() < 0.03


def test_a_mask_follows_the_geometry_and_nothing_else():
    mask = torch.zeros(4, 3, 40, 40)
    mask[:, :, 10:20, 5:15] = 1
    bright = mask * 0.5 + 0.25
    draw, twin = random(7), random(7)
    (moved,) = augment((bright,), replace(NONE, rotation=5.0, shift=0.05, flip_odds=0.5), draw)
    (shape,) = augment((mask,), AugmentSettings(rotation=5.0, shift=0.05, zoom=0.0).geometric(), twin)
    torch.testing.assert_close(moved, shape * 0.5 + 0.25, atol=1e-4, rtol=0)
