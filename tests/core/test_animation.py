"""The animation: a loop without a jump, readable in every format, marked, never half-written."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from sargan_core import animation
from sargan_core.animation import HOLD, SIDE, STEPS, Animation, ease, strength_ramp, write_animation
from sargan_core.errors import OutputExistsError, PhotoError, UsageError
from sargan_core.expressions import parse_mix
from sargan_core.provenance import Provenance

MARK = Provenance("pixel", "happy", 1.0, "0.1.0")


@dataclass(frozen=True)
class Picture:
    pixels: np.ndarray


@dataclass(frozen=True)
class Result:
    photo: Picture
    faces: tuple = ()


class Brightener:
    def edit(self, photo, target, faces=()):
        weight = sum(weight for _, weight in target.parts)
        pixels = photo.pixels.copy()
        pixels[20:40, 20:40] = 200 * weight
        return Result(replace(photo, pixels=pixels))


@pytest.fixture
def loop() -> Animation:
    photo = Picture(np.zeros((61, 81, 3), np.uint8))
    return strength_ramp(Brightener(), photo, parse_mix("happy"))


def test_the_ramp_rises_from_nothing_to_all():
    steps = ease(STEPS)
    assert (len(steps), steps[0], steps[-1]) == (STEPS, 0.0, 1.0)
    assert all(one < two for one, two in itertools.pairwise(steps))


def test_the_loop_rests_at_both_ends_and_never_jumps(loop):
    levels = [int(frame[30, 30, 0]) for frame in loop.frames]
    assert levels.count(0) >= HOLD
    assert levels.count(200) >= HOLD
    assert max(abs(one - two) for one, two in itertools.pairwise([*levels, levels[0]])) < 40
    assert levels[:HOLD] == [0] * HOLD


def test_frames_have_even_sides_and_are_bounded(loop):
    assert loop.frames[0].shape == (60, 80, 3)
    large = strength_ramp(Brightener(), Picture(np.zeros((1000, 2000, 3), np.uint8)), parse_mix("sad"))
    assert large.frames[0].shape == (SIDE // 2, SIDE, 3)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.mp4", "ä b.GIF"])
def test_each_format_reads_back_as_the_same_loop(loop, tmp_path, name):
    path = tmp_path / name
    write_animation(loop, path, provenance=MARK)
    options = {} if path.suffix == ".mp4" else {"index": ..., "mode": "RGB"}
    frames = iio.imread(path, **options)
    assert frames.shape[1:] == (60, 80, 3)
    assert frames[:, 30, 30].min() < 12
    assert frames[:, 30, 30].max() > 188
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".mp4"])
def test_the_mark_is_in_the_file_unless_left_out(loop, tmp_path, suffix):
    marked, bare = tmp_path / f"marked{suffix}", tmp_path / f"bare{suffix}"
    write_animation(loop, marked, provenance=MARK)
    write_animation(loop, bare)
    assert b"compositeWithTrainedAlgorithmicMedia" in marked.read_bytes()
    assert b"compositeWithTrainedAlgorithmicMedia" not in bare.read_bytes()


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_it_loops_for_ever_and_takes_its_time(loop, tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_animation(loop, path)
    with Image.open(path) as image:
        assert image.info.get("loop") == 0
        durations = []
        for index in range(image.n_frames):
            image.seek(index)
            image.load()
            durations.append(image.info["duration"])
    assert 1500 < sum(durations) < 4000


def test_another_ending_is_refused(loop, tmp_path):
    with pytest.raises(UsageError, match=r"\.gif"):
        write_animation(loop, tmp_path / "a.avi")


def test_an_existing_file_stays_unless_overwriting(loop, tmp_path):
    path = tmp_path / "a.gif"
    path.write_bytes(b"precious")
    with pytest.raises(OutputExistsError):
        write_animation(loop, path)
    assert path.read_bytes() == b"precious"
    write_animation(loop, path, overwrite=True)
    assert path.read_bytes() != b"precious"


def test_a_failed_write_leaves_nothing(loop, tmp_path, monkeypatch):
    def fail(path, *_, **__):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(animation.iio, "imwrite", fail)
    with pytest.raises(PhotoError, match="disk is full"):
        write_animation(loop, tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())
