import csv
import io
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from made_results import made_results
from PIL import Image

from sargan_core.evaluation.examples import Example, Gallery
from sargan_core.evaluation.journal import Measure
from sargan_core.evaluation.report import render, to_csv, to_markdown
from sargan_core.evaluation.tables import cost_table, expression_table, summary_table

HOSTILE = '<script>alert("x")</script>'
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def gallery(person="p1"):
    measure = Measure(
        *("in", "made", person, "p1.png", "pixel", "happy"), values={"reached": 0.6, "identity": 0.8}
    )
    example = Example("reached", "best", measure, (PIXEL, PIXEL, PIXEL))
    return Gallery(
        {"in": {"pixel": {"happy": [example]}}},
        {"in": [("happy", PIXEL, PIXEL, {"pixel": PIXEL, "sargan": PIXEL})]},
    )


def test_the_best_model_is_marked_and_rows_that_do_not_compete_are_not():
    table = summary_table(made_results(), "in")
    best = {
        column.split(",")[0].split(" ")[0]: [name for name, cells in table.rows if cells[index].best]
        for index, column in enumerate(table.columns)
    }
    assert best["probability"] == ["pixel"]
    assert best["identity"] == ["sargan"]
    assert best["MSE"] == ["pixel"]
    assert best["detail"] == ["pixel"]  # 1.1 is nearer to 1 than 0.7
    assert best["background"] == []


def test_every_model_has_its_row_and_its_table_by_expression():
    results = made_results()
    assert [name for name, _ in summary_table(results, "in").rows] == [
        *("none (do nothing)", "pixel", "sargan", "true pictures")
    ]
    assert [name for name, _ in expression_table(results, "in", "pixel").rows] == ["happy", "sad"]
    assert summary_table(results, "ood") is None
    assert cost_table(results).rows[0][1][2].text == "2.0"


def test_a_cost_that_could_not_be_measured_is_dashes_and_a_note():
    results = replace(made_results(), cost_notes={"sargan": "the cost of 'sargan' could not be measured (x)"})
    table = cost_table(results)
    assert [name for name, _ in table.rows] == ["pixel", "sargan"]
    assert {cell.text for cell in table.rows[1][1]} == {"–"}
    assert "could not be measured (x)" in render(results, Gallery({}, {}))
    assert "could not be measured (x)" in to_markdown(results)
    assert cost_table(replace(results, costs={})).rows == table.rows[1:]


def test_csv_has_every_mean_and_markdown_every_table():
    results = made_results()
    lines = list(csv.DictReader(io.StringIO(to_csv(results))))
    one = next(
        line
        for line in lines
        if (line["model"], line["expression"], line["source"], line["figure"])
        == ("pixel", "all", "all", "reached")
    )
    assert float(one["mean"]) == pytest.approx(results.row("pixel").figures["reached"].mean, rel=1e-5)
    assert float(one["low"]) < float(one["mean"]) < float(one["high"])
    text = to_markdown(results)
    assert "## In the data set" in text
    assert "12.0 (± 3.0)" in text
    assert all(line.count("|") == text.splitlines()[6].count("|") for line in text.splitlines()[6:10])


def test_nothing_from_outside_can_become_markup():
    results = made_results()
    hostile = replace(
        results,
        judges={HOSTILE: HOSTILE},
        versions={HOSTILE: HOSTILE},
        settings={**results.settings, "data": [HOSTILE], "models": {HOSTILE: HOSTILE}},
        skipped={HOSTILE: HOSTILE},
        costs={HOSTILE: results.costs["pixel"]},
    )
    page = render(hostile, gallery(person=HOSTILE))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "<script" not in to_markdown(hostile).replace("`", "")


def test_the_page_loads_nothing_from_elsewhere():
    page = render(made_results(), gallery())
    assert "default-src 'none'" in page
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert "url(" not in page
    assert "<polyline" in page
    assert page.count("0.1.0") > 4  # versions stand beside every figure


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [500, 1280])
def test_a_browser_shows_it(tmp_path, width):
    page = tmp_path / "report.html"
    page.write_text(render(made_results(), gallery()))
    picture = tmp_path / "shot.png"
    command = [
        *(
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
        ),
        *(f"--window-size={width},1400", f"--screenshot={picture}", page.as_uri()),
    ]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    shown = np.asarray(Image.open(picture).convert("L")).astype(float)
    assert shown.shape[1] == width
    # Text and panels reach over the page's height, and nothing sticks out at the right.
    assert (shown[:1300].std(1) > 1).mean() > 0.3
    assert np.ptp(shown[:, -3:]) < 12
