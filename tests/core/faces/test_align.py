import numpy as np
import pytest
import skimage.data
import skimage.transform
import torch

from sargan_core.errors import NoFaceError
from sargan_core.faces.align import Alignment, align, anchors, apply_matrix, extract, similarity
from sargan_core.faces.face import Face, Template
from sargan_core.faces.warp import invert, positions, smallest_area
from sargan_core.weights import find_record

POINTS = ((0.35, 0.33), (0.65, 0.33), (0.5, 0.66))


def template(kind: str, size: int = 64, shape=None) -> Template:
    return Template(size, kind, *POINTS, shape)


def face(points=None, landmarks=None) -> Face:
    if points is None:
        points = [[200, 105], [245, 107], [221, 127], [203, 145], [240, 147]]
    points = np.asarray(points, np.float32)
    return Face((180, 60, 90, 115), 0.9, points, landmarks)


def test_affine_puts_eyes_and_mouth_exactly_on_the_template():
    one = face()
    fitted = align(one, template("affine"))
    assert np.allclose(apply_matrix(fitted.matrix, template("affine").pixels()), anchors(one), atol=1e-9)


def test_similarity_agrees_with_scikit_image():
    rng = np.random.default_rng(0)
    sources, targets = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
    reference = skimage.transform.estimate_transform("similarity", sources, targets)
    assert np.allclose(similarity(sources, targets), reference.params[:2], atol=1e-9)


def test_points_that_coincide_are_refused():
    with pytest.raises(NoFaceError, match="coincide"):
        align(face(np.full((5, 2), 50.0)), template("affine"))


def test_identity_alignment_extracts_the_photo_itself():
    photo = skimage.data.astronaut()[:64, :64]
    own = template("affine").pixels()
    points = np.stack([own[0], own[1], own[2], own[2] - [5, 0], own[2] + [5, 0]])
    crop = extract(photo, align(face(points), template("affine")))
    assert torch.allclose(crop[0].permute(1, 2, 0) * 255, torch.from_numpy(photo).float(), atol=1e-2)


def test_sixteen_bit_photos_give_the_same_crop():
    photo = skimage.data.astronaut()
    fitted = align(face(), template("similarity"))
    # The area average of an 8-bit photo is rounded to 8 bits.
    one, other = extract(photo, fitted), extract(photo.astype(np.uint16) * 257, fitted)
    assert torch.allclose(one, other, atol=0.6 / 255)


def shape_and_landmarks() -> tuple[tuple[tuple[float, float], ...], np.ndarray]:
    rng = np.random.default_rng(3)
    shape = rng.uniform(0.2, 0.8, (68, 2))
    shape[36:42] = np.array(POINTS[0]) + rng.normal(0, 0.02, (6, 2))
    shape[42:48] = np.array(POINTS[1]) + rng.normal(0, 0.02, (6, 2))
    shape[[48, 54]] = np.array([POINTS[2], POINTS[2]]) + np.array([[-0.1, 0], [0.1, 0]])
    moved = shape + 0.02 * np.sin(6 * shape[:, ::-1])
    return tuple((float(x), float(y)) for x, y in shape), (moved * 64 - 0.5) * 3 + 40


def test_spline_brings_landmarks_near_the_template_and_back():
    shape, landmarks = shape_and_landmarks()
    fitted = align(face(landmarks=landmarks.astype(np.float32)), template("spline", shape=shape))
    wanted = np.asarray(shape) * 64 - 0.5
    straight = align(face(landmarks=landmarks.astype(np.float32)), template("affine"))
    assert fitted.landmarks is not None
    assert straight.landmarks is not None
    assert np.abs(fitted.landmarks - wanted).mean() < 0.5 * np.abs(straight.landmarks - wanted).mean()
    where = torch.rand(1, 2, 5, 5) * 63
    assert torch.allclose(fitted.to_crop(fitted.to_photo(where)), where, atol=0.02)


def test_a_spline_is_inverted_once(monkeypatch):
    shape, landmarks = shape_and_landmarks()
    inverted = []
    monkeypatch.setattr("sargan_core.faces.align.invert", lambda field: inverted.append(1) or invert(field))
    fitted = align(face(landmarks=landmarks.astype(np.float32)), template("spline", shape=shape))
    fitted.to_crop(torch.rand(1, 2, 5, 5) * 63)
    assert len(inverted) == 1


def test_spline_without_landmarks_is_the_affine_fit():
    shape, _ = shape_and_landmarks()
    fitted = align(face(), template("spline", shape=shape))
    assert fitted.residual is None
    assert np.allclose(fitted.matrix, align(face(), template("affine")).matrix)


def test_template_survives_json():
    shape, _ = shape_and_landmarks()
    one = template("spline", shape=shape)
    assert Template.from_json(one.to_json()) == one


def test_landmarks_that_would_fold_the_crop_are_followed_less_closely():
    shape, landmarks = shape_and_landmarks()
    # Brows pulled far down over the eyes.
    landmarks[17:27, 1] += 45
    fitted = align(face(landmarks=landmarks.astype(np.float32)), template("spline", shape=shape))
    if fitted.residual is not None:
        assert smallest_area(fitted.residual) > 0.2
    where = torch.rand(1, 2, 5, 5) * 63
    assert torch.allclose(fitted.to_crop(fitted.to_photo(where)), where, atol=0.1)


def test_rest_is_where_the_estimate_puts_the_landmarks():
    shape, landmarks = shape_and_landmarks()
    one = face(landmarks=landmarks.astype(np.float32))
    still = align(one, template("spline", shape=shape))
    assert still.neutral is not None
    assert np.allclose(still.neutral, still.landmarks, atol=1e-3)
    moved = align(one, template("spline", shape=shape), lambda points: points + np.array([0.0, 1.0]))
    assert moved.neutral is not None
    assert moved.landmarks is not None
    assert (moved.neutral - moved.landmarks)[:, 1].mean() == pytest.approx(1.0, abs=0.2)


def test_a_spline_that_more_than_doubles_a_length_is_inverted_too():
    shape = np.asarray(Template.from_json(find_record("pixel").template).shape)
    drawn = Template.from_json(find_record("pixel").template)
    points = shape * 256 - 0.5
    # A full upper lip: its rim three times as far from the lip line.
    line = points[[61, 62, 63], 1].mean()
    for rim in (49, 50, 51, 52, 53):
        points[rim, 1] = line + 3.0 * (points[rim, 1] - line)
    alignment = align(face(points[[36, 45, 33, 48, 54]], points.astype(np.float32)), drawn)
    where = positions(torch.zeros(1, 2, 256, 256))
    there = alignment.to_crop(alignment.to_photo(where))
    assert float((there - where)[..., 8:-8, 8:-8].abs().max()) < 0.5


@pytest.mark.parametrize("with_spline", [True, False])
def test_pixels_of_a_crop_lie_where_their_positions_do(with_spline):
    size = 64
    residual = np.random.default_rng(0).normal(0, 2, (2, size, size)).astype(np.float32)
    template = Template(size, "affine", (0.35, 0.33), (0.65, 0.33), (0.5, 0.66))
    matrix = np.array([[2.5, -0.2, 30.0], [0.3, 2.4, 12.0]])
    alignment = Alignment(template, matrix, residual if with_spline else None)
    wanted = alignment.to_photo(positions(torch.zeros(1, 2, size, size)))
    assert torch.allclose(alignment.pixels_in_photo(), wanted, atol=1e-3)
