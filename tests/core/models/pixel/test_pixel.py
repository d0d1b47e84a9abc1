import cv2
import numpy as np
import pytest
import torch

from sargan_core.errors import UsageError, WeightsError
from sargan_core.expressions import Expression, parse_mix
from sargan_core.faces.face import FaceCrops, Template
from sargan_core.faces.mouth import FACING, lip_gap
from sargan_core.models.pixel.file import build_pixel, save_pixel
from sargan_core.models.pixel.model import PixelModel, PixelSettings
from sargan_core.models.registry import load_model
from sargan_core.weights import open_weights

SIZE = 32
POINTS = ((0.35, 0.33), (0.65, 0.33), (0.5, 0.66))
UNKNOWN = torch.full((1, 68, 2), torch.nan)


def made(form: str, channels: str = "shared", scaling: str = "product") -> PixelModel:
    torch.manual_seed(0)
    depth = 1 if channels == "shared" else 3
    if form == "kernel":
        tensors = {"curves": torch.rand(2, depth, 256, SIZE, SIZE)}
    else:
        tensors = {
            "weight": 0.8 + 0.2 * torch.rand(2, depth, SIZE, SIZE),
            "bias": 0.1 * torch.rand(2, depth, SIZE, SIZE),
        }
    return PixelModel(
        PixelSettings(form, channels, scaling, ("happy", "sad")), Template(SIZE, "affine", *POINTS), tensors
    )


@pytest.fixture(scope="module")
def shipped() -> PixelModel:
    model = load_model("pixel")
    assert isinstance(model, PixelModel)
    return model


def crops(count: int = 1) -> FaceCrops:
    return FaceCrops(torch.rand(count, 3, SIZE, SIZE), UNKNOWN.expand(count, -1, -1))


@pytest.mark.parametrize("channels", ["shared", "separate"])
def test_plain_form_is_one_weight_and_one_bias_a_pixel(channels):
    model, given = made("plain", channels), crops()
    expected = model.get_buffer("weight")[1] * given.image + model.get_buffer("bias")[1]
    assert torch.allclose(model.edit(given, [parse_mix("sad")]).image, expected, atol=1e-6)


def test_plain_form_has_as_many_numbers_as_the_paper_counts():
    template = Template(128, "affine", *POINTS)
    ones = torch.ones(1, 1, 128, 128)
    model = PixelModel(
        PixelSettings("plain", "shared", "product", ("happy",)), template, {"weight": ones, "bias": ones}
    )
    assert sum(model.get_buffer(name).numel() for name in ("weight", "bias")) == 32_768


def test_kernel_form_looks_each_level_up():
    model = made("kernel")
    given = FaceCrops(torch.full((1, 3, SIZE, SIZE), 17 / 255), UNKNOWN)
    expected = model.get_buffer("curves")[0, 0, 17]
    assert torch.allclose(model.edit(given, [parse_mix("happy")]).image[0, 2], expected, atol=1e-4)


def test_fidelity_scaling_fills_the_range():
    edited = made("plain", scaling="fidelity").edit(crops(), [parse_mix("happy")]).image
    assert edited.amin() == 0
    assert edited.amax() == 1


@pytest.mark.parametrize("form", ["plain", "kernel"])
@pytest.mark.parametrize("scaling", ["product", "fidelity"])
def test_strength_nothing_is_the_crop_bit_for_bit(form, scaling):
    given = crops()
    edited = made(form, scaling=scaling).edit(given, [parse_mix("happy:0,sad:0")])
    assert torch.equal(edited.image, given.image)


def test_strength_is_linear_in_the_plain_form():
    model, given = made("plain"), crops()
    full = model.edit(given, [parse_mix("happy")]).image - given.image
    half = model.edit(given, [parse_mix("happy:0.5")]).image - given.image
    assert torch.allclose(half, full / 2, atol=1e-6)


def test_crops_of_a_batch_do_not_see_each_other():
    model, given = made("plain"), crops(3)
    together = model.edit(given, [parse_mix("happy"), parse_mix("sad"), parse_mix("happy:0.3")])
    alone = model.edit(FaceCrops(given.image[1:2], UNKNOWN), [parse_mix("sad")])
    assert torch.equal(together.part(1, 2).image, alone.image)


def test_targets_that_were_not_fitted_are_refused():
    with pytest.raises(UsageError, match="happy, sad"):
        made("plain").edit(crops(), [parse_mix("angry")])


def shipped_crops(model: PixelModel, shift: float = 0.0) -> FaceCrops:
    size = model.template.size
    torch.manual_seed(1)
    smooth = torch.nn.functional.interpolate(torch.rand(1, 3, 24, 24), (size, size), mode="bicubic").clamp(
        0, 1
    )
    landmarks = torch.tensor(np.asarray(model.template.shape) * size - 0.5, dtype=torch.float32)[None]
    return FaceCrops(smooth, landmarks + shift)


def test_displaced_form_knows_all_seven(shipped):
    assert sorted(shipped.settings.expressions) == sorted(
        ["angry", "disgusted", "fearful", "happy", "neutral", "sad", "surprised"]
    )


def test_displaced_strength_nothing_moves_nothing(shipped):
    given = shipped_crops(shipped)
    edited = shipped.edit(given, [parse_mix("happy:0")])
    assert torch.equal(edited.image, given.image)
    assert edited.flow is not None
    assert not edited.flow.any()


def test_displacement_grows_with_strength(shipped):
    given = shipped_crops(shipped)
    reach = []
    for weight in (0.25, 0.5, 1.0, 1.5):
        flow = shipped.edit(given, [parse_mix(f"surprised:{weight}")]).flow
        assert flow is not None
        reach.append(float(flow.abs().mean()))
    assert reach == sorted(reach)
    assert reach[1] == pytest.approx(reach[2] / 2, rel=0.35)


def test_surprise_drops_the_jaw_and_opens_the_mouth(shipped):
    given = shipped_crops(shipped)
    flow = shipped.edit(given, [parse_mix("surprised")]).flow
    assert flow is not None
    size = shipped.template.size
    chin = np.asarray(shipped.template.shape)[8] * size
    # What is seen a little below the neutral chin comes from above.
    assert flow[0, 1, int(chin[1]), int(chin[0])] < -3


def test_neutral_leaves_a_neutral_face_where_it_is(shipped):
    given = shipped_crops(shipped)
    flow = shipped.edit(given, [parse_mix("neutral")]).flow
    assert flow is not None
    assert flow.abs().max() < 0.5


def test_the_regression_does_not_touch_neutral_landmarks(shipped):
    rest = shipped.neutral_estimate()
    assert rest is not None
    shape = np.asarray(shipped.template.shape) * shipped.template.size
    assert np.array_equal(rest(shape), shape)


def test_file_round_trip_keeps_the_edit(tmp_path):
    model, given = made("plain"), crops()
    save_pixel(model, tmp_path / "mine.safetensors")
    loaded = load_model("", tmp_path / "mine.safetensors")
    one, other = (each.edit(given, [parse_mix("happy")]).image for each in (model, loaded))
    assert torch.allclose(one, other, atol=2e-3)


def test_a_file_of_another_form_is_refused(tmp_path):
    save_pixel(made("plain"), tmp_path / "mine.safetensors")
    record, tensors = open_weights(tmp_path / "mine.safetensors")
    with pytest.raises(WeightsError, match="weight, bias"):
        build_pixel(record, {"weight": tensors["weight"]})


@pytest.mark.parametrize("name", ["happy", "surprised", "fearful", "angry", "disgusted"])
def test_parted_lips_are_handed_on_and_open_with_the_strength(shipped, name):
    heights = []
    for weight in (0.5, 1.0):
        edited = shipped.edit(shipped_crops(shipped), [parse_mix(f"{name}:{weight}")])
        points = np.zeros((68, 2))
        points[48:] = edited.lips[0].numpy()
        heights.append(lip_gap(points))
        assert float(edited.parted[0]) == 1
    assert 1 < heights[0] < heights[1]


@pytest.mark.parametrize("mix", ["neutral", "sad", "happy:0"])
def test_lips_that_stay_shut_are_left_to_the_picture(shipped, mix):
    edited = shipped.edit(shipped_crops(shipped), [parse_mix(mix)])
    assert edited.lips is not None
    assert bool(edited.lips.isnan().all())


def test_parted_lips_are_never_at_rest(shipped):
    rest = shipped.neutral_estimate()
    assert rest is not None
    shape = np.asarray(shipped.template.shape) * shipped.template.size
    for upper, lower in FACING:
        shape[lower] = shape[upper] + [0, 9]
    assert lip_gap(rest(shape)) < lip_gap(shape) - 2


@pytest.mark.parametrize("mix", ["neutral", "sad"])
def test_a_mouth_that_shuts_shows_no_teeth_and_a_dark_line_between_lips(shipped, mix):
    size = shipped.template.size
    points = np.asarray(shipped.template.shape) * size - 0.5
    neutral = torch.tensor(points, dtype=torch.float32)[None]
    for upper, lower in FACING:
        points[upper] -= [0, 3]
        points[lower] += [0, 9]
    canvas = np.full((size, size, 3), (190, 140, 120), np.uint8)
    cv2.fillPoly(canvas, [points[48:60].round().astype(np.int32)], (170, 90, 95))
    cv2.fillPoly(canvas, [points[60:68].round().astype(np.int32)], (235, 230, 220))
    image = torch.from_numpy(canvas.astype(np.float32) / 255).permute(2, 0, 1)[None]
    landmarks = torch.tensor(points, dtype=torch.float32)[None]
    edited = shipped.edit(FaceCrops(image, landmarks, neutral), [parse_mix(mix)]).image[0]
    goal = shipped.goal(Expression(mix))
    x, y = round(goal[62, 0]), round((goal[62, 1] + goal[66, 1]) / 2)
    green = edited[1, y - 4 : y + 5, x]
    lips = 90 / 255
    assert float(green.max()) < lips + 0.12
    assert float(green[2:7].min()) < 0.8 * float(green[[0, 1, -2, -1]].mean())
