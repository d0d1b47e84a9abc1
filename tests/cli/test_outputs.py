"""Output names: each input gets its own output, and no input is ever overwritten by surprise."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sargan_cli.files import STREAM, FilePair, check_free, plan_outputs
from sargan_core.errors import OutputExistsError, UsageError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b.png"):
        Path(name).write_bytes(b"photo")
    Path("out").mkdir()
    return tmp_path


def targets(*inputs: str, output: str | None = None, **options) -> list[Path]:
    tasks = plan_outputs(
        [Path(name) for name in inputs], output, label="happy", endings=(".jpg", ".png", ".webp"), **options
    )
    assert [task.source for task in tasks] == [Path(name) for name in inputs]
    return [task.target for task in tasks]


def test_default_name_says_what_it_is_and_lies_beside_the_input(folder):
    assert targets("a.jpg", "sub/b.png") == [Path("a-happy.jpg"), Path("sub/b-happy.png")]


def test_default_name_keeps_odd_names_whole(folder):
    assert targets("фото.копия.JPG", "no suffix") == [Path("фото.копия-happy.JPG"), Path("no suffix-happy")]


def test_a_folder_as_an_input_is_for_the_reader_to_refuse(folder):
    assert targets(".") == [Path("-happy")]
    assert targets("/") == [Path("/-happy")]


def test_another_format_gets_another_ending(folder):
    assert targets("a.jpg", suffix=".png") == [Path("a-happy.png")]


@pytest.mark.parametrize("output", ["out", "out/"])
def test_a_folder_takes_default_names(folder, output):
    assert targets("a.jpg", "b.png", output=output) == [Path("out/a-happy.jpg"), Path("out/b-happy.png")]


def test_a_file_name_is_taken_as_it_is(folder):
    assert targets("a.jpg", output="out/smile.webp") == [Path("out/smile.webp")]


def test_a_file_name_without_an_ending_is_taken_too(folder):
    assert targets("a.jpg", output="smile") == [Path("smile")]


def test_stdin_goes_to_stdout_unless_a_file_is_named(folder):
    assert targets("-") == [STREAM]
    assert targets("-", output="x.png") == [Path("x.png")]
    assert targets("a.jpg", output="-") == [STREAM]


def test_in_place_writes_over_each_input(folder):
    assert targets("a.jpg", "b.png", in_place=True) == [Path("a.jpg"), Path("b.png")]


@pytest.mark.parametrize(
    ("inputs", "output", "said"),
    [
        (["a.jpg"], "a.jpg", "--in-place"),
        (["a.jpg"], "./out/../a.jpg", "--in-place"),
        (["a.jpg"], "link.jpg", "--in-place"),
        (["a.jpg", "b.png"], "a.jpg", "several inputs"),
        (["a.jpg", "b.png"], "-", "one image"),
        (["a.jpg", "b.png"], "nowhere", "mkdir"),
        (["a.jpg"], "nowhere/", "mkdir"),
        (["a.jpg"], "nowhere/x.jpg", "mkdir"),
        (["a.jpg", "sub/a.jpg"], "out", "both"),
        (["a.jpg", "a.jpg"], None, "both"),
        (["a.jpg", "./out/../a.jpg"], "out", "both"),
        (["-"], "out", "stdin"),
        (["a.jpg"], "x.psd", "webp"),
    ],
)
def test_what_would_lose_a_file_is_refused(folder, inputs, output, said):
    os.link("a.jpg", "link.jpg")
    with pytest.raises(UsageError, match=said):
        targets(*inputs, output=output)


def test_an_output_that_is_another_input_is_refused(folder):
    Path("a-happy.jpg").write_bytes(b"an earlier result, given as an input")
    with pytest.raises(UsageError, match="is an input as well"):
        targets("a.jpg", "a-happy.jpg")


def test_in_place_refuses_an_output_and_stdin(folder):
    with pytest.raises(UsageError, match="leave out -o"):
        targets("a.jpg", output="x.jpg", in_place=True)
    with pytest.raises(UsageError, match="stdin"):
        targets("-", in_place=True)


def test_an_existing_output_is_free_only_with_overwrite(folder):
    with pytest.raises(OutputExistsError, match="--overwrite"):
        check_free(Path("a.jpg"), overwrite=False)
    check_free(Path("a.jpg"), overwrite=True)
    check_free(Path("new.jpg"), overwrite=False)
    check_free(STREAM, overwrite=False)


def test_a_dangling_link_counts_as_existing(folder):
    Path("link.jpg").symlink_to("gone.jpg")
    with pytest.raises(OutputExistsError):
        check_free(Path("link.jpg"), overwrite=False)


def test_stdout_task():
    assert FilePair(Path("a.jpg"), STREAM).to_stdout
    assert not FilePair(STREAM, Path("a.jpg")).to_stdout
