import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from skimage.data import astronaut

from sargan_core.data.crop_cache import ArrayCache, checksum, default_cache
from sargan_core.data.crop_table import make_crop_set
from sargan_core.data.crops import Cropper, face_from_landmarks, points_in_crop
from sargan_core.data.samples import KnownLandmarks, Pair, Sample, pairs
from sargan_core.errors import DataError, NoFaceError, PhotoError
from sargan_core.expressions import Expression
from sargan_core.faces.align import align
from sargan_core.faces.face import Face, Template

TEMPLATE = Template(64, "affine", (0.3, 0.4), (0.7, 0.4), (0.5, 0.75))
MARKS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255))
POINTS = np.array([[60, 70], [100, 70], [80, 90], [66, 112], [94, 112]], np.float64)


def draw(path, shift=(0, 0), mouth=0, marks=MARKS, background=200):
    """Draw a face whose five points carry five pure colours; ``mouth`` lowers the mouth corners."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (160, 160), (background,) * 3)
    pen = ImageDraw.Draw(image)
    pen.ellipse((35 + shift[0], 30 + shift[1], 125 + shift[0], 140 + shift[1]), fill=(180, 140, 120))
    for colour, (x, y) in zip(marks, POINTS + np.array(shift), strict=False):
        y = y + mouth if colour in MARKS[3:] else y
        pen.rectangle((x - 3, y - 3, x + 3, y + 3), fill=colour)
    image.save(path)
    return path


class MarkFinder:
    """Finds the drawn faces by their colours."""

    def __init__(self):
        self.calls = 0

    def find(self, pixels):
        self.calls += 1
        points = []
        for colour in MARKS:
            y, x = np.nonzero((pixels == colour).all(2))
            if not len(x):
                return []
            points.append((x.mean(), y.mean()))
        return [Face((35, 30, 90, 110), 0.9, np.array(points, np.float32))]


class Blind:
    def find(self, pixels):
        return []


def sample(path, expression="neutral", person="x-a", source="x", **kwargs):
    return Sample(path, person, Expression(expression), source, **kwargs)


def cropper(tmp_path, **kwargs):
    kwargs.setdefault("finder", MarkFinder())
    return Cropper(TEMPLATE, cache=tmp_path / "cache", **kwargs)


def mark(crop, number):
    """Return where mark ``number`` lies in a crop."""
    distance = np.abs(crop.astype(int) - np.array(MARKS[number])[:, None, None]).sum(0)
    y, x = np.nonzero(distance < 60)
    return np.array([x.mean(), y.mean()])


def test_crop_puts_the_eyes_on_the_template(tmp_path):
    for shift in ((0, 0), (13, -9)):
        maker = cropper(tmp_path)
        photo = sample(draw(tmp_path / f"{shift[0]}.png", shift))
        crop = maker.cut(photo.path, maker.align(photo))
        assert crop.dtype == np.uint8
        assert crop.shape == (3, 64, 64)
        for number in (0, 1):
            np.testing.assert_allclose(mark(crop, number), TEMPLATE.pixels()[number], atol=0.6)


def test_target_of_a_still_pair_keeps_the_moved_mouth_moved(tmp_path):
    maker = cropper(tmp_path)
    source = sample(draw(tmp_path / "n.png"), source="synth")
    target = sample(draw(tmp_path / "s.png", mouth=12), "surprised", source="synth")
    alignment = maker.align(source)
    moved = maker.align_target(Pair(source, target), alignment)
    np.testing.assert_array_equal(moved.matrix, alignment.matrix)
    input_crop, crop = maker.cut(source.path, alignment), maker.cut(target.path, moved)
    np.testing.assert_array_equal(crop[:, :30], input_crop[:, :30])
    assert mark(crop, 3)[1] > mark(input_crop, 3)[1] + 3
    # Aligned by its own face, the target's mouth would lie where the input's does.
    own = maker.cut(target.path, maker.align(target))
    assert abs(mark(own, 3)[1] - mark(input_crop, 3)[1]) < 1


def test_target_of_a_real_pair_follows_the_head_but_not_the_mouth(tmp_path):
    maker = cropper(tmp_path)
    source = sample(draw(tmp_path / "n.png"))
    target = sample(draw(tmp_path / "s.png", shift=(6, -4), mouth=12), "surprised")
    alignment = maker.align(source)
    crop = maker.cut(target.path, maker.align_target(Pair(source, target), alignment))
    input_crop = maker.cut(source.path, alignment)
    for number in (0, 1, 2):
        np.testing.assert_allclose(mark(crop, number), mark(input_crop, number), atol=0.6)
    assert mark(crop, 3)[1] > mark(input_crop, 3)[1] + 3


def test_second_run_needs_neither_finder_nor_photo(tmp_path, monkeypatch):
    photo = sample(draw(tmp_path / "a.png"))
    first = cropper(tmp_path)
    crop = first.cut(photo.path, first.align(photo))
    second = cropper(tmp_path)
    monkeypatch.setattr("sargan_core.data.crops.read_photo", lambda path: pytest.fail("photo was read"))
    np.testing.assert_array_equal(second.cut(photo.path, second.align(photo)), crop)
    assert second._finder.calls == 0


def test_changed_content_and_template_are_cut_anew(tmp_path):
    photo = sample(draw(tmp_path / "a.png"))
    maker = cropper(tmp_path)
    before = maker.cut(photo.path, maker.align(photo))
    draw(photo.path, background=40)
    maker = cropper(tmp_path)
    assert maker.cut(photo.path, maker.align(photo)).mean() < before.mean()
    larger = Cropper(replace(TEMPLATE, size=96), cache=tmp_path / "cache", finder=MarkFinder())
    assert larger.cut(photo.path, larger.align(photo)).shape == (3, 96, 96)


def test_damaged_and_half_written_entries_are_made_anew(tmp_path):
    photo = sample(draw(tmp_path / "a.png"))
    maker = cropper(tmp_path)
    crop = maker.cut(photo.path, maker.align(photo))
    entries = sorted((tmp_path / "cache").rglob("*.npz"))
    assert len(entries) == 2
    for damage in (lambda data: data[: len(data) // 2], lambda data: b"", lambda data: bytes(len(data))):
        for entry in entries:
            entry.write_bytes(damage(entry.read_bytes()))
        maker = cropper(tmp_path)
        np.testing.assert_array_equal(maker.cut(photo.path, maker.align(photo)), crop)
        assert maker._finder.calls == 1


def test_concurrent_writers_leave_one_whole_entry(tmp_path):
    cache = ArrayCache(tmp_path)
    failures = []

    def work(value):
        for _ in range(20):
            cache.store("ab12", {"x": np.full(2000, value)})
            found = cache.load("ab12")
            if found is None or len(set(found["x"].tolist())) != 1:
                failures.append(found)

    threads = [threading.Thread(target=work, args=(value,)) for value in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["ab12.npz"]


def test_cache_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot write the crop cache"):
        ArrayCache(tmp_path / "file").store("ab", {"x": np.zeros(1)})


def test_checksum_tells_parts_apart():
    assert checksum("ab", "c") != checksum("a", "bc")


def test_default_cache_follows_the_home_setting(tmp_path, monkeypatch):
    monkeypatch.setenv("SARGAN_HOME", str(tmp_path))
    assert tmp_path in default_cache().parents


def known(tmp_path):
    landmarks = np.full((1, 68, 2), 80.0, np.float32)
    landmarks[0, 36:42], landmarks[0, 42:48], landmarks[0, 30] = POINTS[0], POINTS[1], POINTS[2]
    landmarks[0, 48], landmarks[0, 54] = POINTS[3], POINTS[4]
    np.savez(tmp_path / "landmarks.npz", points=landmarks + 0.5)
    return KnownLandmarks(tmp_path / "landmarks.npz", 0, "points")


def test_known_landmarks_stand_in_where_no_face_is_found(tmp_path):
    path = draw(tmp_path / "a.png", marks=MARKS[:2])
    maker = cropper(tmp_path, finder=Blind())
    with pytest.raises(NoFaceError, match="no face"):
        maker.align(sample(path))
    photo = sample(path, known=known(tmp_path))
    crop = maker.cut(path, maker.align(photo))
    np.testing.assert_allclose(mark(crop, 0), TEMPLATE.pixels()[0], atol=0.6)
    points = maker.landmarks(photo, maker.align(photo))
    np.testing.assert_allclose(points[36], TEMPLATE.pixels()[0], atol=1e-3)


def test_known_landmarks_come_first_on_request(tmp_path):
    photo = sample(draw(tmp_path / "a.png", shift=(5, 0)), known=known(tmp_path))
    found, trusted = cropper(tmp_path), cropper(tmp_path, known_first=True)
    assert found.face(photo).points[0, 0] == pytest.approx(65)
    assert trusted.face(photo).points[0, 0] == pytest.approx(60)
    assert trusted._finder.calls == 0


def test_among_several_faces_the_known_one_counts_else_the_largest(tmp_path):
    path = draw(tmp_path / "a.png")
    here = Face((40, 40, 60, 60), 0.9, POINTS.astype(np.float32))
    away = Face((0, 0, 150, 150), 0.9, (POINTS + 300).astype(np.float32))

    class Two:
        def find(self, pixels):
            return [here, away]

    maker = cropper(tmp_path, finder=Two())
    assert maker.face(sample(path)).points[0, 0] > 300
    assert maker.face(sample(path, known=known(tmp_path))).points[0, 0] == 60


def test_points_follow_the_crop_also_through_a_spline(tmp_path):
    rng = np.random.default_rng(0)
    spline_shape = rng.uniform(0.2, 0.8, (68, 2))
    shape = tuple((float(x), float(y)) for x, y in spline_shape)
    template = Template(64, "spline", (0.3, 0.4), (0.7, 0.4), (0.5, 0.75), shape)
    landmarks = (spline_shape * 64 * 1.6 + 30 + rng.normal(0, 1.0, (68, 2))).astype(np.float32)
    landmarks[36:42], landmarks[42:48], landmarks[[48, 54]] = [50, 70], [91, 70], [[62, 106], [78, 106]]
    alignment = align(face_from_landmarks(landmarks), template)
    inside = points_in_crop(alignment, landmarks)
    back = alignment.to_photo(torch.from_numpy(inside.T.copy())[None, :, :, None])[0, :, :, 0].T.numpy()
    near = (inside > 2).all(1) & (inside < 61).all(1)
    assert near.sum() > 30
    assert np.median(np.abs(back - landmarks)[near]) < 0.1


def test_crop_set_holds_own_crops_targets_and_pairs(tmp_path):
    samples = [
        sample(draw(tmp_path / "a_n.png")),
        sample(draw(tmp_path / "a_s.png", mouth=8), "surprised"),
        sample(draw(tmp_path / "b_n.png", shift=(4, 2)), person="x-b"),
    ]
    calls = []
    crops, skipped = make_crop_set(
        samples, pairs(samples), cropper(tmp_path), lambda done, total: calls.append((done, total))
    )
    assert not skipped
    assert len(crops) == 5
    assert crops.images.shape == (5, 3, 64, 64)
    assert crops.images.dtype == np.uint8
    assert crops.landmarks.shape == (5, 68, 2)
    assert np.isnan(crops.landmarks).all()
    assert crops.own.sum() == 3
    assert calls[-1] == (5, 5)
    assert [done for done, _ in calls] == [1, 2, 3, 4, 5]
    for source, target in crops.pairs:
        assert crops.own[source]
        assert not crops.own[target]
        assert crops.persons[source] == crops.persons[target] == "x-a"
        assert crops.labels[source] != crops.labels[target]
    assert set(crops.labels.tolist()) == {Expression.NEUTRAL.label, Expression.SURPRISED.label}


def test_faceless_broken_and_black_photos_are_reported_and_left_out(tmp_path):
    good, other = sample(draw(tmp_path / "good.png")), sample(draw(tmp_path / "good2.png", mouth=5), "sad")
    faceless = sample(draw(tmp_path / "faceless.png", marks=()), "happy")
    black = sample(tmp_path / "black.png", "angry")
    Image.new("RGB", (100, 100), (3, 3, 3)).save(black.path)
    broken = sample(tmp_path / "broken.png", "fearful")
    broken.path.write_bytes(draw(tmp_path / "whole.png").read_bytes()[:200])
    gone = sample(tmp_path / "gone.png", "disgusted")
    samples = [good, other, faceless, black, broken, gone]
    crops, skipped = make_crop_set(samples, pairs(samples), cropper(tmp_path))
    reasons = {item.path.name: item.reason for item in skipped}
    assert set(reasons) == {"faceless.png", "black.png", "broken.png", "gone.png"}
    assert "no face" in reasons["faceless.png"]
    assert "black" in reasons["black.png"]
    assert str(tmp_path) not in reasons["broken.png"]
    assert len(crops.pairs) == 2
    assert set(crops.paths) == {str(good.path), str(other.path)}


def test_nothing_usable_is_an_error(tmp_path):
    with pytest.raises(DataError, match="usable face"):
        make_crop_set([sample(draw(tmp_path / "a.png", marks=()))], [], cropper(tmp_path))


def test_a_real_face_is_found_and_cut(tmp_path):
    path = tmp_path / "astronaut.png"
    Image.fromarray(astronaut()).save(path)
    maker = Cropper(TEMPLATE, landmarks="detector", cache=tmp_path / "cache")
    alignment = maker.align(sample(path))
    eyes = alignment.matrix[:, :2] @ TEMPLATE.pixels()[:2].T + alignment.matrix[:, 2:]
    np.testing.assert_allclose(eyes.T, [[203, 101], [246, 102]], atol=5)
    assert maker.cut(path, alignment).std() > 20


def test_unreadable_file_is_a_photo_error(tmp_path):
    with pytest.raises(PhotoError, match=r"gone\.png"):
        cropper(tmp_path).align(sample(tmp_path / "gone.png"))
