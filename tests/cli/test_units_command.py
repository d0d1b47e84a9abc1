import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sargan_core.photo.photo import read_photo

PORTRAIT = Path(__file__).parents[2] / "examples" / "portrait.jpg"


def sargan(*arguments):
    command = [sys.executable, "-m", "sargan_cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_units_move_the_face_and_the_file_is_named_after_them(tmp_path):
    photo = tmp_path / "me.jpg"
    photo.write_bytes(PORTRAIT.read_bytes())
    done = sargan("edit", photo, "--units", "corner_pull=0.8,brow_up_L=0.5", "--json")
    assert done.returncode == 0, done.stderr
    (line,) = map(json.loads, done.stdout.splitlines())
    assert line["output"] == str(tmp_path / "me-corner_pull80-brow_up_L50.jpg")
    assert line["model"] == "units"
    assert line["code"] == {"brow_up_L": 0.5, "corner_pull_L": 0.8, "corner_pull_R": 0.8}
    assert (read_photo(Path(line["output"])).pixels != read_photo(photo).pixels).any()


def test_the_code_that_a_reference_shows_is_printed(tmp_path):
    done = sargan(
        "edit", PORTRAIT, "--like", PORTRAIT, "--model", "units", "--json", "-o", tmp_path / "out.png"
    )
    assert done.returncode == 0, done.stderr
    code = json.loads(done.stdout)["code"]
    assert all(isinstance(weight, float) for weight in code.values())


def test_a_code_of_zero_changes_no_pixel(tmp_path):
    done = sargan("edit", PORTRAIT, "--units", "corner_pull=0", "-o", tmp_path / "out.png")
    assert done.returncode == 0, done.stderr
    assert np.array_equal(read_photo(tmp_path / "out.png").pixels, read_photo(PORTRAIT).pixels)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--units", "corner_pul=1"], "Did you mean 'corner_pull'"),
        (["--units", "corner_pull=9"], "goes from 0 to 1.25"),
        (["--units", "corner_pull=1", "--strength", "2"], "goes from 0 to 1.25"),
        (["--units", "corner_pull=1", "--grid"], "--grid"),
        (["--units", "corner_pull=1", "--like", PORTRAIT], "--like"),
        (["--units", "corner_pull=1", "--expr", "hapy"], "hapy"),
    ],
)
def test_what_cannot_be_meant_is_one_line_of_usage(tmp_path, arguments, said):
    done = sargan("edit", PORTRAIT, *arguments, "-o", tmp_path / "out.png")
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_model_that_knows_no_units_says_which_does(tmp_path):
    done = sargan(
        "edit", PORTRAIT, "--units", "corner_pull=1", "--model", "pixel", "-o", tmp_path / "out.png"
    )
    assert done.returncode == 2
    assert "--model units" in done.stderr


def test_the_list_has_every_unit_with_its_number():
    done = sargan("models", "units")
    assert done.returncode == 0
    assert "corner_pull" in done.stdout
    assert "AU12" in done.stdout
    entries = [json.loads(line) for line in sargan("models", "units", "--json").stdout.splitlines()]
    assert sum(len(entry["parts"]) for entry in entries) == 54


def test_a_batch_makes_a_folder_for_each_code_and_is_resumed(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.jpg").write_bytes(PORTRAIT.read_bytes())
    call = ["batch", photos, "-u", "jaw_side=-0.5", "-u", "brow_up=1", "--out", tmp_path / "out", "--json"]
    first = sargan(*call)
    assert first.returncode == 0, first.stderr
    lines = [json.loads(line) for line in first.stdout.splitlines()]
    assert sorted(line["expression"] for line in lines) == ["brow_up=1", "jaw_side=-0.5"]
    assert sorted(path.parent.name for path in (tmp_path / "out").rglob("*.jpg")) == [
        "brow_up100",
        "jaw_side-50",
    ]
    assert "nothing to do" in sargan(*call).stderr
