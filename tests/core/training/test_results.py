"""Where results go: an earlier run is never in danger."""

from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from sargan_core.errors import TrainingError, UsageError
from sargan_core.training.run_folder import (
    RESULTS,
    UNFINISHED,
    earlier_results,
    folder_to_resume,
    results_folder,
)


def content(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def interrupted(place: AbstractContextManager[Path], name: str) -> None:
    with place as folder:
        (folder / name).write_text("half")
        raise KeyboardInterrupt


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder with an earlier run, and a note of the user's own."""
    for name in ("generator.safetensors", "options.json", "sheet-000100.png", "note.txt"):
        (tmp_path / name).write_text("old")
    return tmp_path


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("at_once", [False, True])
def test_nothing_of_an_earlier_run_is_replaced_unasked(tmp_path: Path, name: str, at_once: bool):
    (tmp_path / name.replace("*", "x")).write_text("old")
    with pytest.raises(UsageError, match="--overwrite"), results_folder(tmp_path, at_once=at_once):
        pytest.fail("work was done")
    assert content(tmp_path) == {name.replace("*", "x"): "old"}


def test_files_of_the_users_own_are_no_run(tmp_path: Path):
    (tmp_path / "note.txt").write_text("mine")
    with results_folder(tmp_path) as folder:
        (folder / "generator.safetensors").write_text("new")
    assert content(tmp_path) == {"note.txt": "mine", "generator.safetensors": "new"}


def test_an_earlier_run_gives_way_when_the_new_one_is_whole(run: Path):
    before = content(run)
    with results_folder(run, overwrite=True) as folder:
        (folder / "generator.safetensors").write_text("new")
        assert {name: text for name, text in content(run).items() if UNFINISHED not in name} == before
    assert content(run) == {"generator.safetensors": "new", "note.txt": "old"}
    assert not (run / UNFINISHED).exists()


def test_an_interrupted_replacement_is_resumed_and_the_earlier_run_stays_until_then(run: Path):
    before = content(run)
    with pytest.raises(KeyboardInterrupt):
        interrupted(results_folder(run, overwrite=True), "checkpoint.pt")
    assert content(run) == {**before, f"{UNFINISHED}/checkpoint.pt": "half"}
    assert folder_to_resume(run) == run / UNFINISHED
    with results_folder(run, resume=True) as folder:
        assert (folder / "checkpoint.pt").read_text() == "half"
    assert content(run) == {"checkpoint.pt": "half", "note.txt": "old"}


def test_what_cannot_be_resumed_appears_together_or_not_at_all(tmp_path: Path):
    out = tmp_path / "a" / "b"
    with pytest.raises(KeyboardInterrupt):
        interrupted(results_folder(out, at_once=True), "pixel.safetensors")
    assert not (tmp_path / "a").exists()
    with results_folder(out, at_once=True) as folder:
        (folder / "pixel.safetensors").write_text("whole")
        assert earlier_results(out) == [out / UNFINISHED]
    assert content(out) == {"pixel.safetensors": "whole"}


def test_a_place_that_is_no_folder_is_said(tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is no folder"), results_folder(tmp_path / "file", overwrite=True):
        pytest.fail("work was done")
    with pytest.raises(TrainingError, match="--out"), results_folder(tmp_path / "file" / "run"):
        pytest.fail("work was done")
    with (
        pytest.raises(UsageError, match="one of them"),
        results_folder(tmp_path, resume=True, overwrite=True),
    ):
        pytest.fail("work was done")
    assert content(tmp_path) == {"file": "mine"}
