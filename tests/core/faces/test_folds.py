"""Skin that is pushed together folds along the lines that it has, and along no others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sargan_core.faces.folds import compression, with_folds

SIZE = 256
# Landmarks far from the middle of the crop, where the drawn skin is.
AWAY = np.full((68, 2), 20.0)
EVERYWHERE = torch.ones(1, 1, SIZE, SIZE)


def squeezed(share: float, *, upright: bool = True) -> torch.Tensor:
    """Return a backward field that shortens everything by a share of its length along one axis."""
    ticks = (torch.arange(SIZE) - SIZE / 2) * share / (1 - share)
    field = torch.zeros(1, 2, SIZE, SIZE)
    if upright:
        field[:, 1] = ticks[:, None]
    else:
        field[:, 0] = ticks
    return field


def skin(*, level: bool | None = True, noise: float = 0.0) -> torch.Tensor:
    """Return skin with faint level lines, upright ones, or none."""
    rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    picture = torch.full((SIZE, SIZE), 0.6)
    if level is not None:
        place = rows if level else columns
        for at in range(90, 170, 16):
            picture -= 0.03 * torch.exp(-((place - at) ** 2) / 4.0)
    picture = picture + noise * torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    return picture.expand(1, 3, -1, -1).contiguous()


def change(picture: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Return what folds change in the middle of the crop."""
    return (with_folds(picture, picture, flow, AWAY, EVERYWHERE) - picture)[0, 0, 80:180, 80:180]


@pytest.mark.parametrize("upright", [True, False])
def test_compression_is_measured(upright: bool):
    inner = slice(60, 196), slice(60, 196)
    push, level, steep = compression(squeezed(0.2, upright=upright), inner)
    assert np.allclose(push, 0.2, atol=0.01)
    # Of twice the angle: the cosine is 1 along x, -1 along y.
    assert np.allclose(level, -1.0 if upright else 1.0, atol=1e-3)
    assert np.allclose(steep, 0, atol=0.04)
    stretched = compression(squeezed(-0.2, upright=upright), inner)[0]
    assert np.abs(stretched).max() < 1e-4
    assert np.array_equal(compression(squeezed(0.2, upright=upright))[0][inner], push)


def test_lines_across_the_push_deepen_and_others_do_not():
    across = change(skin(level=True), squeezed(0.2))
    assert across.min() < -0.02
    assert across.max() < 0.025
    along = change(skin(level=False), squeezed(0.2))
    assert along.abs().max() < 0.1 * across.abs().max()


def test_the_stronger_the_push_the_deeper():
    depths = [float(change(skin(), squeezed(share)).min()) for share in (0.03, 0.08, 0.14)]
    assert depths[0] > depths[1] > depths[2]


def test_skin_that_is_stretched_along_its_lines_folds_less():
    pushed, stretched = squeezed(0.2), squeezed(-0.1, upright=False)
    loose, taut, tighter = (
        change(skin(level=True), flow).min()
        for flow in (pushed, pushed + stretched, pushed + squeezed(-0.3, upright=False))
    )
    assert loose < taut - 0.005
    assert tighter == 0


def test_smooth_and_rough_skin_get_no_folds():
    assert change(skin(level=None), squeezed(0.2)).abs().max() < 1e-3
    rough = skin(level=None, noise=0.02)
    assert change(rough, squeezed(0.2)).std() < 0.25 * rough[0, 0].std()


def test_a_mole_among_lines_is_not_drawn_out_into_one():
    rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    mole = 0.3 * torch.exp(-((rows - 122) ** 2 + (columns - 128) ** 2) / 8.0)
    lined, flow = skin(level=True), squeezed(0.2)
    drawn = (change(lined - mole, flow) - change(lined, flow))[42]
    assert drawn[:40].abs().max() < 0.01
    assert drawn[57:].abs().max() < 0.01


def test_without_a_push_nothing_changes():
    picture = skin()
    still = torch.zeros(1, 2, SIZE, SIZE)
    assert with_folds(picture, picture, still, AWAY, EVERYWHERE) is picture
    assert torch.equal(with_folds(picture, picture, squeezed(0.2), AWAY, 0 * EVERYWHERE), picture)


@pytest.mark.parametrize("rows", [1, 3, 9])
def test_folds_of_a_sliver_of_skin_are_worked_out_too(rows: int):
    mask = torch.zeros_like(EVERYWHERE)
    mask[:, :, 100 : 100 + rows, 60:200] = 1
    crop = skin()
    made = with_folds(crop, crop, squeezed(0.3), AWAY, mask)
    assert torch.isfinite(made).all()
    assert torch.equal(made[:, :, :90], crop[:, :, :90])


def test_skin_that_is_pushed_from_all_sides_stays_finite():
    ticks = (torch.arange(SIZE) - SIZE / 2) * 0.25
    field = torch.zeros(1, 2, SIZE, SIZE)
    field[0, 0, 40:160, 40:160] = ticks[40:160]
    field[0, 1, 40:160, 40:160] = ticks[40:160, None]
    picture = skin()
    assert torch.isfinite(with_folds(picture, picture, field, AWAY, EVERYWHERE)).all()
    push, level, steep = compression(field)
    assert np.allclose(np.hypot(level, steep), 1, atol=1e-5)
    assert push.max() > 0.1
