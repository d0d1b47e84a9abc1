"""What is put into a photo is as sharp and as grainy as its face."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from test_blend import TEMPLATE, placed

from sargan_core.faces.align import Alignment, extract
from sargan_core.faces.face import EditedCrops, Template
from sargan_core.faces.grain import blur_of, grain_of, put_in, softened
from sargan_core.faces.inner_mouth import InnerMouth
from sargan_core.faces.paste import paste

FACE = Template(256, "affine", (0.35, 0.33), (0.65, 0.33), (0.5, 0.66))
# The face of the astronaut fills the crop.
PLACE = Alignment(FACE, np.array([[0.55, 0, 155.0], [0, 0.55, 50.0]]))
WHOLE = torch.ones(256, 256, dtype=torch.bool)


def face(blur: float = 0.0) -> torch.Tensor:
    """Return the crop of a face, blurred by so many of its pixels."""
    crop = cv2.resize(skimage.data.astronaut()[50:191, 155:296], (256, 256), interpolation=cv2.INTER_LANCZOS4)
    sharp = cv2.resize(crop, (128, 128), interpolation=cv2.INTER_AREA)
    picture = cv2.resize(sharp, (256, 256)).astype(np.float32) / 255
    picture = cv2.GaussianBlur(picture, (0, 0), blur) if blur else picture
    return torch.from_numpy(picture).permute(2, 0, 1)[None]


def smooth_photo(grain: float, side: int = 512) -> np.ndarray:
    rows, columns = np.mgrid[0:side, 0:side] / side
    plain = np.stack([0.5 + 0.2 * rows, 0.4 + 0.2 * columns, 0.4 + 0.1 * rows], -1)
    noise = np.random.default_rng(2).normal(0, grain, plain.shape)
    return np.clip(255 * plain + noise, 0, 255).round().astype(np.uint8)


def test_blur_grows_with_the_blur_and_grain_does_not_hide_it():
    found = [blur_of(face(blur), WHOLE) for blur in (1.0, 2.0, 3.0, 4.0)]
    assert found == sorted(found)
    assert found[-1] > 2.5
    grainy = face(3.0) + 0.02 * torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    assert blur_of(grainy, WHOLE) > 1.5


def test_a_sharp_face_softens_nothing():
    picture = torch.rand(1, 3, 64, 64)
    assert softened(picture, torch.ones(1, 1, 64, 64), 0.0) is picture
    soft = softened(picture, torch.zeros(1, 1, 64, 64), 3.0)
    assert torch.allclose(soft, picture)


def test_the_photos_own_pixels_are_not_put_in():
    assert put_in(torch.tensor([1.0, 0.9, 0.5])).tolist() == [0, 0, 0]
    assert put_in(torch.tensor([0.0])).tolist() == [1]


@pytest.mark.parametrize("grain", [4.0, 9.0])
def test_grain_is_that_of_the_photo(grain: float):
    found = grain_of(smooth_photo(grain), placed(3.0), torch.zeros(1))
    assert found is not None
    assert 0.7 * grain < 255 * float(found.piece.std()) < 1.2 * grain


def test_clean_photos_have_none_nor_have_pores():
    assert grain_of(smooth_photo(0.0), placed(3.0), torch.zeros(1)) is None
    rough = smooth_photo(0.0).astype(float)
    rough += cv2.GaussianBlur(np.random.default_rng(3).normal(0, 30, rough.shape), (0, 0), 2.0)
    found = grain_of(rough.clip(0, 255).astype(np.uint8), placed(3.0), torch.zeros(1))
    assert found is None or 255 * float(found.piece.std()) < 1.0


def test_grain_does_not_depend_on_where_a_band_begins():
    found = grain_of(smooth_photo(6.0), placed(3.0), torch.zeros(1))
    assert found is not None
    whole = found.at(10, 20, 200, 150)
    assert torch.equal(whole[:, :, 40:90, 30:130], found.at(40, 60, 100, 50))


@pytest.mark.parametrize("grain", [0.0, 8.0])
def test_what_is_pasted_has_the_grain_of_its_surroundings(grain: float):
    photo = smooth_photo(grain)
    alignment = placed(3.0)
    crop = extract(photo, alignment)
    keep = torch.ones(1, 1, TEMPLATE.size, TEMPLATE.size)
    keep[..., 24:44, 20:44] = 0
    image = torch.where(keep > 0, crop, torch.tensor([0.6, 0.5, 0.45]).view(1, 3, 1, 1))
    pasted = paste(photo, alignment, crop, EditedCrops(image, torch.zeros(1, 2, 64, 64), keep)).pixels
    middle = alignment.to_photo(torch.tensor([[[[32.0]], [[34.0]]]]))[0, :, 0, 0].round().long().tolist()
    inside = pasted[middle[1] - 12 : middle[1] + 12, middle[0] - 12 : middle[0] + 12].astype(float)
    spread = (inside - cv2.GaussianBlur(inside, (0, 0), 1.5)).std()
    assert 0.6 * grain - 0.1 <= spread <= 1.1 * grain + 0.5


def test_what_is_pasted_into_a_soft_photo_is_soft():
    steps = []
    for blur in (0.0, 4.0):
        photo = skimage.data.astronaut()
        photo = cv2.GaussianBlur(photo, (0, 0), blur * 0.55) if blur else photo
        crop = extract(photo, PLACE)
        image, keep = crop.clone(), torch.ones(1, 1, 256, 256)
        image[..., 150:190, 90:166] = 0.1
        image[..., 150:190, 128:166] = 0.9
        keep[..., 150:190, 90:166] = 0
        edited = EditedCrops(image, torch.zeros(1, 2, 256, 256), keep)
        pasted = paste(photo, PLACE, crop, edited).pixels.astype(int)
        row = pasted[50 + round(0.55 * 170), 155 + round(0.55 * 115) : 155 + round(0.55 * 141), 1]
        steps.append(int(np.abs(np.diff(row)).max()))
    assert steps[1] < 0.6 * steps[0]


def stripes(own: bool = False) -> InnerMouth:
    """A sharply striped mouth over the middle of the face."""
    colour = np.zeros((120, 228, 3), np.float32)
    colour[:, (np.arange(228) // 24) % 2 == 0] = 0.9
    return InnerMouth(colour, np.ones((120, 228), np.float32), (90.0, 150.0), 3, own)


@pytest.mark.parametrize(("own", "softer"), [(False, True), (True, False)])
def test_a_mouth_laid_over_a_soft_face_is_as_soft_unless_it_is_the_photos_own(own: bool, softer: bool):
    steps = []
    for blur in (0.0, 4.0):
        photo = skimage.data.astronaut()
        photo = cv2.GaussianBlur(photo, (0, 0), blur * 0.55) if blur else photo
        crop = extract(photo, PLACE)
        pasted = paste(photo, PLACE, crop, EditedCrops(crop), stripes(own)).pixels.astype(int)
        row = pasted[50 + round(0.55 * 170), 155 + round(0.55 * 95) : 155 + round(0.55 * 160), 1]
        steps.append(int(np.abs(np.diff(row)).max()))
    assert (steps[1] < 0.6 * steps[0]) == softer


@pytest.mark.parametrize(("own", "grainy"), [(False, True), (True, False)])
def test_a_mouth_laid_over_a_grainy_face_gets_its_grain_unless_it_has_its_own(own: bool, grainy: bool):
    photo, alignment = smooth_photo(8.0), placed(3.0)
    crop = extract(photo, alignment)
    colour = np.full((60, 60, 3), 0.5, np.float32)
    mouth = InnerMouth(colour, np.ones((60, 60), np.float32), (22.0, 24.0), 3, own)
    pasted = paste(photo, alignment, crop, EditedCrops(crop), mouth).pixels
    middle = alignment.to_photo(torch.tensor([[[[32.0]], [[34.0]]]]))[0, :, 0, 0].round().long().tolist()
    inside = pasted[middle[1] - 12 : middle[1] + 12, middle[0] - 12 : middle[0] + 12].astype(float)
    spread = (inside - cv2.GaussianBlur(inside, (0, 0), 1.5)).std()
    assert (spread > 4) == grainy
