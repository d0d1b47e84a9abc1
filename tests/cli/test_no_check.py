"""The check of edits as a user sees it: members of the JSON object, and a way round missing weights."""

import json
import os
import shutil
from pathlib import Path

from sargan_core.weights import weights_folder

PORTRAIT = Path(__file__).parents[2] / "examples" / "portrait.jpg"


def test_json_tells_the_check_of_every_face(sargan, tmp_path):
    done = sargan("edit", PORTRAIT, "--expr", "happy", "-o", tmp_path / "out.jpg", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    (face,) = report["faces"]
    assert face["check"].keys() == {"expression", "reached", "before", "identity"}
    assert face["check"]["reached"] > face["check"]["before"]
    assert report["seconds"]["check"] > 0


def test_missing_judge_weights_name_themselves_and_the_way_round(sargan, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(weights_folder(), home / "weights")
    Path(home, "weights", "judge.safetensors").unlink()
    environment = {**os.environ, "SARGAN_HOME": str(home)}
    call = ("edit", PORTRAIT, "--expr", "happy", "-o", tmp_path / "out.jpg", "--json")
    stopped = sargan(*call, env=environment)
    assert stopped.returncode == 3
    assert b"judge.safetensors" in stopped.stderr
    assert b"--no-check" in stopped.stderr
    done = sargan(*call, "--no-check", env=environment)
    assert done.returncode == 0, done.stderr
    assert "check" not in json.loads(done.stdout)["faces"][0]
