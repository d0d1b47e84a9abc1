import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from PIL import Image

from sargan_core.batch.report import THUMBNAILS, write_report
from sargan_core.errors import PhotoError, UsageError
from sargan_core.page import address

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ODD_NAMES = [
    "plain.jpg",
    "with space #1 %41 ?x=y&z.jpg",
    "quote\"'`<script>document.title='owned'<∕script>.jpg",
    "emoji 😀 ü.jpg",
    "javascript:alert(1).jpg",
    "back\\slash;,+.jpg",
    "series/strength 0.5/deep.png",
]
if sys.platform == "linux":
    ODD_NAMES += [os.fsdecode(b"not \xff utf-8 \xfe.jpg"), "new\nline.jpg"]


def line(source, output, **changes):
    """Return one line of a manifest."""
    face = {"number": 1, "box": [10, 12, 20, 24], "points": [], "seam": 0.5, "change": 0.02, "warnings": []}
    return {
        "format": 1,
        "input": str(source),
        "input_sha256": "0" * 64,
        "output": output,
        "options_sha256": "1" * 64,
        "model": "pixel",
        "expression": "happy",
        "strength": 1.0,
        "outcome": "done",
        "message": "",
        "faces": [face],
        "seam": 0.5,
        "seconds": {"read": 0.25, "paste": 0.5},
        "finished": "2026-02-03T04:05:06+00:00",
        **changes,
    }


def write_manifest(folder, lines):
    manifest = folder / "sargan-batch.jsonl"
    manifest.write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    return manifest


def picture(path, kind=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((48, 64, 3), 120, np.uint8)).save(path, kind)


@pytest.fixture
def odd(tmp_path):
    """A batch over photos with odd names; returns the results' folder."""
    inputs, results = tmp_path / "in puts #2", tmp_path / "results & more"
    for name in ODD_NAMES:
        picture(inputs / name)
        picture(results / name)
    write_manifest(results, [line(inputs / name, name) for name in ODD_NAMES])
    return results


def rows_of(page):
    island = re.search(r'<script type="application/json" id="rows">(.*?)</script>', page.read_text(), re.S)
    return json.loads(island[1])


def report(folder, name="sargan-batch.html"):
    page = folder / name
    write_report(folder / "sargan-batch.jsonl", page)
    return page


def test_addresses_lead_to_the_files_whatever_their_names(odd):
    page = report(odd)
    rows = rows_of(page)
    assert len(rows) == len(ODD_NAMES)
    for row in rows:
        for side in ("before", "after"):
            link = row[side]["link"]
            assert re.fullmatch(r"[A-Za-z0-9_.~/%-]+", link), link
            assert (page.parent / os.fsdecode(unquote_to_bytes(link))).is_file()


def test_the_page_can_lie_elsewhere(odd, tmp_path):
    (tmp_path / "pages" / "deep").mkdir(parents=True)
    page = tmp_path / "pages" / "deep" / "all.html"
    write_report(odd / "sargan-batch.jsonl", page)
    for row in rows_of(page):
        assert (page.parent / os.fsdecode(unquote_to_bytes(row["after"]["link"]))).is_file()


def test_nothing_of_a_manifest_becomes_markup(tmp_path):
    evil = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"
    face = {
        "number": evil,
        "box": [0, 0, 1, evil],
        "warnings": [evil],
        "change": math.nan,
        "check": {"expression": evil, "reached": math.inf, "identity": [1]},
    }
    lines = [
        line(evil, f"{number}.jpg", message=evil, model=evil, expression=evil, faces=[face, face])
        for number in range(2)
    ]
    lines.append(line("\0\ud800", "a\ud800b.jpg", faces=[{"warnings": evil, "check": evil, "box": evil}]))
    write_manifest(tmp_path, lines)
    page = report(tmp_path)
    assert [row["reached"] for row in rows_of(page)] == [None] * 3
    html = page.read_text()
    assert "NaN" not in html
    assert "<script>document.title" not in html
    assert "<img" not in html
    assert html.count("</script>") == 2


def test_the_same_results_give_the_same_bytes_and_nothing_from_the_network(odd):
    first, again = report(odd).read_bytes(), report(odd).read_bytes()
    assert first == again
    assert not re.search(rb"https?://", first)
    assert b"default-src 'none'" in first


def test_figures_are_those_of_the_manifest(tmp_path):
    def check(reached):
        return {"expression": "happy", "reached": reached, "before": 0.1, "identity": 0.9}

    def faces(reached, *warnings):
        return [
            {
                "number": 1,
                "box": [0, 0, 9, 9],
                "warnings": list(warnings),
                "check": check(reached),
                "change": 0.1,
            }
        ]

    write_manifest(
        tmp_path,
        [
            line("a.jpg", "a.jpg", faces=faces(0.8), seam=1.0),
            line("b.jpg", "b.jpg", faces=faces(0.4, "face is small"), seam=3.0),
            line("c.jpg", "c.jpg", outcome="no_face", faces=[], seam=None, message="c.jpg: no face found"),
            line("d.jpg", "d.jpg", outcome="failed", faces=[], seam=None, message="the disk is full"),
            line("d.jpg", "d.jpg", outcome="unreadable", faces=[], seam=None, message="damaged"),
        ],
    )
    page = report(tmp_path)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.read_text().split("<form")[0].split("<body>")[1]))
    assert "4 results, 2 faces" in text
    for figure in (
        "done 2", "no face 1", "unreadable 1", "with warnings 1", "2.00 worst 3.00", "seen 60 %", "person 0.90"
    ):  # fmt: skip
        assert figure in text
    assert "failed" not in text
    assert "paste 0.500 s · read 0.250 s" in text
    rows = {row["name"]: row for row in rows_of(page)}
    assert rows["b.jpg"]["warnings"] == ["face is small"]
    assert rows["c.jpg"]["after"] is None
    assert rows["a.jpg"]["reached"] == 0.8


def test_formats_that_browsers_cannot_show_get_a_small_copy(tmp_path):
    Image.fromarray(np.full((900, 1800, 3), 90, np.uint8)).save(tmp_path / "deep.tif")
    picture(tmp_path / "out" / "deep.tif", "TIFF")
    (tmp_path / "broken.tif").write_bytes(b"II*\0 not a photo")
    write_manifest(
        tmp_path,
        [
            line(tmp_path / "deep.tif", "out/deep.tif"),
            line("broken.tif", "none.tif", outcome="failed"),
        ],
    )
    page = report(tmp_path)
    good, bad = rows_of(page)
    small = tmp_path / good["before"]["show"]
    assert small.parent.name == THUMBNAILS
    with Image.open(small) as copy:
        assert copy.format == "JPEG"
        assert copy.size == (720, 360)
    assert good["before"]["scale"] == pytest.approx(0.4)
    assert good["after"]["scale"] == 1.0
    assert bad["before"]["show"] is None
    made = {path: path.stat().st_mtime_ns for path in small.parent.iterdir()}
    report(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in small.parent.iterdir()} == made


def test_remote_and_vanished_photos_leave_a_page(tmp_path):
    write_manifest(tmp_path, [line("s3://bucket/a.jpg", "a.jpg"), line("/gone/b.tif", "b.jpg")])
    remote, gone = rows_of(report(tmp_path))
    assert remote["before"] is None
    assert gone["before"]["show"] is None


def test_an_empty_manifest_gives_a_page(tmp_path):
    write_manifest(tmp_path, [])
    assert rows_of(report(tmp_path)) == []


def test_address_is_relative():
    assert address(Path("/a/b c/d#.jpg"), Path("/a/e")) == "../b%20c/d%23.jpg"


def test_ten_thousand_results_fit_a_page(tmp_path):
    write_manifest(tmp_path, [line(f"in/{number}.jpg", f"{number}.jpg") for number in range(10_000)])
    page = report(tmp_path)
    assert len(rows_of(page)) == 10_000
    assert page.stat().st_size < 10_000_000


def dumped(page, *options):
    """Return the page as Chromium has it after its script ran."""
    assert CHROMIUM is not None
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1400,4000",
        "--virtual-time-budget=10000", *options, "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, timeout=120, check=True)
    html = result.stdout.decode("utf-8", "replace")
    assert "<title>owned" not in html
    return html[: html.index('id="rows"')]


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_shows_every_pair(odd):
    dom = dumped(report(odd))
    assert dom.count("<article") == len(ODD_NAMES)
    # An image gets this class once it is loaded; a wrong address would have left a sentence instead.
    assert dom.count('class="zoomed"') == 2 * len(ODD_NAMES)
    assert "not there" not in dom
    assert "&lt;script&gt;document.title=" in dom
    assert f"{len(ODD_NAMES)} of {len(ODD_NAMES)} shown" in dom


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_takes_thousands_and_says_what_is_gone(tmp_path):
    lines = [line(f"in/{number}.jpg", f"{number}.jpg") for number in range(3_000)]
    lines[3] = line(
        "in/3.jpg", "3.jpg", outcome="unreadable", message="cut off <b>early</b>", faces=[], seam=None
    )
    write_manifest(tmp_path, lines)
    dom = dumped(report(tmp_path))
    assert "3000 of 3000 shown" in dom
    assert 60 <= dom.count("<article") < 1000
    assert "the file is not there" in dom
    assert "cut off &lt;b&gt;early&lt;/b&gt;" in dom


def test_half_a_surrogate_pair_anywhere_in_a_manifest_does_not_end_the_report(tmp_path):
    odd = "like \udce9 \ud800.jpg"
    texts = ("model", "expression", "message", "finished")
    odd_line = line(odd, odd, **dict.fromkeys(texts, odd), notes=[odd])
    manifest = write_manifest(tmp_path, [odd_line, line("../b.jpg", "b.jpg")])
    write_report(manifest, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_bytes().decode("utf-8")
    assert r"like \udce9 \ud800.jpg" in page


def test_a_file_in_the_place_of_the_small_copies_is_said(tmp_path):
    picture(tmp_path / "a.tif", "TIFF")
    (tmp_path / THUMBNAILS).touch()
    manifest = write_manifest(tmp_path, [line("a.tif", "a.tif")])
    with pytest.raises(PhotoError, match=rf"{THUMBNAILS}: cannot be made"):
        write_report(manifest, tmp_path / "report.html")


@pytest.mark.parametrize("content", [b"", b"Dear diary", b"<!doctype html>\n<title>Mine</title>"])
def test_a_page_of_somebody_else_stays(tmp_path, content):
    picture(tmp_path / "a.jpg")
    manifest = write_manifest(tmp_path, [line("a.jpg", "a.jpg")])
    (tmp_path / "report.html").write_bytes(content)
    with pytest.raises(UsageError, match="not a report of sargan"):
        write_report(manifest, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_bytes() == content
