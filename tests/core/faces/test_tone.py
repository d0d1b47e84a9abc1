"""An edit brings no colours into a photo that has none, or only one at each lightness."""

import numpy as np
import pytest
import skimage.data
import torch

from sargan_core.faces.align import Alignment, extract
from sargan_core.faces.face import EditedCrops, Template
from sargan_core.faces.paste import paste
from sargan_core.faces.tone import LUMA, tone_of

TEMPLATE = Template(64, "affine", (0.35, 0.33), (0.65, 0.33), (0.5, 0.66))
PLACE = Alignment(TEMPLATE, np.array([[2.3, 0.1, 150.0], [-0.1, 2.3, 50.0]]))
LIGHT = skimage.data.astronaut() @ np.array(LUMA)


def edited(crop: torch.Tensor) -> EditedCrops:
    """A red mouth, bright teeth in it, and a moved cheek: what models do to any crop."""
    image = crop.clone()
    image[:, :, 40:56, 16:48] = torch.tensor([0.7, 0.1, 0.15]).view(1, 3, 1, 1)
    image[:, :, 46:50, 22:42] = 0.98
    flow = torch.zeros(1, 2, 64, 64)
    flow[:, 0, 10:30] = 1.5
    keep = torch.ones(1, 1, 64, 64)
    keep[:, :, 40:56, 16:48] = 0
    return EditedCrops(image, flow, keep)


def pasted(photo: np.ndarray) -> np.ndarray:
    crop = extract(photo, PLACE)
    return paste(photo, PLACE, crop, edited(crop)).pixels


def colour(pixels: np.ndarray) -> np.ndarray:
    return pixels - (pixels @ np.array(LUMA))[..., None]


def toned(dark: tuple[float, ...], light: tuple[float, ...]) -> np.ndarray:
    """The astronaut in the tones between two colours."""
    share = LIGHT[..., None] / 255
    return np.rint(np.array(dark) * (1 - share) + np.array(light) * share).astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_grey_photo_stays_grey(dtype):
    scale = np.iinfo(dtype).max / 255
    photo = np.repeat(np.rint(LIGHT * scale).astype(dtype)[..., None], 3, axis=2)
    result = pasted(photo)
    assert (result != photo).any()
    assert np.ptp(result, axis=2).max() == 0


def test_a_grey_face_in_a_coloured_frame_stays_grey():
    photo = np.repeat(np.rint(LIGHT).astype(np.uint8)[..., None], 3, axis=2)
    framed = photo.copy()
    framed[50:60, 150:300] = framed[50:196, 150:156] = (255, 0, 0)
    result = pasted(framed)
    inside = np.s_[90:190, 165:280]
    assert (result[inside] != photo[inside]).any()
    assert np.ptp(result[inside], axis=2).max() == 0


@pytest.mark.parametrize(
    ("dark", "light"),
    [((40, 26, 13), (250, 230, 190)), ((0, 0, 0), (255, 226, 180)), ((10, 20, 60), (200, 210, 250))],
    ids=["sepia", "brown", "blue"],
)
def test_a_toned_photo_keeps_to_its_tones(dark, light):
    photo = toned(dark, light)
    result = pasted(photo)
    ends = np.array([dark, light], float)
    along = ends[1] - ends[0]
    away = result - ends[0]
    share = (away @ along) / (along @ along)
    off = np.abs(away - share[..., None] * along).max()
    changed = (result != photo).any(2)
    assert changed.sum() > 1000
    assert off < 8, off
    plain = extract(photo, PLACE)
    assert np.abs(edited(plain).image[0, :, 42, 20] * 255 - 0).max() > 100  # what was asked for is red


def test_a_constant_tint_stays_as_it_is():
    photo = toned((20, 14, 0), (220, 214, 200))
    assert np.abs(colour(pasted(photo).astype(float)) - colour(photo.astype(float))).max() < 2


def test_noise_of_a_tint_is_left_where_it_is():
    noise = np.random.default_rng(0).normal(0, 2, (*LIGHT.shape, 3))
    photo = (toned((20, 14, 0), (220, 214, 200)) + noise).round().clip(0, 255).astype(np.uint8)
    # Rounding and the ends of the range aside, each pixel keeps its own colour.
    assert np.quantile(np.abs(colour(pasted(photo).astype(float)) - colour(photo.astype(float))), 0.999) < 2.5


def test_a_photo_in_colour_has_no_tone_and_gets_the_edits_colours():
    photo = skimage.data.astronaut()
    assert tone_of(extract(photo, PLACE)) is None
    mouth = pasted(photo)[150:175, 210:250].astype(int)
    assert (mouth[..., 0] - mouth[..., 1]).max() > 100


def test_between_tone_and_colour_there_is_no_step():
    grey = torch.from_numpy(LIGHT / 255).float()[None, None, 50:178, 150:278].repeat(1, 3, 1, 1)
    hues = torch.nn.functional.interpolate(
        torch.randn(1, 3, 8, 8, generator=torch.manual_seed(0)), (128, 128)
    )
    shares = []
    for level in np.linspace(0, 5, 40):
        tone = tone_of(grey + level / 255 * hues)
        shares.append(0.0 if tone is None else tone.share)
    assert shares[0] == 1
    assert shares[-1] == 0
    assert np.diff(shares).max() <= 0
    assert np.diff(shares).min() > -0.35
