"""``sargan edit`` with a stand-in editor: streams, names, exit codes, one bad photo among good ones."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.usefixtures("fake_editor")


class Stream(io.BytesIO):
    """Standard input with bytes in it."""

    @property
    def buffer(self):
        return self

    def isatty(self):
        return False


def pixels(path: Path | str | io.BytesIO) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_one_photo_gets_its_default_name_and_stdout_says_it(call, photos):
    code, out, err = call("edit", "one.png", "--expr", "happy")
    assert (code, out) == (0, b"one-happy.png\n")
    assert "one.png: 1 face" in err
    assert not np.array_equal(pixels("one-happy.png"), pixels("one.png"))


def test_strength_and_mix_are_in_the_name_and_reach_the_editor(call, photos, fake_editor):
    assert call("edit", "one.png", "--expr", "happy", "--strength", "0.5")[1] == b"one-happy50.png\n"
    assert call("edit", "one.png", "--expr", "HA:0.6,sadness:0.4")[1] == b"one-happy60-sad40.png\n"
    assert fake_editor.calls == ["happy:0.5", "happy:0.6,sad:0.4"]


def test_strength_zero_returns_the_decoded_pixels(call, photos):
    assert call("edit", "one.png", "--expr", "happy", "--strength", "0", "-o", "same.png")[0] == 0
    assert np.array_equal(pixels("same.png"), pixels("one.png"))


def test_one_bad_photo_does_not_stop_the_others(call, photos):
    Path("out").mkdir()
    names = ["one.png", "broken.png", "empty.png", "gone.png", "two.png"]
    code, out, err = call("edit", *names, "--expr", "happy", "-o", "out", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert [line["input"] for line in lines] == names
    assert [line["outcome"] for line in lines] == ["done", "unreadable", "no_face", "unreadable", "done"]
    assert sorted(path.name for path in Path("out").iterdir()) == ["one-happy.png", "two-happy.png"]
    for line in lines:
        assert (line["message"] == "") == (line["outcome"] == "done")
        assert line["message"] == "" or line["input"] in line["message"]
    assert err.count("error: ") == 3
    assert "Traceback" not in err


def test_json_carries_what_is_promised(call, photos):
    _, out, _ = call("edit", "one.png", "--expr", "happy:0.5", "--strength", "2", "--json")
    value = json.loads(out)
    assert {
        "input",
        "output",
        "faces",
        "model",
        "precision",
        "expression",
        "strength",
        "seconds",
        "outcome",
        "message",
    } <= set(value)
    assert (value["model"], value["expression"], value["strength"]) == ("pixel", "happy:0.5", 2.0)
    assert value["precision"] == "fp32"
    assert set(value["faces"][0]) == {"number", "box", "points", "seam", "change", "warnings"}
    assert np.shape(value["faces"][0]["points"]) == (5, 2)
    assert {"read", "model", "write", "total"} <= set(value["seconds"])


def test_an_existing_output_stays_unless_overwriting(call, photos):
    Path("one-happy.png").write_bytes(b"precious")
    code, out, err = call("edit", "one.png", "--expr", "happy")
    assert (code, out) == (1, b"")
    assert "--overwrite" in err
    assert Path("one-happy.png").read_bytes() == b"precious"
    assert call("edit", "one.png", "--expr", "happy", "--overwrite")[0] == 0
    assert Path("one-happy.png").read_bytes() != b"precious"


def test_in_place_changes_the_input_and_leaves_nothing_else(call, photos):
    before = pixels("one.png")
    names = sorted(path.name for path in photos.iterdir())
    code, out, _ = call("edit", "one.png", "--expr", "happy", "--in-place")
    assert (code, out) == (0, b"one.png\n")
    assert not np.array_equal(pixels("one.png"), before)
    assert sorted(path.name for path in photos.iterdir()) == names


def test_writing_over_the_input_needs_in_place(call, photos):
    before = Path("one.png").read_bytes()
    code, _, err = call("edit", "one.png", "--expr", "happy", "-o", "one.png", "--overwrite")
    assert code == 2
    assert "--in-place" in err
    assert Path("one.png").read_bytes() == before


def test_pipe_in_and_out_carries_nothing_but_the_image(call, photos, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Stream(Path("photo.jpg").read_bytes()))
    code, out, err = call("edit", "-", "--expr", "happy")
    assert code == 0
    assert pixels(io.BytesIO(out)).shape == (40, 48, 3)
    assert Image.open(io.BytesIO(out)).format == "JPEG"
    assert "stdin: 1 face" in err


def test_a_broken_pipe_in_names_stdin(call, photos, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Stream(b"no image"))
    code, out, err = call("edit", "-", "--expr", "happy")
    assert (code, out) == (1, b"")
    assert "stdin" in err


def test_a_terminal_is_never_filled_with_image_bytes(call, photos, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    code, out, err = call("edit", "one.png", "--expr", "happy", "-o", "-")
    assert (code, out) == (2, b"")
    assert "terminal" in err


def test_missing_weights_end_the_run_with_3(call, photos):
    code, out, err = call("edit", "one.png", "two.png", "--expr", "happy", "--model", "missing")
    assert (code, out) == (3, b"")
    assert err.count("\n") == 1
    assert "missing" in err


def test_quiet_says_nothing_but_errors(call, photos):
    assert call("edit", "one.png", "--expr", "happy", "--quiet")[2] == ""
    assert call("edit", "empty.png", "--expr", "happy", "--quiet")[2].startswith("error: empty.png")


def test_warnings_name_file_and_face(call, photos):
    assert "warning: one.png: face 1: face is small" in call("edit", "one.png", "--expr", "happy")[2]


def test_debug_shows_the_traceback_and_the_line(call, photos, monkeypatch):
    monkeypatch.setenv("SARGAN_DEBUG", "0")
    assert "Traceback" not in call("edit", "broken.png", "--expr", "happy")[2]
    err = call("edit", "broken.png", "--expr", "happy", "--debug")[2]
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("error: broken.png")


def test_a_folder_is_refused_by_name(call, photos):
    Path("album").mkdir()
    code, _, err = call("edit", "album", "--expr", "happy", "-o", "out.jpg")
    assert code == 1
    assert "album" in err
    assert "folder" in err


def test_unexpected_errors_are_one_line(call, photos, fake_editor, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(fake_editor, "edit", fail)
    code, out, err = call("edit", "one.png", "--expr", "happy")
    assert (code, out) == (1, b"")
    assert "ZeroDivisionError" in err
    assert "Traceback" not in err


def test_interrupt_ends_with_130(call, photos, fake_editor, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(fake_editor, "edit", interrupt)
    code, out, err = call("edit", "one.png", "two.png", "--expr", "happy")
    assert (code, out, err) == (130, b"", "error: interrupted\n")
    assert not list(photos.glob("*happy*"))


def test_grid_holds_the_original_and_all_seven(call, photos, fake_editor):
    code, out, _ = call("edit", "photo.jpg", "one.png", "--grid")
    assert (code, out.split()) == (0, [b"photo-grid.png", b"one-grid.png"])
    assert len(set(fake_editor.calls)) == 7
    assert pixels("one-grid.png").shape[1] > 4 * 30


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".mp4"])
def test_animation_rises_to_the_full_strength(call, photos, fake_editor, suffix):
    code, out, _ = call(
        "edit", "one.png", "--expr", "happy", "--strength", "0.8", "--animate", f"loop{suffix}"
    )
    assert (code, out) == (0, f"loop{suffix}\n".encode())
    assert fake_editor.calls[0] == "happy:0.8"
    assert Path(f"loop{suffix}").stat().st_size > 100
