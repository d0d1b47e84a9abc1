"""Files of lines that belong to somebody else are refused as they are, whatever grows under their name."""

from __future__ import annotations

import json
import os

import pytest

from sargan_core.batch.manifest import ManifestWriter
from sargan_core.errors import UsageError
from sargan_core.evaluation.journal import Journal
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
