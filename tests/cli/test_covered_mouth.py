"""A covered mouth as a user sees it: a note for people and in the JSON object."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

PORTRAIT = Path(__file__).parents[2] / "examples" / "portrait.jpg"

NOTE = "something is in front of mouth or chin"


def test_a_covered_mouth_is_named_on_stderr_and_in_the_json_object(sargan, tmp_path):
    pixels = np.array(Image.open(PORTRAIT))
    pixels[132:176, 84:168] = [20, 120, 60]
    photo = tmp_path / "covered.png"
    Image.fromarray(pixels).save(photo)
    done = sargan("edit", photo, "--expr", "happy", "-o", tmp_path / "out.png", "--json", "--no-check")
    assert done.returncode == 0, done.stderr
    (face,) = json.loads(done.stdout)["faces"]
    assert any(NOTE in warning for warning in face["warnings"])
    assert NOTE.encode() in done.stderr
    board = np.s_[134:174, 86:166]
    assert np.abs(np.array(Image.open(tmp_path / "out.png"))[board].astype(int) - pixels[board]).max() <= 2
    again = sargan(
        "edit", photo, "--expr", "happy", "-o", tmp_path / "all.png", "--no-check", "--no-occlusion"
    )
    assert again.returncode == 0, again.stderr
    assert NOTE.encode() not in again.stderr
    assert np.abs(np.array(Image.open(tmp_path / "all.png"))[board].astype(int) - pixels[board]).max() > 2
