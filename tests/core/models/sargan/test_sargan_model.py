"""The generator as an expression model, on disk and in use."""

from pathlib import Path

import pytest
import torch

from sargan_core.errors import WeightsError
from sargan_core.expressions import Expression, ExpressionMix, parse_mix
from sargan_core.faces.face import FaceCrops, Template
from sargan_core.models.sargan.file import build_generator, save_generator
from sargan_core.models.sargan.generator import Generator, GeneratorSettings, one_hot
from sargan_core.models.sargan.model import SarganModel
from sargan_core.weights import open_weights

TEMPLATE = Template(32, "similarity", (0.335, 0.345), (0.665, 0.345), (0.5, 0.712))
SETTINGS = GeneratorSettings(width=4, downs=2, size=32)


def make_generator() -> Generator:
    torch.manual_seed(0)
    generator = Generator(SETTINGS)
    with torch.no_grad():
        generator.head.weight.mul_(20)
    return generator


def crops(count: int = 2) -> FaceCrops:
    image = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    return FaceCrops(image, torch.full((count, 68, 2), torch.nan))


def edit(model: SarganModel, batch: FaceCrops, *mixes: str) -> torch.Tensor:
    with torch.inference_mode():
        return model.edit(batch, [parse_mix(mix) for mix in mixes]).image


def test_zero_strength_returns_the_crop_bit_for_bit():
    model, batch = SarganModel(make_generator(), TEMPLATE), crops()
    made = edit(model, batch, "happy:0", "sad:1")
    assert torch.equal(made[0], batch.image[0])
    assert not torch.equal(made[1], batch.image[1])
    assert torch.equal(edit(model, batch, "happy:0", "sad:0"), batch.image)


def test_full_strength_is_the_network_itself():
    model, batch = SarganModel(make_generator(), TEMPLATE, "fp32"), crops()
    made = edit(model, batch, "happy", "angry")
    labels = one_hot([Expression.HAPPY.label, Expression.ANGRY.label], 7)
    with torch.inference_mode():
        expected = (model.generator(batch.image * 2 - 1, labels) + 1) / 2
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=0)


def test_a_mix_adds_weighted_changes_and_strength_scales_them():
    model, batch = SarganModel(make_generator(), TEMPLATE, "fp32"), crops(1)
    happy, sad = (edit(model, batch, name) - batch.image for name in ("happy", "sad"))
    mixed = edit(model, batch, "happy:0.5,sad:0.25") - batch.image
    torch.testing.assert_close(mixed, 0.5 * happy + 0.25 * sad, atol=1e-5, rtol=0)


def test_a_non_finite_result_is_computed_again_in_float32():
    model, batch = SarganModel(make_generator(), TEMPLATE, "bf16"), crops(1)
    calls: list[bool] = []
    plain = model.generator.forward

    def sometimes(*arguments):
        calls.append(torch.is_autocast_enabled("cpu"))
        made = plain(*arguments)
        return made * torch.inf if calls[-1] else made

    model.generator.forward = sometimes
    made = edit(model, batch, "happy")
    assert calls == [True, False]
    assert torch.isfinite(made).all()


def test_float32_on_request_uses_no_autocast():
    model = SarganModel(make_generator(), TEMPLATE, "fp32")
    seen: list[bool] = []
    model.generator.register_forward_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    edit(model, crops(1), "happy")
    assert seen == [False]


def test_empty_mix_is_the_identity():
    model, batch = SarganModel(make_generator(), TEMPLATE), crops(1)
    with torch.inference_mode():
        assert torch.equal(model.edit(batch, [ExpressionMix(())]).image, batch.image)


def test_files_are_half_precision_and_load_to_nearly_the_same(tmp_path: Path):
    generator, path = make_generator(), tmp_path / "mine.safetensors"
    written = save_generator(generator, TEMPLATE, path, description="a test", data="nothing")
    record, tensors = open_weights(path)
    assert record == written
    assert (record.name, record.kind) == ("mine", "generator")
    assert record.template == TEMPLATE.to_json()
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    loaded = build_generator(record, tensors)
    assert loaded.settings == SETTINGS
    x, labels = crops(1).image * 2 - 1, one_hot([3], 7)
    with torch.no_grad():
        assert (loaded(x, labels) - generator(x, labels)).abs().mean() < 0.01


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_tensors_that_do_not_fit_are_refused_by_name(tmp_path: Path, change: str):
    record = save_generator(make_generator(), TEMPLATE, tmp_path / "mine.safetensors")
    _, tensors = open_weights(tmp_path / "mine.safetensors")
    key = "head.weight"
    if change == "missing":
        del tensors[key]
    elif change == "unexpected":
        key = "tail.weight"
        tensors[key] = torch.zeros(1)
    else:
        tensors[key] = tensors[key][:, :2]
    with pytest.raises(WeightsError, match=key):
        build_generator(record, tensors)
