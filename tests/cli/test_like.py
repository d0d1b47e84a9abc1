import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

PORTRAIT = Path(__file__).parents[2] / "examples" / "portrait.jpg"


@pytest.fixture
def friend(tmp_path):
    path = tmp_path / "friend.png"
    Image.fromarray(skimage.data.astronaut()[:300, 60:380]).save(path)
    return path


@pytest.fixture
def face(tmp_path):
    path = tmp_path / "face.jpg"
    with Image.open(PORTRAIT) as image:
        image.convert("RGB").resize((320, round(320 * image.height / image.width))).save(path, quality=95)
    return path


def test_the_expression_of_a_photo(sargan, face, friend):
    run = sargan("edit", face, "--like", friend, "--json", "--no-check", "--landmarks", "builtin")
    assert run.returncode == 0, run.stderr.decode()
    report = json.loads(run.stdout)
    made = face.with_name("face-like-friend.jpg")
    assert report["output"] == str(made)
    assert report["model"] == "units"
    assert report["expression"] == "like friend.png"
    assert report["faces"][0]["change"] > 0.002
    with Image.open(made) as image, Image.open(face) as before:
        assert image.size == before.size
        assert b"like friend.png" in image.info["xmp"]
        assert np.abs(np.asarray(image, int) - np.asarray(before, int)).max() > 20
    again = sargan("edit", face, "--like", friend, "--strength", "0", "-o", face.with_name("same.png"))
    assert again.returncode == 0, again.stderr.decode()
    with Image.open(face.with_name("same.png")) as image, Image.open(face) as before:
        assert np.array_equal(np.asarray(image), np.asarray(before))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--like", "friend.png", "--expr", "happy"], "a face can show only one"),
        (["--like", "friend.png", "--grid"], "--animate FILE"),
        (["--like", "-"], "needs a file"),
        (["--expr", "happy", "--like-face", "2"], "name that photo"),
        (["--like", "friend.png", "-o", "friend.png"], "must not be written over"),
    ],
)
def test_what_cannot_go_together(call, photos, arguments, words):
    Image.fromarray(np.full((40, 40, 3), 99, np.uint8)).save("friend.png")
    code, out, err = call("edit", "one.png", *arguments)
    assert code == 2
    assert out == b""
    assert words in err


@pytest.mark.parametrize("command", ["edit", "batch"])
@pytest.mark.parametrize(
    ("reference", "limit", "said"),
    [
        ("broken.png", [], "broken.png: "),
        ("gone.png", [], "there is no such file"),
        ("large.png", ["--max-pixels", "90000"], "--max-pixels"),
    ],
)
def test_a_reference_that_cannot_be_read_is_wrong_usage(sargan, tmp_path, command, reference, limit, said):
    (tmp_path / "in").mkdir()
    for name in ("in/one.png", "in/two.png"):
        Image.new("RGB", (300, 300)).save(tmp_path / name)
    (tmp_path / "broken.png").write_bytes(b"not an image")
    Image.new("RGB", (301, 300)).save(tmp_path / "large.png")
    before = sorted(tmp_path.rglob("*"))
    inputs = ["in"] if command == "batch" else ["in/one.png", "in/two.png"]
    run = sargan(command, *inputs, "--like", reference, *limit, cwd=tmp_path)
    line = run.stderr.decode()
    assert (run.returncode, run.stdout) == (2, b""), line
    assert line.startswith(f"error: --like {reference}: ")
    assert said in line
    assert line.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", ["edit", "batch"])
def test_a_reference_without_a_face_ends_the_call_once(sargan, tmp_path, command):
    for name in ("one.png", "two.png", "nobody.png"):
        Image.new("RGB", (64, 64)).save(tmp_path / name)
    run = sargan(command, "one.png", "two.png", "--like", "nobody.png", "--max-pixels", "4096", cwd=tmp_path)
    line = run.stderr.decode()
    assert (run.returncode, run.stdout) == (1, b""), line
    assert line.startswith("error: nobody.png: no face")
    assert line.count("\n") == 1


def test_models_say_which_kind_of_target_they_take(sargan, face, friend):
    run = sargan("edit", face, "--like", friend, "--model", "pixel")
    assert run.returncode == 2
    assert "--model units" in run.stderr.decode()
    run = sargan("edit", face, "--expr", "happy", "--model", "aipgan")
    assert run.returncode == 2
    assert "--like" in run.stderr.decode()
