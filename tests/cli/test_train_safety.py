"""``sargan train``: nothing is lost, a dry run leaves nothing, and what goes wrong is one line."""

import errno
import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image
from train_samples import arguments, write_pack

from sargan_cli.__main__ import main
from sargan_core.errors import PhotoError
from sargan_core.models.sargan.data import CropPairs
from sargan_core.photo.files import explaining
from sargan_core.training.run_folder import UNFINISHED, EventFile

KINDS = {
    "sargan": "generator.safetensors",
    "aipgan": "generator.safetensors",
    "judge": "judge.safetensors",
    "pixel": "pixel.safetensors",
    "landmarks": "landmarks.safetensors",
}
CPU = dict.fromkeys(("sargan", "aipgan", "judge", "landmarks"), ("--device", "cpu"))
SMALL = {kind: (*CPU[kind], "--size", "64", "--width", "4", "--batch", "1") for kind in ("sargan", "aipgan")}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pack(tmp_path_factory.mktemp("data") / "pack.safetensors")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos by name alone: none shows a face, one is broken."""
    folder = tmp_path / "photos"
    for label in ("neutral", "happy", "sad"):
        (folder / label).mkdir(parents=True)
        for person in "abcde":
            Image.new("RGB", (80, 80), "grey").save(folder / label / f"{person}.png")
    (folder / "sad" / "a.png").write_bytes(b"not a picture")
    return folder


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1
    assert "unexpected" not in error
    return error


def test_a_dry_run_of_every_kind_says_the_plan_and_writes_nothing(
    photos: Path, tmp_path: Path, monkeypatch, capsys
):
    # One step of each is enough here; how they are measured is a matter of the loop's own test.
    monkeypatch.setattr("sargan_core.training.plan.measure", lambda task, last: len(task.step(1)) / 9)
    out, cache = tmp_path / "run", tmp_path / "cache"
    out.mkdir()
    for weights in KINDS.values():
        (out / weights).write_text("old")
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    for model, weights in KINDS.items():
        kept = [] if model == "landmarks" else ["--cache", str(cache)]
        call = ["train", model, "--data", str(photos), "--out", str(out), *kept]
        code = main([*call, *SMALL.get(model, CPU.get(model, ())), "--dry-run"])
        said = capsys.readouterr().err
        if model == "landmarks":  # these photos bring none
            assert code == 1
            continue
        assert code == 0, said
        assert "people: 4 to train on, 1 held out" in said
        assert "happy 4" in said
        assert f"result: {out / weights} (an earlier run lies there" in said
        assert ("steps to make" in said) == (model != "pixel")
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    assert not cache.exists()


@pytest.mark.parametrize("model", KINDS)
def test_weights_of_an_earlier_run_stay_unless_they_are_to_be_replaced(
    model: str, photos: Path, tmp_path: Path, capsys
):
    out = tmp_path / "run"
    out.mkdir()
    (out / "mine.safetensors").write_text("old")
    call = ["train", model, "--data", str(photos), "--out", str(out), *CPU.get(model, ())]
    assert main(call) == 2
    error = one_line(capsys)
    assert "--overwrite" in error
    assert "--out" in error
    assert [path.name for path in out.iterdir()] == ["mine.safetensors"]


def test_a_run_that_fails_while_it_replaces_another_leaves_that_as_it_was(
    packed: Path, tmp_path: Path, capsys
):
    out = tmp_path / "run"
    assert main(arguments(packed, out, "--steps", "1")) == 0
    before = (out / "generator.safetensors").read_bytes()
    assert main(arguments(packed, out, "--steps", "5", "--rate", "1e30", "--overwrite")) == 1
    assert (out / "generator.safetensors").read_bytes() == before
    assert main(arguments(packed, out, "--steps", "2", "--seed", "7", "--overwrite")) == 0
    assert (out / "generator.safetensors").read_bytes() != before
    assert not (out / UNFINISHED).exists()
    assert not (out / "sheet-000001.png").exists()


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("sargan", ("--size", "65")),
        ("aipgan", ("--size", "72")),
        ("pixel", ("--size", "5000")),
        ("sargan", ("--size", "64", "--downs", "4")),
        ("sargan", ("--size", "300", "--refine", "pixel")),
        ("sargan", ("--seed", str(10**30))),
        ("judge", ("--seed", "-1")),
        ("sargan", ("--steps", str(10**30))),
        ("sargan", ("--rate", "nan")),
        ("sargan", ("--rate", "0")),
        ("pixel", ("--lambda", "nan")),
        ("pixel", ("--lambda", "inf")),
        *((kind, ("--test", "nan")) for kind in KINDS),
        ("sargan", ("--width", "5000")),
        ("pixel", ("--pack", "x.safetensors")),
        ("pixel", ("--resume",)),
        ("landmarks", ("--resume",)),
        ("landmarks", ("--minutes", "0")),
        ("sargan", ("--resume", "--overwrite")),
    ],
)
def test_options_that_cannot_work_are_refused_before_any_photo_is_read(
    kind: str, more: tuple[str, ...], tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["train", kind, "--data", "nowhere", *CPU.get(kind, ()), *more]) in (1, 2)
    assert more[0] in one_line(capsys) or "--resume" in more
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        ("pixel", "--steps", "5"),
        ("pixel", "--recipe", "paper"),
        ("pixel", "--form", "painted"),
        ("sargan", "--form", "plain"),
        ("sargan", "--without", "attention"),
        ("aipgan", "--refine", "pixel"),
        ("aipgan", "--form", "plain"),
        ("aipgan", "--without", "everything"),
        ("judge", "--size", "64"),
        ("pixel", "--device", "cpu"),
        ("landmarks", "--cache", "folder"),
    ],
)
def test_an_option_of_another_kind_is_wrong_usage(wrong: tuple[str, ...], tmp_path: Path, capsys):
    assert main(["train", *wrong, "--data", "nowhere", "--out", str(tmp_path / "run")]) == 2
    assert wrong[1] in one_line(capsys)


@pytest.mark.parametrize("call", [("--model", "judge"), ("--data", "x", "--model=judge"), ("-m", "judge")])
def test_the_form_of_earlier_versions_is_answered_with_the_new_one(call: tuple[str, ...], capsys):
    assert main(["train", *call]) == 2
    assert "sargan train judge" in one_line(capsys)


def test_a_resumed_run_is_checked_before_anything_is_prepared(packed: Path, tmp_path: Path, capsys):
    out = tmp_path / "run"
    assert main(arguments(packed, out, "--steps", "2")) == 0
    options, checkpoint = out / "options.json", out / "checkpoint.pt"
    good, state = options.read_text(), checkpoint.read_bytes()
    again = ["train", "--out", str(out), "--resume", "--device", "cpu", "--steps"]
    capsys.readouterr()
    assert main([*again, "1"]) == 2
    assert "has made 2 steps" in one_line(capsys)
    values = json.loads(good)
    for damaged in (
        "",
        "[]",
        "{}",
        json.dumps({**values, "start": 3}),
        good.replace('"batch": 2', '"batch": 0'),
    ):
        options.write_text(damaged)
        assert main([*again, "3"]) == 1
        assert "options.json" in one_line(capsys)
    options.write_text(good)
    for part in (b"", state[:4000]):
        checkpoint.write_bytes(part)
        assert main([*again, "3"]) == 1
        assert "checkpoint.pt" in one_line(capsys)
    torch.save({"step": 2, "task": {"generator": {}}, "random": torch.get_rng_state()}, checkpoint)
    assert main([*again, "3"]) == 1
    assert "checkpoint.pt" in one_line(capsys)
    assert main(["train", "--out", str(tmp_path / "none"), "--resume"]) == 1
    assert "options.json" in one_line(capsys)
    assert not (tmp_path / "none").exists()


def test_data_that_is_no_data_is_said(packed: Path, tmp_path: Path, capsys):
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.safetensors").write_text("no pack")
    everyone = write_pack(tmp_path / "all-held-out.safetensors", ("p0", "p1", "p2"))
    for name in ("pipe", "pipe.safetensors", "empty", "text.safetensors", everyone.name):
        assert main(arguments(tmp_path / name, tmp_path / "run")) == 1
        assert name in one_line(capsys)
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("model", ["sargan", "pixel", "judge", "aipgan"])
def test_too_few_people_or_expressions_are_said(model: str, photos: Path, tmp_path: Path, capsys):
    call = ["train", model, *CPU.get(model, ()), "--out", str(tmp_path / "run")]
    assert main([*call, "--data", str(photos / "neutral")]) == 1
    one_line(capsys)
    for label in ("neutral", "happy", "sad"):
        for person in "bcde":
            (photos / label / f"{person}.png").unlink()
    assert main([*call, "--data", str(photos)]) == 1
    assert "only one person" in one_line(capsys)


def test_a_pack_is_never_written_over_a_file_or_into_nowhere(packed: Path, tmp_path: Path, capsys):
    there = write_pack(tmp_path / "there.safetensors", ("p1",))
    content = there.read_bytes()
    assert main(arguments(packed, tmp_path, "--pack", str(there))) == 1
    assert "exists already" in one_line(capsys)
    assert there.read_bytes() == content
    assert main(arguments(packed, tmp_path, "--pack", str(tmp_path / "no" / "x.safetensors"))) == 1
    assert "does not exist" in one_line(capsys)
    assert main(arguments(packed, tmp_path, "--pack", str(there), "--overwrite")) == 0
    assert CropPairs.load(there).held_out == ("p0",)


def full(*_: object) -> None:
    """Stand in for a call on a full disk."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_ends_a_run_in_one_line_that_says_how_to_go_on(
    packed: Path, tmp_path: Path, monkeypatch, capsys
):
    out = tmp_path / "run"
    call = arguments(packed, out, "--steps", "2", "--checkpoint-every", "1")
    assert main(call) == 0
    capsys.readouterr()
    again = ["train", "--out", str(out), "--resume", "--device", "cpu", "--steps", "4"]
    with monkeypatch.context() as patch:
        patch.setattr("torch.save", full)
        assert main(again) == 1
        error = one_line(capsys)
        assert "checkpoint.pt: the disk is full" in error
        assert "--resume" in error
    with monkeypatch.context() as patch:
        patch.setattr("sargan_core.training.run_folder.EventFile._write", full_events)
        assert main(again) == 1
        assert "the disk is full" in one_line(capsys)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        assert main(again) == 1
        assert "the disk is full" in one_line(capsys)
        assert main(arguments(packed, tmp_path, "--pack", str(tmp_path / "p.safetensors"))) == 1
        assert "the disk is full" in one_line(capsys)
    assert main(again) == 0
    assert not list(tmp_path.rglob(".sargan-*"))


def full_events(events: EventFile, **values: object) -> None:
    with explaining(events.path):
        full()


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no device that is always full")
def test_a_file_of_events_on_a_full_disk_is_said_at_once(tmp_path: Path):
    events = EventFile(tmp_path, 1)
    events.close()
    with Path("/dev/full").open("wb", buffering=0) as stream:
        events._records._writer = stream
        with pytest.raises(PhotoError, match="the disk is full"):
            events.write(1, {"loss": 0.5})


def test_photos_larger_than_allowed_are_left_out(photos: Path, tmp_path: Path, capsys):
    call = ["train", "judge", "--data", str(photos), "--out", str(tmp_path / "run")]
    assert main([*call, "--cache", str(tmp_path / "cache"), "--max-pixels", "100"]) == 1
    assert "usable face" in one_line(capsys)
