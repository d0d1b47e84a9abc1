import json

import numpy as np
import pytest
from made_faces import MadeJudge, face_photo, with_expression
from PIL import Image

from sargan_core.batch.manifest import Entry
from sargan_core.errors import DataError
from sargan_core.evaluation.series import JSON, check_series, write_series
from sargan_core.models.landmarks.finder import face_finder

STRENGTHS = (0.25, 0.5, 0.75, 1.0)


@pytest.fixture(scope="module")
def face():
    found = face_finder("builtin").find(face_photo())[0]
    return {"number": 1, "box": list(found.box), "points": found.points.tolist(), "warnings": []}


@pytest.fixture
def batch(tmp_path, face):
    """A batch of one photo: happy opens the mouth with every strength, sad opens and then closes it."""
    Image.fromarray(face_photo()).save(tmp_path / "input.png")
    lines = []
    for expression, amounts in (
        ("happy", (0.4, 0.6, 0.8, 1.0)),
        ("surprised,happy:0.5", (1.0, 1.2, 0.2, 0.2)),
    ):
        for strength, amount in zip(STRENGTHS, amounts, strict=True):
            name = f"{expression.partition(',')[0]}{strength}.png"
            Image.fromarray(with_expression(face_photo(), amount)).save(tmp_path / name)
            entry = Entry(
                *("input.png", "", name, "", "pixel", expression, strength, "done"),
                faces=(face,),
                finished="2026-01-01T00:00:00Z",
            )
            lines.append(json.dumps(entry.to_json()))
    (tmp_path / "sargan-batch.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_rising_series_rise_and_falling_ones_say_where(batch):
    report = check_series(batch, [MadeJudge()])
    by_name = {series.expression: series for series in report.series}
    happy, mix = by_name["happy"], by_name["surprised,happy:0.5"]
    assert [step.strength for step in happy.steps] == [0.0, *STRENGTHS]
    assert happy.monotone
    assert happy.gain > 0.3
    assert happy.steps[0].identity == pytest.approx(1, abs=1e-5)
    assert happy.steps[-1].identity < 1
    assert mix.drops == (0.75,)
    assert not mix.monotone


def test_a_set_without_its_inputs_is_checked_from_the_first_strength_on(batch):
    (batch / "input.png").unlink()
    report = check_series(batch, [MadeJudge()])
    assert [step.strength for step in report.series[0].steps] == list(STRENGTHS)
    assert {step.identity for series in report.series for step in series.steps} == {None}


def test_what_cannot_be_looked_at_is_left_out_and_named(batch):
    (batch / "happy0.5.png").write_bytes(b"torn")
    report = check_series(batch, [MadeJudge()])
    assert list(report.left_out) == ["happy0.5.png"]
    assert len(report.series) == 2


def test_report_files(batch, tmp_path):
    report = check_series(batch, [MadeJudge()])
    page = write_series(report, {"sargan": "0.1.0"}, tmp_path).read_text()
    assert "1 of 2 series rise" in page
    assert "surprised,happy:0.5" in page
    values = json.loads((tmp_path / JSON).read_text())
    assert [series["monotone"] for series in values["series"]] == [True, False]
    lines = (tmp_path / "series.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 5


def test_a_manifest_whose_faces_are_nonsense_ends_in_one_line(batch, face):
    manifest = batch / "sargan-batch.jsonl"
    text = manifest.read_text()
    for broken in ({}, {**face, "box": [1, 2]}, {**face, "points": "x"}, {**face, "box": [0, 0, -1, 5]}):
        manifest.write_text(text.replace(json.dumps(face), json.dumps(broken)))
        with pytest.raises(DataError, match="run batch"):
            check_series(batch, [MadeJudge()])


def test_a_folder_without_series(tmp_path):
    with pytest.raises(DataError, match="sargan-batch"):
        check_series(tmp_path, [MadeJudge()])
    assert np.isfinite(face_photo()).all()
