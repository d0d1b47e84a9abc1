"""The real command, in processes of its own, on a rendered portrait and on a real photo."""

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


def test_expressions_differ_and_strength_grows(sargan, tmp_path):
    def change(*options: str) -> np.ndarray:
        output = tmp_path / "out.png"
        result = sargan("edit", PORTRAIT, "-o", output, "--overwrite", *options)
        assert result.returncode == 0, result.stderr
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


def test_grid_and_animation(sargan, tmp_path):
    grid, loop = tmp_path / "grid.png", tmp_path / "loop.gif"
    assert sargan("edit", PORTRAIT, "--grid", "-o", grid).returncode == 0
    assert pixels(grid).shape[1] > 3 * pixels(PORTRAIT).shape[1] // 2
    assert sargan("edit", PORTRAIT, "--expr", "happy", "--animate", loop).returncode == 0
    with Image.open(loop) as image:
        assert image.n_frames > 10
        assert image.size == Image.open(PORTRAIT).size


def test_faces_are_chosen_by_number(sargan, tmp_path):
    pair = Image.new("RGB", (512, 256))
    pair.paste(Image.open(PORTRAIT), (0, 0))
    pair.paste(Image.open(PORTRAIT), (256, 0))
    source, output = tmp_path / "pair.png", tmp_path / "out.png"
    pair.save(source)
    assert sargan("edit", source, "--expr", "angry", "--faces", "2", "-o", output).returncode == 0
    changed = (pixels(source) != pixels(output)).any(-1)
    assert not changed[:, :200].any()
    assert changed[:, 300:].any()
    missing = sargan("edit", source, "--expr", "angry", "--faces", "3", "-o", tmp_path / "none.png")
    assert missing.returncode == 2
    assert b"no face 3" in missing.stderr
    assert not (tmp_path / "none.png").exists()


def test_damaged_and_unknown_weights_give_3(sargan, tmp_path):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"no tensors")
    for options in (["--weights", bad], ["--weights", tmp_path / "gone.safetensors"], ["--model", "nothing"]):
        result = sargan("edit", PORTRAIT, "--expr", "happy", "-o", tmp_path / "x.jpg", *options)
        assert result.returncode == 3, (options, result.stderr)
        assert result.stderr.count(b"\n") == 1
    assert not (tmp_path / "x.jpg").exists()


def test_the_shipped_weights_are_listed_and_whole(sargan):
    names = [json.loads(line)["name"] for line in sargan("models", "list", "--json").stdout.splitlines()]
    assert "pixel" in names
    assert sargan("models", "verify").returncode == 0
