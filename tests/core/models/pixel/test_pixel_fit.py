import numpy as np
import pytest
import torch

from sargan_core.data.crop_table import CropSet
from sargan_core.errors import DataError
from sargan_core.expressions import Expression
from sargan_core.faces.warp import positions, sample, spline_field
from sargan_core.models.pixel.fit import PixelOptions, fit_pixel, fit_rest, smooth_on_lips
from sargan_core.models.pixel.run import edit_crop, held_out_figures
from sargan_core.models.registry import load_model

SIZE = 64
PEOPLE = 12


def mean_shape() -> np.ndarray:
    shipped = load_model("pixel").template
    return np.asarray(shipped.shape) * SIZE - 0.5


def smile(shape: np.ndarray) -> np.ndarray:
    """Move the corners of the mouth up and out, symmetrically."""
    move = np.zeros_like(shape)
    for point, side in ((48, -1), (54, 1), (49, -0.5), (53, 0.5), (59, -0.5), (55, 0.5)):
        move[point] = [2.0 * side, -2.5 * abs(side)]
    return move


@pytest.fixture(scope="module")
def crops() -> CropSet:
    """People of random texture whose target is their own picture, moved by the same smile."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    shape, rows, marks, labels, persons, own, pairs = mean_shape(), [], [], [], [], [], []
    for person in range(PEOPLE):
        texture = torch.nn.functional.interpolate(
            torch.rand(1, 3, 12, 12), (SIZE, SIZE), mode="bicubic"
        ).clamp(0, 1)
        landmarks = shape + rng.normal(0, 0.15, shape.shape)
        moved = landmarks + smile(shape)
        field = torch.from_numpy(spline_field(moved, landmarks - moved, SIZE))[None]
        target = sample(texture, positions(field))
        for image, points, label, is_own in (
            (texture, landmarks, Expression.NEUTRAL, True),
            (target, moved, Expression.HAPPY, False),
            (target, moved, Expression.HAPPY, True),
            (texture, landmarks, Expression.NEUTRAL, False),
        ):
            rows.append((image[0] * 255).round().byte().numpy())
            marks.append(points)
            labels.append(label.label)
            persons.append(f"made-{person}")
            own.append(is_own)
        first = 4 * person
        pairs += [(first, first + 1), (first + 2, first + 3)]
    count = len(rows)
    return CropSet(
        template=PixelOptions(size=SIZE).template,
        images=np.stack(rows),
        landmarks=np.asarray(marks, np.float32),
        labels=np.asarray(labels),
        own=np.asarray(own),
        persons=np.asarray(persons),
        sources=np.asarray(["made"] * count),
        pairs=np.asarray(pairs),
    )


def only(crops: CropSet, people: range) -> CropSet:
    return crops.select(np.isin(crops.persons, [f"made-{person}" for person in people]))


def test_displaced_form_learns_the_motion_and_shows_it_on_strangers(crops):
    model = fit_pixel(only(crops, range(9)), PixelOptions(size=SIZE, agreement=1.0))
    assert model.template.kind == "spline"
    for figure in held_out_figures(model, only(crops, range(9, PEOPLE))):
        if figure.expression == "happy":
            assert figure.error < 0.55 * figure.unchanged


def test_plain_form_cannot_move_but_gets_no_worse_than_nothing(crops):
    model = fit_pixel(only(crops, range(9)), PixelOptions(form="plain", size=SIZE))
    figures = held_out_figures(model, only(crops, range(9)))
    assert {figure.expression for figure in figures} == {"happy", "neutral"}
    assert all(figure.error < 1.05 * figure.unchanged for figure in figures)


@pytest.mark.parametrize("channels", ["shared", "separate"])
@pytest.mark.parametrize("scaling", ["product", "fidelity"])
def test_every_form_fits_and_edits(crops, channels, scaling):
    for form in ("plain", "kernel"):
        options = PixelOptions(form=form, channels=channels, scaling=scaling, size=SIZE)
        model = fit_pixel(only(crops, range(4)), options)
        image = np.ascontiguousarray(crops.images[0].transpose(1, 2, 0))
        assert edit_crop(model, image, crops.landmarks[0], Expression.HAPPY).shape == image.shape


def test_the_regression_takes_a_smile_back_and_leaves_neutral_faces(crops):
    matrix, noise = fit_rest(crops, SIZE)
    known = np.concatenate([crops.landmarks.reshape(-1, 136) / SIZE, np.ones((len(crops), 1))], axis=1)
    moves = (known @ matrix.numpy()).reshape(-1, 68, 2) * SIZE
    happy = crops.labels == Expression.HAPPY.label
    wanted = -smile(mean_shape())
    assert np.abs(moves[happy] - wanted).mean() < 0.3 * np.abs(wanted).mean()
    assert float(noise) * SIZE < 0.1


def test_no_pairs_is_a_data_error(crops):
    empty = crops.select([0, 2])
    with pytest.raises(DataError, match="pairs"):
        fit_pixel(empty, PixelOptions(size=SIZE))


def test_shut_lips_keep_their_line_and_take_broad_shading():
    shape = np.asarray(load_model("pixel").template.shape) * 256 - 0.5
    column, row = np.round(shape[62]).astype(int)
    weight, bias = torch.full((1, 256, 256), 0.9), torch.full((1, 256, 256), 0.02)
    line = bias.clone()
    line[:, row - 1 : row + 2] += 0.1
    softer, soft_line = smooth_on_lips(weight, line, shape)
    torch.testing.assert_close(softer, weight)
    assert float((soft_line - bias)[0, row, column]) < 0.03
    torch.testing.assert_close(soft_line[:, :100], bias[:, :100])
