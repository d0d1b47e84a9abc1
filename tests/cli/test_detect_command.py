"""``sargan detect`` on a rendered and on a real face, with the detector that comes with the package."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

PORTRAIT = Path(__file__).parents[2] / "examples" / "portrait.jpg"
FAST = ("--landmarks", "detector")


@pytest.fixture
def group(tmp_path, monkeypatch) -> Path:
    """Three faces in a row, the middle one large."""
    monkeypatch.chdir(tmp_path)
    small = Image.open(PORTRAIT)
    photo = Image.new("RGB", (1024, 512), (90, 110, 120))
    photo.paste(small, (0, 128))
    photo.paste(small.resize((512, 512)), (256, 0))
    photo.paste(small, (768, 128))
    photo.save("group.png")
    return tmp_path / "group.png"


def test_faces_are_numbered_from_left_to_right(call, group):
    code, out, err = call("detect", "group.png", "--json", *FAST)
    value = json.loads(out)
    assert (code, err) == (0, "")
    assert [face["number"] for face in value["faces"]] == [1, 2, 3]
    lefts = [face["box"][0] for face in value["faces"]]
    assert lefts == sorted(lefts)
    distances = [face["eye_distance"] for face in value["faces"]]
    assert distances[1] > 1.7 * max(distances[0], distances[2])
    assert all(0.7 <= face["score"] <= 1 for face in value["faces"])


def test_points_lie_on_the_face(call, tmp_path):
    image = skimage.data.astronaut()
    Image.fromarray(image).save(tmp_path / "astronaut.png")
    value = json.loads(call("detect", str(tmp_path / "astronaut.png"), "--json", *FAST)[1])
    (face,) = value["faces"]
    left_eye, right_eye, nose, *mouth = np.array(face["points"])
    assert left_eye[0] < nose[0] < right_eye[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(point[1] for point in mouth)
    assert np.hypot(*(left_eye - [203, 102])) < 10
    assert face["landmarks"] is None


def test_the_table_has_a_row_a_face(call, group):
    code, out, err = call("detect", "group.png", *FAST)
    rows = [line.split() for line in out.decode().splitlines()]
    assert (code, err) == (0, "")
    assert [row[0] for row in rows if row and row[0].isdigit()] == ["1", "2", "3"]
    assert "eye distance" in out.decode()


def test_drawing_marks_every_face_and_nothing_far_from_them(call, group):
    code, _, err = call("detect", "group.png", "--draw", "drawn.png", *FAST)
    assert code == 0
    assert "drawn.png" in err
    with Image.open("group.png") as before, Image.open("drawn.png") as after:
        changed = (np.asarray(before) != np.asarray(after)).any(-1)
    assert all(changed[:, third].any() for third in (slice(0, 256), slice(256, 768), slice(768, 1024)))
    assert changed.mean() < 0.05


def test_drawing_to_stdout_moves_the_table_to_stderr(call, group):
    code, out, err = call("detect", "group.png", "--draw", "-", *FAST)
    assert code == 0
    assert Image.open(io.BytesIO(out)).size == (1024, 512)
    assert "eye distance" in err


def test_a_photo_without_a_face_is_said_and_does_not_stop_the_others(call, group):
    Image.new("RGB", (200, 200), (120, 130, 140)).save("wall.png")
    code, out, err = call("detect", "wall.png", "missing.png", "group.png", "--json", *FAST)
    outcomes = [json.loads(line)["outcome"] for line in out.splitlines()]
    assert code == 1
    assert outcomes == ["no_face", "unreadable", "done"]
    assert "wall.png" in err
    assert "missing.png" in err


def test_the_drawing_never_replaces_a_file_by_surprise(call, group):
    before = group.read_bytes()
    assert call("detect", "group.png", "--draw", "group.png", *FAST)[0] == 2
    Path("drawn.png").write_bytes(b"precious")
    assert call("detect", "group.png", "--draw", "drawn.png", *FAST)[0] == 1
    assert Path("drawn.png").read_bytes() == b"precious"
    assert group.read_bytes() == before
