"""A generator as the refiner of the pixel model's picture."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sargan_core.errors import WeightsError
from sargan_core.expressions import LABELS, Expression, parse_mix
from sargan_core.faces.face import FaceCrops
from sargan_core.models.pixel.model import PixelModel
from sargan_core.models.registry import load_model
from sargan_core.models.sargan.file import build_generator, save_generator
from sargan_core.models.sargan.generator import Generator, GeneratorSettings, one_hot
from sargan_core.models.sargan.model import USUAL, RefinedModel, face_masks, mouth_window
from sargan_core.weights import open_weights, save_weights

SIZE = 160
SETTINGS = GeneratorSettings(width=4, downs=2, size=SIZE)


@pytest.fixture(scope="module")
def base() -> PixelModel:
    model = load_model("pixel")
    assert isinstance(model, PixelModel)
    return model


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    network = Generator(SETTINGS)
    with torch.no_grad():
        # So that its changes are as small as a trained network's.
        network.head.weight.mul_(0.05)
    return network


@pytest.fixture(scope="module")
def model(base: PixelModel, generator: Generator) -> RefinedModel:
    return RefinedModel(base, build(generator), "fp32")


def build(generator: Generator) -> Generator:
    copy = Generator(generator.settings)
    copy.load_state_dict(generator.state_dict())
    return copy.eval()


def crops(base: PixelModel, count: int = 1) -> FaceCrops:
    image = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    image = torch.nn.functional.interpolate(image, (256, 256), mode="bilinear")
    landmarks = torch.from_numpy(base.goal(Expression.NEUTRAL)).float().expand(count, -1, -1)
    return FaceCrops(image, landmarks, landmarks)


def edit(model: RefinedModel | PixelModel, batch: FaceCrops, *mixes: str):
    with torch.inference_mode():
        return model.edit(batch, [parse_mix(mix) for mix in mixes])


def test_goals_are_where_the_flow_takes_the_neutral_shape(base: PixelModel):
    shape = torch.tensor(base.template.shape) * 256 - 0.5
    for expression in (Expression.HAPPY, Expression.SAD):
        goal = base.goal(expression)
        flow = base.get_buffer("dense_flow")[expression.label]
        outline = range(17)
        for point in outline:
            x, y = goal[point].round().astype(int)
            back = goal[point] + flow[:, y, x].numpy()
            assert abs(back - shape[point].numpy()).max() < 1.5


def test_zero_strength_returns_the_crop_bit_for_bit(model: RefinedModel, base: PixelModel):
    batch = crops(base, 2)
    edited = edit(model, batch, "happy:0", "sad")
    assert torch.equal(edited.image[0], batch.image[0])
    assert not torch.equal(edited.image[1], batch.image[1])
    assert torch.equal(edit(model, batch, "happy:0", "sad:0").image, batch.image)


def test_it_is_the_base_and_the_masked_change_of_the_generator(
    model: RefinedModel, base: PixelModel, generator: Generator
):
    batch = crops(base)
    plain, refined = edit(base, batch, "angry"), edit(model, batch, "angry")
    window = model.window.cut(plain.image).clamp(0, 1) * 2 - 1
    with torch.inference_mode():
        made = build(generator)(window, one_hot([Expression.ANGRY.label], 7))
    mask = face_masks(base, model.window)[Expression.ANGRY.label]
    expected = mask * (made - window) / 2
    torch.testing.assert_close(model.window.cut(refined.image - plain.image), expected, atol=2e-5, rtol=0)
    assert torch.equal(refined.flow, plain.flow)
    assert torch.equal(refined.keep, plain.keep)


def test_large_changes_are_not_believed(base: PixelModel, generator: Generator):
    loud = build(generator)
    with torch.no_grad():
        loud.head.weight.mul_(100)
    model, batch = RefinedModel(base, loud), crops(base)
    change = model.window.cut(edit(model, batch, "neutral").image - edit(base, batch, "neutral").image)
    around = model.get_buffer("around")[Expression.NEUTRAL.label]
    size = ((around * change.square()).sum() / (3 * around.sum())).sqrt()
    assert 0 < size < USUAL / 2


def test_on_lips_that_stay_shut_it_changes_nothing_fine(model: RefinedModel, base: PixelModel):
    batch = crops(base)
    row, column = (round(value) for value in base.goal(Expression.SAD)[62, ::-1])

    def fine(mix: str) -> float:
        change = (edit(model, batch, mix).image - edit(base, batch, mix).image).mean(1)[0]
        lips = change[row - 3 : row + 4, column - 10 : column + 11]
        return float(lips.diff(dim=0).abs().mean() / change[change != 0].abs().mean())

    assert fine("sad") < 0.5 * fine("angry")


def test_outside_of_the_face_it_is_the_base_bit_for_bit(model: RefinedModel, base: PixelModel):
    batch = crops(base)
    plain, refined = edit(base, batch, "surprised").image, edit(model, batch, "surprised").image
    changed = (plain != refined).any(1)[0]
    outside = torch.ones_like(changed)
    model.window.cut(outside)[face_masks(base, model.window)[Expression.SURPRISED.label, 0] > 0] = False
    assert changed.any()
    assert not changed[outside].any()


def test_the_added_change_goes_with_the_strength_and_is_shared_by_a_mix(
    model: RefinedModel, base: PixelModel
):
    batch = crops(base)

    def added(mix: str) -> float:
        return float((edit(model, batch, mix).image - edit(base, batch, mix).image).abs().mean())

    assert 0.3 * added("happy") < added("happy:0.5") < 0.7 * added("happy")
    assert added("happy:2") < 1.5 * added("happy")
    assert added("happy:0.5,sad:0.5") < 1.3 * max(added("happy"), added("sad"))


def test_the_answer_does_not_depend_on_the_batch(model: RefinedModel, base: PixelModel):
    batch = crops(base, 2)
    both = edit(model, batch, "happy:0.4,angry:0.6", "sad").image
    one = FaceCrops(batch.image[1:], batch.landmarks[1:], batch.neutral[1:])
    # Other sizes take other paths through the convolutions, which sum in another order.
    torch.testing.assert_close(edit(model, one, "sad").image, both[1:], atol=5e-5, rtol=0)


def test_written_and_read_again_it_edits_alike(
    model: RefinedModel, base: PixelModel, generator: Generator, tmp_path: Path
):
    file = tmp_path / "mine.safetensors"
    record = save_generator(generator, base.template, file, base="pixel")
    assert (record.kind, record.settings["base"]) == ("refiner", "pixel")
    read = load_model("", file, precision="fp32")
    assert isinstance(read, RefinedModel)
    assert read.name == "mine"
    batch = crops(base)
    torch.testing.assert_close(
        edit(read, batch, "sad").image, edit(model, batch, "sad").image, atol=6e-3, rtol=0
    )
    assert set(LABELS) == {Expression(name) for name in base.settings.expressions}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"base": "nobody"}, "refines the model 'nobody'"),
        ({"base": "landmarks"}, "refines the model 'landmarks'"),
        ({"base": "pixel-plain"}, "another model 'pixel-plain'"),
        ({"base": "pixel", "size": 300}, "another model 'pixel'"),
    ],
)
def test_a_refiner_without_its_base_is_told_in_one_line(
    change: dict, text: str, base: PixelModel, generator: Generator, tmp_path: Path
):
    file = tmp_path / "mine.safetensors"
    record = save_generator(generator, base.template, file, base=change["base"])
    if "size" in change:
        _, tensors = open_weights(file)
        template = replace(base.template, size=change["size"])
        save_weights(
            file, tensors, kind=record.kind, description="", template=template, settings=record.settings
        )
    with pytest.raises(WeightsError, match=text) as caught:
        load_model("", file)
    assert "\n" not in str(caught.value)


def test_a_refiner_is_loaded_as_a_generator_too(base: PixelModel, generator: Generator, tmp_path: Path):
    file = tmp_path / "mine.safetensors"
    save_generator(generator, base.template, file, base="pixel")
    assert build_generator(*open_weights(file)).settings == SETTINGS


@pytest.mark.parametrize("size", [64, 112, 160, 256])
def test_the_window_lies_round_the_mouth_and_inside_the_crop(size: int, base: PixelModel):
    window = mouth_window(base.template, size)
    assert window.cut(torch.zeros(1, 256, 256)).shape == (1, size, size)
    part = window.template(base.template).pixels()
    assert part == pytest.approx(base.template.pixels() - [window.left, window.top])
    if 100 < size < 256:
        mouth = base.goal(Expression.SURPRISED)[48:68] - [window.left, window.top]
        assert mouth.min() > 0.15 * size
        assert mouth.max() < 0.85 * size
