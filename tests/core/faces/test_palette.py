import numpy as np
import pytest
import torch

from sargan_core.faces.align import Alignment
from sargan_core.faces.face import EditedCrops, Template
from sargan_core.faces.palette import in_own_colours
from sargan_core.faces.tone import luma

SIZE = 96
TEMPLATE = Template(SIZE, "similarity", (0.35, 0.3), (0.65, 0.3), (0.5, 0.65))
TINT = torch.tensor([1.3, 1.0, 0.5])
SPOT = np.s_[:, :, 21:25, 45:51]
MOUTH = np.s_[:, :, 66:70, 42:54]


@pytest.fixture
def alignment():
    points = np.full((68, 2), 48.0, np.float32)
    turns = np.linspace(0, np.pi, 17)
    points[:17] = np.stack([48 - 42 * np.cos(turns), 30 + 60 * np.sin(turns)], 1)
    points[17:27] = np.stack([np.linspace(18, 78, 10), np.full(10, 15)], 1)
    turns = np.linspace(0, 2 * np.pi, 13)[:-1]
    points[48:60] = np.stack([48 - 16 * np.cos(turns), 68 - 8 * np.sin(turns)], 1)
    turns = np.linspace(0, 2 * np.pi, 9)[:-1]
    points[60:] = np.stack([48 - 12 * np.cos(turns), 68 - 5 * np.sin(turns)], 1)
    return Alignment(TEMPLATE, np.array([[1.0, 0, 0], [0, 1, 0]]), landmarks=points)


@pytest.fixture
def crop():
    """Return a face in one strong tint, lit from the left, with a green spot on its forehead."""
    light = torch.linspace(0.85, 0.25, SIZE).expand(1, 1, SIZE, SIZE)
    crop = light * TINT.view(1, 3, 1, 1)
    crop = crop + 0.01 * torch.randn(crop.shape, generator=torch.Generator().manual_seed(0))
    crop[:, :, 20:26, 44:52] = torch.tensor([0.2, 0.6, 0.2]).view(1, 3, 1, 1)
    return crop.clamp(0, 1)


def edit(image, alignment):
    lips = torch.from_numpy(alignment.landmarks[48:])[None]
    return EditedCrops(image, torch.zeros(1, 2, SIZE, SIZE), lips=lips)


def test_a_grey_stain_on_a_tinted_face_gets_the_colour_of_its_shadows(crop, alignment):
    stain = np.s_[:, :, 50:60, 20:34]
    image = crop.clone()
    image[stain] = 0.5 * crop[stain] + 0.25
    held = in_own_colours(edit(image, alignment), crop, alignment).image
    wanted = TINT / float(luma(TINT.view(1, 3, 1, 1)))

    def off(picture):
        return float((picture / luma(picture) - wanted.view(1, 3, 1, 1))[stain].abs().mean())

    assert off(held) < 0.4 * off(image)
    assert torch.allclose(luma(held), luma(image), atol=1e-5)


def test_what_has_the_colours_of_the_face_is_left_alone(crop, alignment):
    image = crop * torch.linspace(1, 0.85, SIZE).view(1, 1, SIZE, 1)
    held = in_own_colours(edit(image, alignment), crop, alignment).image
    assert (held - image).abs().amax(1).mean() < 0.004
    assert torch.allclose(held[SPOT], image[SPOT], atol=0.02)
    assert torch.allclose(in_own_colours(edit(crop, alignment), crop, alignment).image, crop, atol=1e-5)


def test_a_shade_of_a_flushed_place_keeps_its_flush(crop, alignment):
    place = np.s_[:, :, 40:56, 60:74]
    flush = torch.tensor([0.08, -0.02, -0.03]).view(1, 3, 1, 1)
    crop = crop.clone()
    crop[place] += flush
    image = crop.clone()
    image[place] *= 0.8
    held = in_own_colours(edit(image, alignment), crop, alignment).image
    inner = np.s_[:, :, 44:52, 64:70]
    assert torch.allclose(held[inner], image[inner], atol=0.03)


def test_skin_over_a_spot_gets_none_of_its_colour(crop, alignment):
    image = crop.clone()
    image[SPOT] = crop[:, :, 30:34, 45:51]
    held = in_own_colours(edit(image, alignment), crop, alignment).image
    assert torch.allclose(held[SPOT], image[SPOT], atol=0.02)


def test_what_lies_between_the_lips_keeps_its_colours(crop, alignment):
    image = crop.clone()
    image[MOUTH] = torch.tensor([0.8, 0.8, 0.8]).view(1, 3, 1, 1)
    held = in_own_colours(edit(image, alignment), crop, alignment).image
    assert torch.allclose(held[MOUTH], image[MOUTH], atol=0.002)


def test_an_edit_that_moves_nothing_is_returned_itself(crop, alignment):
    edited = EditedCrops(torch.rand(1, 3, SIZE, SIZE))
    assert in_own_colours(edited, crop, alignment) is edited
