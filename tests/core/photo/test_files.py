"""Files appear whole or not at all, never over another file unasked, and leave nothing behind."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from photo_samples import smooth

from sargan_core.errors import OutputExistsError, PhotoError
from sargan_core.photo.files import replacing, shown, write_atomically
from sargan_core.photo.photo import Photo, write_photo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "old.png").write_bytes(b"old")
    return tmp_path


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def test_new_file_has_the_usual_permissions(folder: Path):
    before = os.umask(0o027)
    try:
        write_atomically(folder / "new.png", b"new")
    finally:
        os.umask(before)
    assert (folder / "new.png").read_bytes() == b"new"
    assert stat.S_IMODE((folder / "new.png").stat().st_mode) == 0o640
    assert names(folder) == {"old.png", "new.png"}


def test_replaced_file_keeps_its_permissions_and_is_private_until_then(folder: Path):
    (folder / "old.png").chmod(0o604)
    with replacing(folder / "old.png", overwrite=True) as temporary:
        assert temporary.parent == folder
        assert temporary.suffix == ".png"
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
        temporary.write_bytes(b"new")
        assert (folder / "old.png").read_bytes() == b"old"
    assert (folder / "old.png").read_bytes() == b"new"
    assert stat.S_IMODE((folder / "old.png").stat().st_mode) == 0o604
    assert names(folder) == {"old.png"}


def test_existing_file_is_not_replaced_unasked(folder: Path):
    with pytest.raises(OutputExistsError, match=r"old\.png: exists already"):
        write_atomically(folder / "old.png", b"new")
    assert (folder / "old.png").read_bytes() == b"old"
    assert names(folder) == {"old.png"}


def test_file_that_appears_meanwhile_is_not_replaced(folder: Path):
    def race(path: Path) -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"ours")
            path.write_bytes(b"theirs")

    with pytest.raises(OutputExistsError):
        race(folder / "new.png")
    assert (folder / "new.png").read_bytes() == b"theirs"
    assert names(folder) == {"old.png", "new.png"}


def test_file_systems_without_hard_links(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", no_links)
    write_atomically(folder / "new.png", b"new")
    assert (folder / "new.png").read_bytes() == b"new"
    with pytest.raises(OutputExistsError):
        write_atomically(folder / "old.png", b"new")
    assert names(folder) == {"old.png", "new.png"}


def test_a_name_that_was_claimed_for_a_result_that_did_not_come_is_free_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    def fails(*_: object) -> None:
        raise OSError(errno.EPERM, "not here")

    monkeypatch.setattr(os, "link", fails)
    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(PhotoError):
        write_atomically(folder / "new.png", b"new")
    assert names(folder) == {"old.png"}


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), ValueError("broken"), SystemExit(1)], ids=repr)
@pytest.mark.parametrize("name", ["old.png", "new.png"])
def test_interrupted_writing_leaves_everything_as_it_was(folder: Path, name: str, problem: BaseException):
    def interrupted() -> None:
        with replacing(folder / name, overwrite=True) as temporary:
            temporary.write_bytes(b"half")
            raise problem

    with pytest.raises(type(problem)):
        interrupted()
    assert names(folder) == {"old.png"}
    assert (folder / "old.png").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EACCES, "no permission"),
        (errno.EROFS, "only be read"),
        (errno.EIO, "cannot be written"),
    ],
)
@pytest.mark.parametrize("call", ["fsync", "open", "replace"])
def test_failing_system_calls_are_explained(
    folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, words: str
):
    def failing(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(*((Path, "replace") if call == "replace" else (os, call)), failing)
    with pytest.raises(PhotoError, match=words) as caught:
        write_atomically(folder / "old.png", b"new", overwrite=True)
    monkeypatch.undo()
    assert "old.png: " in str(caught.value)
    assert names(folder) == {"old.png"}
    assert (folder / "old.png").read_bytes() == b"old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch):
    original = Path.open

    def full(path: Path, *arguments: str) -> object:
        return original(Path("/dev/full"), *arguments)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(PhotoError, match="disk is full"):
        write_atomically(folder / "new.png", bytes(10**6))
    monkeypatch.undo()
    assert names(folder) == {"old.png"}


def test_places_that_are_not_files(folder: Path):
    with pytest.raises(PhotoError, match=r"folder '.*missing' does not exist; create it"):
        write_atomically(folder / "missing" / "new.png", b"new")
    with pytest.raises(PhotoError, match="does not exist"):
        write_atomically(folder / "old.png" / "new.png", b"new")
    with pytest.raises(PhotoError, match="is a folder"):
        write_atomically(folder, b"new", overwrite=True)
    with pytest.raises(PhotoError, match="too long"):
        write_atomically(folder / ("n" * 300), b"new")
    with pytest.raises(PhotoError, match="no possible file name"):
        write_atomically(folder / "a\0b", b"new")
    os.mkfifo(folder / "pipe")
    with pytest.raises(PhotoError, match="not a regular file"):
        write_atomically(folder / "pipe", b"new", overwrite=True)
    assert names(folder) == {"old.png", "pipe"}


def test_link_stays_a_link_and_its_target_is_replaced(folder: Path):
    (folder / "link.png").symlink_to("old.png")
    write_atomically(folder / "link.png", b"new", overwrite=True)
    assert (folder / "link.png").is_symlink()
    assert (folder / "old.png").read_bytes() == b"new"


def test_failing_encoder_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object) -> bytes:
        raise OSError("encoder error")

    monkeypatch.setattr("sargan_core.photo.png.encode", broken)
    with pytest.raises(PhotoError, match=r"cannot be written as PNG \(encoder error\)"):
        write_photo(Photo(smooth()), folder / "old.png", overwrite=True)
    assert (folder / "old.png").read_bytes() == b"old"
    assert names(folder) == {"old.png"}


def test_names_fit_on_one_line():
    assert shown("a\nb\t\x1b[31m.jpg") == r"a\nb\t\x1b[31m.jpg"
    assert shown(Path("Zoë 猫 🙂.jpg")) == "Zoë 猫 🙂.jpg"
    assert shown(os.fsdecode(b"caf\xe9.jpg")).isascii()
