"""Files of lines that belong to somebody else are refused as they are, whatever grows under their name."""

from __future__ import annotations

import json
import os

import pytest

from sargan_core.batch.manifest import Entry, ManifestWriter
from sargan_core.errors import UsageError
from sargan_core.evaluation.journal import Journal, PhotoMeasures
from sargan_core.photo import lines
from sargan_core.photo.lines import LineFile, read_lines
from sargan_core.training.run_folder import METRICS, RunFolder

FOREIGN = {
    "text": b"Dear diary\nall is well\n",
    "one line": b"Dear diary",
    "other JSON": b'{"title": "my notes"}\n{"format": 1}\n',
    "a number": b"3\n",
    "nested": b"[" * 100_000,
    "bytes": bytes(range(256)) * 40,
}
OURS = {
    "manifest": {"format": 1, "input": "a.jpg", "output": "b.jpg"},
    "journal": {"key": "k", "photo": "a.jpg", "model": "pixel"},
    "metrics": {"step": 1, "loss": 0.5},
}


def open_it(kind, path):
    if kind == "manifest":
        ManifestWriter(path).close()
    elif kind == "journal":
        Journal(path).check()
    else:
        RunFolder(path.parent)


@pytest.fixture(params=OURS)
def kind(request):
    return request.param


@pytest.fixture
def path(tmp_path):
    return tmp_path / METRICS


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN.keys())
@pytest.mark.parametrize("linked", [False, True], ids=["file", "link"])
def test_a_file_of_other_content_is_refused_and_stays(kind, path, content, linked):
    place = path.with_name("notes.txt") if linked else path
    place.write_bytes(content)
    if linked:
        path.symlink_to(place)
    with pytest.raises(UsageError, match=r"other content.*move it away") as raised:
        open_it(kind, path)
    assert "\n" not in str(raised.value)
    assert place.read_bytes() == content


def test_a_link_to_nothing_or_to_an_empty_file_is_not_filled(kind, path):
    path.symlink_to("notes.txt")
    with pytest.raises(UsageError, match="link to nothing"):
        open_it(kind, path)
    assert not path.exists()
    path.with_name("notes.txt").touch()
    with pytest.raises(UsageError, match="other content"):
        open_it(kind, path)
    assert path.read_bytes() == b""


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_refused_at_once(kind, path, make):
    make(path)
    with pytest.raises(UsageError, match="no regular file"):
        open_it(kind, path)


@pytest.mark.parametrize("cut", [0, 1, 20, 10_000])
def test_ours_is_taken_up_again_however_its_line_was_torn(kind, path, cut):
    line = json.dumps(OURS[kind]).encode() + b"\n"
    path.write_bytes(line[: max(0, len(line) - cut)])
    open_it(kind, path)


def test_a_link_to_one_of_ours_is_followed(kind, path):
    path.with_name("elsewhere").write_text(json.dumps(OURS[kind]) + "\n")
    path.symlink_to("elsewhere")
    open_it(kind, path)
    assert path.is_symlink()


def append_to(kind, path):
    if kind == "manifest":
        with ManifestWriter(path) as manifest:
            manifest.append(Entry("a.jpg", "", "b.jpg", "", "pixel", "happy", 1.0, "failed"))
    elif kind == "journal":
        Journal(path).append(PhotoMeasures("k2", "a.jpg", "pixel"))
    else:
        RunFolder(path.parent).write_metrics(2, {"loss": 0.25})


@pytest.mark.parametrize("torn", [b"", b"{", b'{"step": 2, "lo', b"x" * 200_000])
def test_a_torn_end_is_removed_before_the_next_line_whatever_grows(kind, path, torn):
    whole = json.dumps(OURS[kind]).encode() + b"\n"
    path.write_bytes(whole + torn)
    append_to(kind, path)
    first, second = path.read_bytes().splitlines(keepends=True)
    assert first == whole
    assert second.endswith(b"\n")
    assert isinstance(json.loads(second), dict)


def test_a_line_that_no_run_of_ours_wrote_ends_the_reading(path, monkeypatch):
    monkeypatch.setattr(lines, "LONGEST", 20)
    path.write_bytes(b"one\n" + b"x" * 100 + b"\ntwo\n")
    with pytest.raises(OSError, match="a line is longer"):
        list(read_lines(path))


def test_a_line_that_does_not_fit_the_disk_leaves_the_file_as_it_was(path, monkeypatch):
    with LineFile(path) as file:
        file.append({"step": 1})
        before = path.read_bytes()
        real = os.write

        def full(descriptor, data):
            if len(data) < 50:
                raise OSError(28, "No space left on device")
            return real(descriptor, data[: len(data) // 2])

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            file.append({"step": 2, "text": "x" * 200})
        assert path.read_bytes() == before
