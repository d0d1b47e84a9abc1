"""``sargan batch`` with a stand-in editor: streams, names, exit codes, refusals."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from batch_samples import StandIn, save
from PIL import Image


@pytest.fixture
def batch_editor(monkeypatch):
    stand_in = StandIn()
    monkeypatch.setattr("sargan_core.editor.Editor", lambda settings: stand_in)
    # Tests change it while it works, which other processes would not see.
    monkeypatch.setattr("sargan_core.batch.local.can_fork", lambda: False)
    return stand_in


@pytest.fixture
def photo_folder(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for number in range(10):
        save(tmp_path / "in" / f"{number}.png", number)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def batch(call, batch_editor, photo_folder):
    """Run ``sargan batch`` in this process, in a folder with ``in/0.png`` to ``in/9.png``."""
    return lambda *arguments: call("batch", *arguments)


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*.png"))


def test_a_folder_gets_a_folder_beside_it_and_stdout_says_what(batch):
    code, out, err = batch("in", "--expr", "happy")
    assert code == 0
    assert out.decode().split() == [f"in-happy/{number}.png" for number in range(10)]
    assert names("in-happy") == [f"{number}.png" for number in range(10)]
    assert "10 results in" in err
    assert "time went to" in err
    code, out, err = batch("in", "--expr", "happy")
    assert (code, out) == (0, b"")
    assert "nothing to do" in err


def test_json_has_a_manifest_line_a_result_with_paths_that_hold_here(batch):
    code, out, err = batch("in", "--expr", "happy", "--json", "--quiet")
    values = [json.loads(line) for line in out.splitlines()]
    assert (code, err, len(values)) == (0, "", 10)
    assert all(Path(value["input"]).is_file() and Path(value["output"]).is_file() for value in values)
    lines = [json.loads(line) for line in Path("in-happy/sargan-batch.jsonl").read_text().splitlines()]
    for value, line in zip(values, lines, strict=True):
        assert {**value, "input": "", "output": ""} == {**line, "input": "", "output": ""}
    _, out, _ = batch(os.path.abspath("in"), "--expr", "happy", "--json", "-o", "absolute")  # noqa: PTH100
    assert json.loads(out.splitlines()[0])["input"] == os.path.abspath("in/0.png")  # noqa: PTH100


def test_a_failure_gives_1_and_names_the_photo_now_and_on_the_next_run(batch):
    Path("in/3.png").write_bytes(b"broken")
    Image.new("RGB", (16, 16)).save("in/4.png")
    code, _, err = batch("in", "--expr", "happy", "--quiet")
    assert code == 1
    assert [line.split(":")[1].strip() for line in err.splitlines()] == ["in/3.png", "in/4.png"]
    code, out, err = batch("in", "--expr", "happy")
    assert (code, out) == (1, b"")
    assert "--retry" in err
    assert len(batch("in", "--expr", "happy", "--retry", "no_face", "--json")[1].splitlines()) == 1


def test_dry_run_says_the_plan_and_does_nothing(batch):
    code, out, err = batch("in", "--expr", "all", "--strength", "0.5,1", "--format", "jpg", "--dry-run")
    lines = [line.split("\t") for line in out.decode().splitlines()]
    assert code == 0
    assert len(lines) == 10 * 7 * 2
    assert lines[0] == ["in/0.png", "in-expressions/angry/0-050.jpg"]
    assert "10 photos, 140 results" in err
    assert not Path("in-expressions").exists()


def test_a_list_on_stdin_with_newlines_and_with_nul(batch, monkeypatch):
    odd = Path("in/odd\nname.png")
    save(odd, 50)

    class Stdin(io.BytesIO):
        buffer = property(lambda self: self)
        isatty = staticmethod(lambda: False)

    monkeypatch.setattr(sys, "stdin", Stdin(b"in/1.png\nin/2.png\n"))
    assert batch("--from", "-", "--expr", "happy", "-o", "lines")[0] == 0
    assert names("lines") == ["in/1.png", "in/2.png"]
    monkeypatch.setattr(sys, "stdin", Stdin(os.fsencode(odd) + b"\0in/2.png\0"))
    assert batch("--from", "-", "--null", "--expr", "happy", "-o", "nul")[0] == 0
    assert names("nul") == ["in/2.png", "in/odd\nname.png"]
    Path("list.txt").write_text("in/5.png\n")
    assert batch("--from", "list.txt", "--root", "in", "--expr", "happy", "-o", "file")[0] == 0
    assert names("file") == ["5.png"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("in",), "--expr"),
        (("--expr", "happy"), "--from"),
        (("in", "--expr", "happy", "-o", "in"), "--in-place"),
        (("in", "--expr", "happy", "--in-place", "-o", "x"), "--in-place"),
        (("in", "--expr", "happy", "--strength", "much"), "--strength"),
        (("in", "--expr", "happy", "--strength", "3"), "--strength"),
        (("in", "--expr", "happy", "--strength", "nan"), "--strength"),
        (("in", "--expr", "happy", "--strength", "0.5,nan"), "--strength"),
        (("in", "--expr", "happy", "--strength", "inf"), "--strength"),
        (("in", "--expr", "happy", "--strength", "0.3,0.30000001"), "--strength"),
        (("", "--expr", "happy"), "empty name"),
        (("in", "--expr", "happy", "--format", "docx"), "--format"),
        (("in", "--expr", "happy", "--shard", "3/2"), "--shard"),
        (("in", "--expr", "happy", "--shard", ""), "--shard"),
        (("in", "--expr", "happy", "--shard", "1/" + "9" * 5000), "--shard"),
        (("in", "--expr", "happy", "--null"), "--null"),
        (("in", "--expr", "happy", "--like", "in/0.png"), "--like"),
        (("in", "--expr", "happy", "--like-face", "1"), "--like"),
        (("in", "--like", "gone.png"), "gone.png: there is no such file"),
        (("in", "--like", "-"), "there is no such file"),
        (("in", "--like", "in"), "in: is a folder"),
        (("in", "--like", "text.jpg"), "text.jpg: "),
        (("in", "--like", "broken.jpg"), "broken.jpg: "),
        (("gone", "--expr", "happy"), "gone"),
        (("in", "--from", "gone.txt", "--expr", "happy"), "gone.txt"),
        (("empty", "--expr", "happy"), "no photo"),
        (("in", "--expr", "happy", "--retry", "some"), "retry"),
        (("in", "--expr", "happy", "--workers", "0"), "workers"),
    ],
)
def test_requests_that_make_no_sense_are_refused_in_one_line(batch, arguments, said):
    Path("empty").mkdir()
    Path("text.jpg").write_text("no photo")
    Path("broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    code, out, err = batch(*arguments)
    assert (code, out) == (2, b"")
    assert said in err
    assert err.count("\n") == 1
    assert names(".") == [f"in/{number}.png" for number in range(10)]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("pipe.jpg", "is a pipe or device, not a file"),
        ("/dev/zero", "is a pipe or device, not a file"),
        ("handed over", "only once"),
    ],
)
def test_a_reference_that_never_ends_is_refused_at_once(sargan, photo_folder, reference, said):
    os.mkfifo("pipe.jpg")
    options = {}
    if reference == "handed over":
        reference, options = "/dev/stdin", {"input": Path("in/0.png").read_bytes()}
    run = sargan("batch", "in", "--like", reference, "-o", "out", **options)
    assert (run.returncode, run.stdout) == (2, b"")
    line = run.stderr.decode()
    assert line.startswith(f"error: --like {reference}: ")
    assert said in line
    assert line.count("\n") == 1
    assert not Path("out").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize(
    ("place", "code", "said"),
    [
        ("w", 3, "cannot be read (it is a pipe"),
        ("out/sargan-batch.jsonl", 2, "is no regular file"),
    ],
)
def test_pipes_as_weights_or_manifest_are_not_waited_for(sargan, photo_folder, place, code, said):
    Path("out").mkdir()
    os.mkfifo(place)
    options = ("--weights", "w") if place == "w" else ()
    run = sargan("batch", "in", "--expr", "happy", "-o", "out", *options)
    line = run.stderr.decode()
    assert run.returncode == code, line
    assert f"{place}: {said}" in line
    assert line.count("\n") == 1


def test_unknown_weights_give_3(batch):
    code, out, err = batch("in", "--expr", "happy", "--model", "missing")
    assert (code, out) == (3, b"")
    assert "missing" in err


def test_shards_and_a_report_of_all_of_them(batch):
    Path("in/3.png").write_bytes(b"broken")
    for part in ("1/2", "2/2"):
        assert batch("in", "--expr", "happy", "--shard", part)[0] in (0, 1)
    assert len(names("in-happy")) == 9
    assert batch("in", "--expr", "happy", "--report")[0] == 1
    page = Path("in-happy/report.html").read_text()
    assert "3.png" in page
    assert "7.png" in page


def test_stopping_early_is_said_and_gives_1(batch):
    for number in range(4):
        Path(f"in/{number}.png").write_bytes(b"broken")
    code, _, err = batch("in", "--expr", "happy", "--max-errors", "2")
    assert code == 1
    assert "--max-errors" in err
    assert names("in-happy") == []


def test_an_interrupt_gives_130_and_the_next_run_finishes(batch, batch_editor):
    def interrupt(prepared, target):
        if prepared[0].photo.name.endswith("5.png"):
            os.kill(os.getpid(), signal.SIGINT)
        return [str(target)]

    infer, batch_editor.infer = batch_editor.infer, interrupt
    code, _, err = batch("in", "--expr", "happy")
    assert code == 130
    assert err.endswith("error: interrupted\n")
    assert not list(Path("in-happy").rglob(".sargan-*.png"))
    batch_editor.infer = infer
    assert batch("in", "--expr", "happy")[0] == 0
    assert len(names("in-happy")) == 10


@pytest.mark.parametrize("name", ["sargan-batch.jsonl", "report.html"])
@pytest.mark.parametrize("linked", [False, True], ids=["file", "link"])
def test_a_file_of_somebody_else_under_a_name_of_ours_is_refused_and_nothing_touched(batch, name, linked):
    place = Path("notes.txt") if linked else Path("out") / name
    Path("out").mkdir()
    place.write_text("Dear diary")
    if linked:
        Path("out", name).symlink_to(place.absolute())
    code, printed, said = batch("in", "--expr", "happy", "--out", "out", "--report")
    assert (code, printed) == (2, b"")
    assert said.startswith(f"error: out/{name}: ")
    assert len(said.splitlines()) == 1
    assert place.read_text() == "Dear diary"
    assert [path.name for path in Path("out").iterdir()] == [name]


def test_a_report_of_ours_is_made_anew(batch):
    for _ in range(2):
        code, _, _ = batch("in", "--expr", "happy", "--out", "out", "--report")
        assert code == 0
    assert Path("out/report.html").read_text().startswith("<!doctype html>")


def test_retry_all_does_again_what_has_no_result(batch):
    Path("in/0.png").write_bytes(b"no photo")
    save(Path("in/1.png"), 1)
    Image.new("RGB", (16, 16)).save("in/1.png")
    Image.new("RGB", (16, 16), "white").save("in/2.png")
    asked = ("in", "--expr", "happy", "--json")
    first = [json.loads(line) for line in batch(*asked)[1].splitlines()]
    outcomes = {value["input"]: value["outcome"] for value in first if value["outcome"] != "done"}
    assert outcomes == {"in/0.png": "unreadable", "in/1.png": "no_face", "in/2.png": "failed"}
    _, _, said = batch(*asked)
    assert "--retry all" in said
    again = [json.loads(line) for line in batch(*asked, "--retry", "all")[1].splitlines()]
    assert {value["input"]: value["outcome"] for value in again} == outcomes


def test_in_place_writes_over_each_file_once_and_only_in_the_folder(batch):
    Path("elsewhere").mkdir()
    save(Path("elsewhere/e.png"), 20)
    outside = Path("elsewhere/e.png").read_bytes()
    links = {
        "a-link.png": "0.png",
        "z-link.png": "0.png",
        "far.png": "../elsewhere/e.png",
        "far": "../elsewhere",
    }
    for name, target in links.items():
        Path("in", name).symlink_to(target)
    os.link("in/1.png", "in/hard.png")
    before = {path.name: path.read_bytes() for path in Path("in").glob("*.png") if not path.is_symlink()}
    code, printed, said = batch("in", "--expr", "happy", "--in-place")
    assert code == 0
    expected = sorted([*(f"in/{number}.png" for number in range(10)), "in/hard.png"])
    assert printed.decode().split() == expected
    assert "left out: links to photos that are there as well (2)" in said
    assert "left out: links to photos outside the folder (name the photos themselves) (2)" in said
    for name, data in before.items():
        old, new = Image.open(io.BytesIO(data)), Image.open(Path("in", name))
        assert new.getpixel((3, 3)) == tuple(255 - value for value in old.getpixel((3, 3))), name
    assert all(str(Path("in", name).readlink()) == target for name, target in links.items())
    assert Path("elsewhere/e.png").read_bytes() == outside
    code, printed, said = batch("in", "--expr", "happy", "--in-place")
    assert (code, printed) == (0, b"")
    assert "nothing to do" in said


def test_a_folder_that_is_a_link_itself_is_written_in_place(batch):
    Path("linked").symlink_to("in")
    code, printed, _ = batch("linked", "--expr", "happy", "--in-place")
    assert (code, len(printed.splitlines())) == (0, 10)


@pytest.mark.parametrize("suffix", ["/../x", "a/b", "/", "x" * 300])
def test_a_suffix_that_no_name_can_have_is_refused(batch, suffix):
    code, printed, said = batch("in", "--expr", "happy", "--out", "out", "--suffix", suffix)
    assert (code, printed) == (2, b"")
    assert said.startswith("error: --suffix ")
    assert not Path("out").exists()


def test_a_list_with_nul_bytes_is_refused_unless_they_end_its_names(batch):
    Path("list").write_bytes(b"in/0.png\0in/1.png\0")
    asked = ("--expr", "happy", "--from", "list", "--out", "out")
    code, _, said = batch(*asked)
    assert code == 2
    assert "--null" in said
    assert len(batch(*asked, "--null")[1].splitlines()) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_no_encoding_has_go_all_the_way(batch):
    for number, name in enumerate((b"caf\xe9.png", b"half \xed\xa0\x80.png", b"line\nbreak.png")):
        save(Path("in") / os.fsdecode(name), number)
    asked = ("in", "--expr", "happy", "--out", "out", "--report")
    code, printed, said = batch(*asked, "--suffix", os.fsdecode(b"-\xff"))
    assert code == 0
    assert b"out/caf\xe9-\xff.png\n" in printed
    assert b"out/half \xed\xa0\x80-\xff.png" in {os.fsencode(path) for path in Path("out").glob("half*")}
    code, printed, said = batch(*asked, "--suffix", os.fsdecode(b"-\xff"), "--json")
    assert (code, printed) == (0, b"")
    assert "nothing to do" in said
    for name in ("--dry-run", "--json"):
        assert batch(*asked, name)[0] == 0


def test_a_name_that_is_too_long_costs_no_other_photo(batch):
    Path("list").write_text("in/0.png\n" + "y" * 400 + ".png\nin/1.png\n")
    code, printed, said = batch("--from", "list", "--expr", "happy", "--out", "out")
    assert (code, printed) == (1, b"out/in/0.png\nout/in/1.png\n")
    assert "name too long" in said
    code, _, said = batch("y" * 400, "--expr", "happy", "--out", "out")
    assert code == 2
    assert "no such file" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("in", "--expr", "happy", "--out", ""), "--out was given an empty text"),
        (("in", "--expr", "happy", "-o", ""), "-o was given an empty text"),
        (("in", "--expr", "happy", "--out="), "--out was given an empty text"),
        (("in", "--expr", "happy", "--root", ""), "--root was given an empty text"),
        (("in", "--expr", "happy", "--model", ""), "--model was given an empty text"),
        (("in", "", "--expr", "happy"), "an empty name was given"),
    ],
)
def test_an_empty_name_is_refused_before_it_means_the_working_folder(batch, arguments, said):
    before = sorted(Path().rglob("*"))
    code, out, err = batch(*arguments)
    assert (code, out) == (2, b"")
    assert said in err
    assert len(err.splitlines()) == 1
    assert sorted(Path().rglob("*")) == before


def test_an_empty_suffix_is_none(batch):
    assert batch("in", "--expr", "happy", "--suffix", "", "--dry-run")[0] == 0
    assert batch("in", "--expr", "happy", "--suffix=", "--dry-run")[0] == 0


def test_half_a_surrogate_pair_in_a_manifest_does_not_end_the_report(batch):
    batch("in", "--expr", "happy", "--quiet")
    manifest = Path("in-happy/sargan-batch.jsonl")
    line = json.loads(manifest.read_text().splitlines()[0])
    odd = "half \ud800.tif"
    line.update(input=f"../in/{odd}", output=odd, message=f"no {odd}", outcome="failed")
    with manifest.open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    code, _, err = batch("in", "--expr", "happy", "--report")
    assert (code, "Traceback" in err) == (0, False)
    assert rb"half \ud800.tif" in Path("in-happy/report.html").read_bytes()
