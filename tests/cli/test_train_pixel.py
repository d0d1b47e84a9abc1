"""Training a pixel model of one's own, from photos to an edit, with the real command."""

import json

import numpy as np
import pytest
import skimage.data
from PIL import Image

from sargan_core.editor import Editor, EditSettings
from sargan_core.expressions import parse_mix
from sargan_core.photo.photo import Photo


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Class folders of three people, made from one: as it is, mirrored, and darker."""
    folder = tmp_path_factory.mktemp("faces")
    editor = Editor(EditSettings(model="pixel", device="cpu"))
    astronaut = skimage.data.astronaut()
    people = {
        "a": astronaut,
        "b": np.ascontiguousarray(astronaut[:, ::-1]),
        "c": (astronaut * 0.7).astype(np.uint8),
    }
    for name, pixels in people.items():
        for label in ("neutral", "sad"):
            (folder / label).mkdir(exist_ok=True)
            edited = editor.edit(Photo(pixels), parse_mix(label)).photo.pixels
            Image.fromarray(edited).save(folder / label / f"{name}.png")
    (folder / "neutral" / "broken.png").write_bytes(b"not a picture")
    return folder


@pytest.mark.parametrize("form", ["plain", "displaced"])
def test_from_photos_to_an_edit(sargan, photos, tmp_path, form):
    out = tmp_path / "run"
    result = sargan(
        *("train", "pixel", "--form", form, "--size", "96", "--data", photos, "--out", out),
        *("--cache", tmp_path / "cache"),
    )
    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout.decode().strip() == str(out / "pixel.safetensors")
    assert "broken.png" in result.stderr.decode()
    assert {path.name for path in out.iterdir()} >= {
        "pixel.safetensors",
        "pixel.md",
        "figures.json",
        "sheet.png",
        "split.json",
    }
    split = json.loads((out / "split.json").read_text())
    assert len(split["test"]) == 1
    figures = json.loads((out / "figures.json").read_text())["figures"]
    assert {figure["expression"] for figure in figures} == {"neutral", "sad"}
    photo, edited = photos / "neutral" / "a.png", tmp_path / "edited.png"
    result = sargan("edit", photo, "--expr", "sad", "--weights", out / "pixel.safetensors", "-o", edited)
    assert result.returncode == 0, result.stderr.decode()
    with Image.open(photo) as before, Image.open(edited) as after:
        assert (np.asarray(before) != np.asarray(after.convert("RGB"))).any()
    result = sargan("edit", photo, "--expr", "happy", "--weights", out / "pixel.safetensors", "-o", "-")
    assert result.returncode != 0
    assert "not trained for 'happy'" in result.stderr.decode()


def test_no_data_is_wrong_usage(sargan):
    result = sargan("train", "pixel")
    assert result.returncode == 2
    assert "--data" in result.stderr.decode()


def test_landmark_training_needs_landmarks(sargan, photos, tmp_path):
    result = sargan("train", "landmarks", "--data", photos, "--out", tmp_path / "run")
    assert result.returncode == 1
    assert "no landmarks come with these photos" in result.stderr.decode()
    assert not (tmp_path / "run").exists()
