"""``sargan evaluate`` as a user calls it, on a made set of one rendered face."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sargan_core.batch.manifest import Entry

PORTRAIT = Path(__file__).parents[2] / "examples" / "portrait.jpg"


def opened(picture, box, amount):
    """The same face with its mouth open; everything else stays."""
    result = picture.copy()
    x0, y0, x1, y1 = box
    middle = (y0 + y1) / 2
    reach = max(2.0, amount * (x1 - x0) / 2)
    ImageDraw.Draw(result).ellipse((x0, middle - reach / 2, x1, middle + reach), fill=(50, 15, 15))
    return result


@pytest.fixture(scope="module")
def face():
    from sargan_core.models.landmarks.finder import face_finder

    picture = Image.open(PORTRAIT).convert("RGB")
    picture.thumbnail((320, 320))
    found = face_finder("detector").find(np.asarray(picture))[0]
    return picture, found


@pytest.fixture(scope="module")
def people(face, tmp_path_factory):
    """Two people in class folders: the face and its mirror image."""
    folder = tmp_path_factory.mktemp("people")
    picture, found = face
    (x0, y0), (x1, y1) = found.points[3], found.points[4]
    pictures = {"neutral": picture, "happy": opened(picture, (x0, y0, x1, y1), 0.5)}
    for expression, shown in pictures.items():
        (folder / expression).mkdir()
        shown.save(folder / expression / "anna.png")
        shown.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / expression / "bert.png")
    return folder


@pytest.fixture(scope="module")
def report(people, tmp_path_factory):
    """One real run in a process of its own."""
    import subprocess
    import sys

    out = tmp_path_factory.mktemp("run") / "report"
    command = [
        *(sys.executable, "-m", "sargan_cli", "evaluate", "--data", str(people), "--model", "pixel-plain"),
        *("--split", "all", "--out", str(out), "--curves", "1", "--workers", "1", "--json"),
    ]
    return subprocess.run(command, capture_output=True, timeout=300, check=False), out


def test_a_run_writes_the_report_and_one_object(report):
    process, out = report
    assert process.returncode == 0, process.stderr.decode()
    (line,) = process.stdout.splitlines()
    values = json.loads(line)
    assert values["models"] == ["none", "pixel-plain", "truth"]
    assert values["costs"]["pixel-plain"]["parameters"] > 200_000
    assert {file.name for file in out.iterdir()} == {
        *("journal.jsonl", "report.html", "results.csv", "results.json", "results.md")
    }
    assert b"--inception" in process.stderr


def test_pictures_of_class_folders_are_compared_after_registration(report):
    values = json.loads((report[1] / "results.json").read_text())
    assert values["truths"]["in"] == {"exact": 0, "registered": 2}
    rows = {
        row["model"]: row["figures"] for row in values["rows"] if row["expression"] == row["source"] == "all"
    }
    assert rows["none"]["background"]["mean"] == 0
    assert rows["pixel-plain"]["background"]["mean"] == 0
    assert "landmarks" not in rows["none"]
    assert rows["none"]["mse"]["mean"] > 0


def test_a_finished_run_again_is_quick_and_prints_the_page(report, people, call):
    out = report[1]
    code, stdout, stderr = call(
        *(
            "evaluate",
            "--data",
            str(people),
            "--model",
            "none",
            "--split",
            "all",
            "--out",
            str(out),
            "--quiet",
        ),
        *("--workers", "1"),
    )
    assert code == 0
    assert stdout.decode().strip() == str(out / "report.html")
    assert stderr == ""


def test_two_runs_side_by_side(report, tmp_path, call):
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    values = json.loads(report[0].stdout)
    before.write_text(json.dumps(values))
    for person in values["people"]["in"]["pixel-plain"]["mse"]:
        values["people"]["in"]["pixel-plain"]["mse"][person] *= 0.5
    after.write_text(json.dumps(values))
    code, stdout, stderr = call("evaluate", "--compare", str(before), str(after))
    assert code == 0
    lines = [line for line in stdout.decode().splitlines() if "pixel-plain" in line]
    assert [line.split()[-1] for line in lines if "MSE" in line] == ["better"]
    assert sum("within the noise" in line for line in lines) == len(lines) - 1
    assert "one exceeds the noise" in stderr


def test_a_batch_is_checked_for_rising_series(face, tmp_path, call):
    picture, found = face
    picture.save(tmp_path / "anna.png")
    (x0, y0), (x1, y1) = found.points[3], found.points[4]
    record = {"number": 1, "box": list(found.box), "points": found.points.tolist(), "warnings": []}
    lines = []
    for strength in (0.5, 1.0):
        name = f"anna-surprised{strength}.png"
        opened(picture, (x0, y0, x1, y1), strength).save(tmp_path / name)
        entry = Entry(
            *("anna.png", "", name, "", "pixel", "surprised", strength, "done"),
            faces=(record,),
            finished="2026-01-01T00:00:00Z",
        )
        lines.append(json.dumps(entry.to_json()))
    (tmp_path / "sargan-batch.jsonl").write_text("\n".join(lines) + "\n")
    code, stdout, _ = call("evaluate", "--data", str(tmp_path), "--out", str(tmp_path / "check"), "--json")
    assert code == 0
    (series,) = json.loads(stdout)["series"]
    assert [step["strength"] for step in series["steps"]] == [0.0, 0.5, 1.0]
    assert (tmp_path / "check" / "series.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "--data"),
        (("--data", "nowhere"), 1, "no such folder"),
        (("--data", "{people}", "--model", "nowhere"), 3, "no weights called"),
        (("--data", "{people}", "--model", "a,a"), 2, "--model"),
        (("--data", "{people}", "--model", "mine=nowhere.safetensors"), 3, "nowhere.safetensors"),
        (("--data", "{people}", "--judge", "nowhere.toml"), 1, "nowhere.toml"),
        (("--data", "{people}", "--split", "nowhere.json"), 1, "nowhere.json"),
        (("--data", "{people}", "--out", "{people}"), 2, "other files"),
        (("--compare", "a.json", "b.json"), 1, "a.json"),
        (("--compare", "a.json", "b.json", "--data", "x"), 2, "--compare"),
    ],
)
def test_what_cannot_be_done_ends_in_one_line(people, tmp_path, monkeypatch, call, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    given = [argument.replace("{people}", str(people)) for argument in arguments]
    found, stdout, stderr = call("evaluate", *given)
    assert found == code
    assert stdout == b""
    errors = [line for line in stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert words in errors[0]
