import torch
from torch import nn

from sargan_core.evaluation.cost import count_multiply_adds, count_parameters


def test_a_convolution_costs_what_the_books_say():
    layer = nn.Conv2d(3, 8, 5, padding=2, bias=False)
    image = torch.rand(1, 3, 20, 20)
    assert count_parameters(layer) == 3 * 8 * 25
    with torch.inference_mode():
        assert count_multiply_adds(lambda: layer(image)) == 3 * 8 * 25 * 400


def test_elementwise_work_and_interpolation_are_not_free():
    image = torch.rand(1, 3, 10, 10)
    grid = torch.zeros(1, 10, 10, 2)
    with torch.inference_mode():
        assert count_multiply_adds(lambda: image * 2 + 1) == 300
        assert count_multiply_adds(lambda: nn.functional.grid_sample(image, grid, align_corners=True)) == 1200


def test_coefficients_count_where_nothing_is_trained():
    model = nn.Module()
    model.register_buffer("weight", torch.zeros(7, 10))
    model.register_buffer("dense_flow", torch.zeros(1000))
    assert count_parameters(model) == 70
