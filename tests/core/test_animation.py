"""The animation: a loop without a jump, readable in every format, marked, never half-written."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from sargan_core.animation import HOLD, SIDE, STEPS, Animation, ease, strength_ramp, write_animation
from sargan_core.errors import OutputExistsError, PhotoError, UsageError
from sargan_core.expressions import parse_mix
from sargan_core.photo.metadata import Provenance

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


FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from sargan_core.animation import Animation, write_animation
from sargan_core.errors import PhotoError
noise = np.random.default_rng(1).integers(0, 255, (20, 60, 80, 3), np.uint8)
if sys.argv[2] != "0":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    write_animation(Animation(tuple(noise), ()), Path(sys.argv[1]), overwrite=True)
except PhotoError as error:
    print(error)
"""


def write_in_a_process(path, limit):
    command = [sys.executable, "-c", FULL, str(path), str(limit)]
    return subprocess.run(command, capture_output=True, text=True, check=True)


@pytest.mark.parametrize("limit", [0, 1000, 40_000])
@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.mp4"])
def test_where_there_is_no_room_the_old_file_stays_and_one_line_says_so(tmp_path, name, limit):
    """A limit on the size of files stands in for a full disk; 0 is the case that must go well."""
    path = tmp_path / name
    path.write_bytes(b"old")
    done = write_in_a_process(path, limit)
    assert done.stderr == ""
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    if limit == 0:
        assert done.stdout == ""
        assert len(path.read_bytes()) > 40_000, "the limits are below the size of the file"
    else:
        assert path.read_bytes() == b"old"
        assert done.stdout == f"{path}: cannot be written (File too large); choose another place\n"


@pytest.mark.parametrize("name", ["a.gif", "a.mp4"])
def test_a_disk_without_room_is_called_full(tmp_path, name):
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(options, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here; a limit of sizes tests the same above")
    try:
        done = write_in_a_process(disk / name, 0)
        assert (done.stderr, list(disk.iterdir())) == ("", [])
        assert "the disk is full" in done.stdout
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (None, "ffmpeg cannot be started"),
        ("kill -9 $$", "was ended by signal 9"),
        ("echo Unknown encoder >&2; exit 1", r"ffmpeg failed \(Unknown encoder\)"),
        ("exit 3", r"ffmpeg failed \(exit code 3\)"),
        ("cat > /dev/null; echo Error writing trailer: No space left on device >&2", "the disk is full"),
    ],
    ids=["missing", "killed", "failed", "silent", "full, but exit code 0"],
)
def test_a_failed_ffmpeg_leaves_nothing(loop, tmp_path, monkeypatch, script, said):
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    if script is not None:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
    with pytest.raises(PhotoError, match=said) as raised:
        write_animation(loop, tmp_path / "a.mp4")
    assert str(raised.value).startswith(f"{tmp_path / 'a.mp4'}: ")
    assert "\n" not in str(raised.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["bin"]


def test_without_any_ffmpeg_the_other_formats_are_named(loop, tmp_path, monkeypatch):
    def nowhere():
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", nowhere)
    with pytest.raises(PhotoError, match=r"no ffmpeg.*\.gif"):
        write_animation(loop, tmp_path / "a.mp4")
