import pytest
import torch

from sargan_core.faces.shade import light_factor

SIZE = 128


def skin(light=0.6):
    return torch.full((1, 3, SIZE, SIZE), light)


def constant(value, channels=3):
    return torch.full((1, channels, SIZE, SIZE), value)


@pytest.mark.parametrize(("gain", "offset"), [(0.8, 0.05), (1.0, -0.1), (1.1, 0.0)])
def test_even_skin_becomes_as_light_as_the_model_says(gain, offset):
    image = skin()
    shaded = image * light_factor(image, constant(gain, 1), constant(offset))
    assert torch.allclose(shaded, gain * image + offset, atol=1e-5)


def test_nothing_to_change_is_a_factor_of_one():
    image = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    assert torch.equal(light_factor(image, constant(1.0, 1), constant(0.0)), torch.ones(1, 1, SIZE, SIZE))


def test_a_brow_is_lightened_no_more_than_the_skin_around_it():
    image = skin()
    image[..., 60:66, 30:90] = 0.1
    factor = light_factor(image, constant(0.6, 1), constant(0.3))
    assert factor[..., 63, 60].item() == pytest.approx(factor[..., 30, 60].item(), abs=1e-3)


def test_colours_keep_their_hue():
    image = torch.tensor([0.8, 0.6, 0.5]).view(1, 3, 1, 1).expand(1, 3, SIZE, SIZE)
    shaded = image * light_factor(image, constant(0.7, 1), constant(0.1))
    assert torch.allclose(shaded / shaded[:, 1:2], image / image[:, 1:2], atol=1e-6)


def test_black_pixels_stay_finite_and_bounded():
    factor = light_factor(skin(0.0), constant(1.0, 1), constant(0.5))
    assert bool(torch.isfinite(factor).all())
    assert factor.max() <= 2.0
