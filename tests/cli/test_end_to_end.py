"""The real command with the shipped weights, on a rendered portrait and on a real photo.

What concerns the process runs in one of its own (``sargan``), the rest in this one (``call``): it is quicker.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

PORTRAIT = Path(__file__).parents[2] / "examples" / "portrait.jpg"


@pytest.fixture(scope="module")
def astronaut(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "astronaut.png"
    Image.fromarray(skimage.data.astronaut()).save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_the_face_changes_and_everything_else_stays_bit_for_bit(sargan, astronaut, tmp_path):
    output = tmp_path / "sad.png"
    result = sargan("edit", astronaut, "--expr", "sad", "-o", output, "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    before, after = pixels(astronaut), pixels(output)
    assert before.shape == after.shape
    (face,) = report["faces"]
    x, y, width, height = face["box"]
    changed = np.abs(before - after).max(-1)
    rows, columns = np.nonzero(changed)
    assert changed[int(y) : int(y + height), int(x) : int(x + width)].mean() > 1
    assert columns.min() >= x - width
    assert columns.max() <= x + 2 * width
    assert rows.min() >= y - height
    assert rows.max() <= y + 2 * height
    assert face["change"] > 0
    assert report["outcome"] == "done"
    assert sum(report["seconds"][stage] for stage in ("read", "write")) <= report["seconds"]["total"]


def test_expressions_differ_and_strength_grows(call, tmp_path):
    def change(*options: str) -> np.ndarray:
        output = tmp_path / "out.png"
        code, _, err = call("edit", str(PORTRAIT), "-o", str(output), "--overwrite", *options)
        assert code == 0, err
        return pixels(output) - pixels(PORTRAIT)

    happy, half, sad = change("--expr", "happy"), change("-e", "happy", "-s", "0.5"), change("--expr", "sad")
    assert np.abs(happy - sad).mean() > 0.2
    assert 0 < np.abs(half).mean() < np.abs(happy).mean()
    assert not change("--expr", "happy", "--strength", "0").any()


def test_pipe_in_pipe_out_keeps_the_format_and_marks_the_photo(sargan):
    result = sargan("edit", "-", "--expr", "surprised", input=PORTRAIT.read_bytes())
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(b"\xff\xd8\xff")
    assert b"compositeWithTrainedAlgorithmicMedia" in result.stdout
    bare = sargan("edit", "-", "--expr", "surprised", "--no-provenance", input=PORTRAIT.read_bytes())
    assert b"compositeWithTrainedAlgorithmicMedia" not in bare.stdout


def test_a_mixed_call_does_what_it_can_and_says_what_it_could_not(sargan, astronaut, tmp_path):
    wall, torn, empty = tmp_path / "wall.png", tmp_path / "torn.jpg", tmp_path / "empty.jpg"
    Image.new("RGB", (300, 300), (120, 130, 140)).save(wall)
    torn.write_bytes(PORTRAIT.read_bytes()[:4000])
    empty.write_bytes(b"")
    folder = tmp_path / "größe 😀"
    folder.mkdir()
    inputs = [PORTRAIT, wall, torn, empty, astronaut]
    result = sargan("edit", *inputs, "--expr", "HA", "-o", folder)
    assert result.returncode == 1
    assert sorted(path.name for path in folder.iterdir()) == ["astronaut-happy.png", "portrait-happy.jpg"]
    errors = [line for line in result.stderr.decode().splitlines() if line.startswith("error: ")]
    assert [str(path) in line for path, line in zip((wall, torn, empty), errors, strict=True)] == [True] * 3
    assert b"Traceback" not in result.stderr


def test_grid_and_animation(call, tmp_path):
    grid, loop = tmp_path / "grid.png", tmp_path / "loop.gif"
    assert call("edit", str(PORTRAIT), "--grid", "-o", str(grid))[0] == 0
    assert pixels(grid).shape[1] > 3 * pixels(PORTRAIT).shape[1] // 2
    assert call("edit", str(PORTRAIT), "--expr", "happy", "--animate", str(loop))[0] == 0
    with Image.open(loop) as image:
        assert image.n_frames > 10
        assert image.size == Image.open(PORTRAIT).size


def test_faces_are_chosen_by_number(call, tmp_path):
    pair = Image.new("RGB", (512, 256))
    pair.paste(Image.open(PORTRAIT), (0, 0))
    pair.paste(Image.open(PORTRAIT), (256, 0))
    source, output, none = (str(tmp_path / name) for name in ("pair.png", "out.png", "none.png"))
    pair.save(source)
    assert call("edit", source, "--expr", "angry", "--faces", "2", "-o", output)[0] == 0
    changed = (pixels(Path(source)) != pixels(Path(output))).any(-1)
    assert not changed[:, :200].any()
    assert changed[:, 300:].any()
    code, _, err = call("edit", source, "--expr", "angry", "--faces", "3", "-o", none)
    assert code == 2
    assert "no face 3" in err
    assert not Path(none).exists()


def test_damaged_and_unknown_weights_give_3(call, tmp_path):
    bad, gone, output = (str(tmp_path / name) for name in ("bad.safetensors", "gone.safetensors", "x.jpg"))
    Path(bad).write_bytes(b"no tensors")
    for options in (["--weights", bad], ["--weights", gone], ["--model", "nothing"]):
        code, out, err = call("edit", str(PORTRAIT), "--expr", "happy", "-o", output, *options)
        assert (code, out) == (3, b""), (options, err)
        assert err.count("\n") == 1
    assert not Path(output).exists()


def test_the_shipped_weights_are_listed_and_whole(call):
    names = [json.loads(line)["name"] for line in call("models", "list", "--json")[1].splitlines()]
    assert "pixel" in names
    assert call("models", "verify")[0] == 0
