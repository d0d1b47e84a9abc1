from pathlib import Path

import pytest
import torch
from torch import nn

from sargan_core.errors import DataError
from sargan_core.evaluation import cost
from sargan_core.evaluation.cost import count_coefficients, count_multiply_adds, measure_cost
from sargan_core.evaluation.protocol import Case, EvaluationSettings, ModelChoice
from sargan_core.faces.face import Template
from sargan_core.models.sargan.file import save_generator
from sargan_core.models.sargan.generator import Generator, GeneratorSettings, one_hot


def test_a_convolution_costs_what_the_books_say():
    layer = nn.Conv2d(3, 8, 5, padding=2, bias=False)
    image = torch.rand(1, 3, 20, 20)
    assert count_coefficients(layer) == 3 * 8 * 25
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
    assert count_coefficients(model) == 70


def test_a_generator_costs_the_same_in_every_number_format():
    generator = Generator(GeneratorSettings(width=4, downs=2, size=32))
    image, label = torch.zeros(1, 3, 32, 32), one_hot([3], 7)
    counts = []
    for reduced in (False, True):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            # The counter works below autocast, so the network's own dtypes must fit each other.
            counts.append(count_multiply_adds(lambda: generator(image, label)))
    assert counts[0] > 100_000
    assert counts[1] == pytest.approx(counts[0], rel=0.1)


def of_a_face(still_set: Path) -> Case:
    return Case(still_set / "neutral" / "anna.png", "anna", "in", "made")


def test_a_generator_is_measured_in_bfloat16(still_set, tmp_path):
    file = tmp_path / "mine.safetensors"
    template = Template(32, "similarity", (0.335, 0.345), (0.665, 0.345), (0.5, 0.712))
    save_generator(Generator(GeneratorSettings(width=4, downs=2, size=32)), template, file)
    choice = ModelChoice("mine", file)
    settings = EvaluationSettings((choice,), device="cpu", precision="bf16")
    measured = cost._measure(choice, settings, of_a_face(still_set))
    assert measured.multiply_adds > 100_000
    assert measured.model_ms > 0


def breaks(*_: object) -> None:
    raise RuntimeError("expected m1 and m2 to have the same dtype\nand more")


def test_whatever_a_model_raises_is_one_line_about_its_cost(still_set, monkeypatch):
    monkeypatch.setattr(cost, "_measure", breaks)
    choice = ModelChoice("mine", None)
    with pytest.raises(DataError, match=r"^the cost of 'mine' could not be measured .*same dtype[)]$"):
        measure_cost(choice, EvaluationSettings((choice,), device="cpu"), of_a_face(still_set))
