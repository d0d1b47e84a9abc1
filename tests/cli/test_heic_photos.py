"""What a telephone makes goes through every command; the result is a JPEG beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

FOLDER = Path(__file__).parents[1] / "core" / "photo" / "heic"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """``examples/portrait.jpg`` as a HEIC."""
    return Path(shutil.copy(FOLDER / "portrait.heic", tmp_path / "IMG_1.HEIC"))


def test_edit_writes_a_jpeg_beside_it_and_says_so(call, photo: Path):
    code, _, err = call("edit", str(photo), "--expr", "happy", "--model", "pixel", "--no-check")
    assert code == 0, err
    assert "HEIC photos are only read; the result is written as JPEG" in err
    with Image.open(photo.with_name("IMG_1-happy.jpg")) as image:
        assert (image.format, image.size) == ("JPEG", (240, 240))


def test_detect_finds_the_face(call, photo: Path):
    code, out, err = call("detect", str(photo), "--json")
    assert code == 0, err
    assert len(json.loads(out)["faces"]) == 1


def test_batch_takes_heic_photos_of_a_folder(call, photo: Path):
    out = photo.parent / "out"
    arguments = ("--expr", "happy", "--out", str(out), "--model", "pixel", "--no-check", "--workers", "1")
    code, _, err = call("batch", str(photo.parent), *arguments)
    assert code == 0, err
    assert [path.name for path in out.rglob("IMG*")] == ["IMG_1.jpg"]


def test_a_heic_photo_is_never_written_over(call, photo: Path):
    before = photo.read_bytes()
    code, _, err = call("edit", str(photo), "--expr", "happy", "--in-place")
    assert code == 2
    assert "HEIC photos are only read" in err
    code, _, err = call("batch", str(photo.parent), "--expr", "happy", "--in-place", "--no-check")
    assert "HEIC photos, which are only read" in err
    assert photo.read_bytes() == before
