"""The manifest: what is written comes back, what was cut off is left out, what is not ours is refused."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from sargan_core.batch.manifest import (
    Entry,
    ManifestWriter,
    Stamp,
    manifest_path,
    manifest_paths,
    read_manifest,
)
from sargan_core.errors import DataError, PhotoError

ENTRY = Entry(
    input='../in/anna/one\ud800 "x"\n.jpg',
    input_sha256="a" * 64,
    output="anna/one.jpg",
    options_sha256="b" * 64,
    model="pixel",
    expression="happy:0.5,sad:0.5",
    strength=0.25,
    outcome="done",
    faces=({"number": 1, "seam": 0.5, "warnings": ["face is small"]},),
    seam=0.5,
    seconds={"decode": 0.01},
    finished="2026-01-01T00:00:00.000001+00:00",
    input_stamp=Stamp(10, None),
    output_stamp=Stamp(12, 1234567890123456789),
    output_sha256="c" * 64,
    notes=("GIF has no place for it",),
)


@pytest.fixture
def path(tmp_path):
    return manifest_path(tmp_path)


def write(path, *entries):
    with ManifestWriter(path) as manifest:
        for entry in entries:
            manifest.append(entry)


def test_an_entry_comes_back_whole(path):
    write(path, ENTRY)
    assert path.read_bytes().isascii()
    assert read_manifest(path) == {"anna/one.jpg": ENTRY}


def test_a_later_line_of_an_output_replaces_the_earlier_and_others_stay(path):
    failed = replace(ENTRY, output="two.jpg", outcome="failed")
    again = replace(failed, outcome="done", finished="2026-01-02")
    write(path, failed, ENTRY)
    write(path, again)
    assert read_manifest(path) == {"two.jpg": again, "anna/one.jpg": ENTRY}
    assert len(path.read_bytes().splitlines()) == 3


@pytest.mark.parametrize("cut", [1, 2, 40, 200])
def test_a_torn_last_line_is_left_out_and_overwritten(path, cut):
    write(path, ENTRY, replace(ENTRY, output="two.jpg"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert set(read_manifest(path)) == {"anna/one.jpg"}
    write(path, replace(ENTRY, output="three.jpg"))
    assert set(read_manifest(path)) == {"anna/one.jpg", "three.jpg"}


def test_the_manifests_of_shards_are_read_as_one(tmp_path):
    old, new = replace(ENTRY, outcome="failed"), replace(ENTRY, finished="2026-01-02")
    write(manifest_path(tmp_path, "1-of-2"), new)
    write(manifest_path(tmp_path, "2-of-2"), replace(ENTRY, output="two.jpg"))
    write(manifest_path(tmp_path), old)
    (tmp_path / "sargan-batches.jsonl").write_text("not ours\n")
    assert len(manifest_paths(tmp_path)) == 3
    entries = read_manifest(tmp_path)
    assert entries["anna/one.jpg"] == new
    assert set(entries) == {"anna/one.jpg", "two.jpg"}


def test_a_folder_without_a_manifest_is_said_to_have_none(tmp_path):
    with pytest.raises(DataError, match=r"sargan-batch\.jsonl"):
        read_manifest(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        read_manifest(tmp_path / "missing.jsonl")


@pytest.mark.parametrize(
    "change",
    [
        {"output": "../outside.jpg"},
        {"output": "/etc/passwd"},
        {"output": ""},
        {"output": "a\0b"},
        {"output": 3},
        {"outcome": "fine"},
        {"strength": "1"},
        {"strength": True},
        {"faces": {"a": 1}},
        {"faces": [1]},
        {"seconds": {"find": "long"}},
        {"seconds": []},
        {"notes": [1]},
        {"input_stamp": {"size": "1"}},
        {"output_stamp": [1, 2]},
        {"format": 2},
        {"format": None},
    ],
)
def test_a_line_with_a_wrong_member_is_refused_by_its_number(path, change):
    path.write_text(json.dumps(ENTRY.to_json()) + "\n" + json.dumps({**ENTRY.to_json(), **change}) + "\n")
    with pytest.raises(DataError, match="line 2"):
        read_manifest(path)


@pytest.mark.parametrize("line", [b"{", b"[1]", b"\xff\xfe", b"[" * 100000, b"null", b""])
def test_what_is_no_entry_is_refused(path, line):
    path.write_bytes(line + b"\n")
    with pytest.raises(DataError, match="line 1"):
        read_manifest(path)


def test_a_member_that_is_missing_is_named(path):
    value = ENTRY.to_json()
    del value["input_sha256"]
    path.write_text(json.dumps(value) + "\n")
    with pytest.raises(DataError, match="input_sha256"):
        read_manifest(path)


def test_a_full_disk_leaves_the_manifest_whole(path, monkeypatch):
    write(path, ENTRY)
    before = path.read_bytes()
    with ManifestWriter(path) as manifest:
        real = os.write

        def short(descriptor, data):
            if len(data) < 50:
                raise OSError(28, "No space left on device")
            return real(descriptor, data[: len(data) // 2])

        monkeypatch.setattr(os, "write", short)
        with pytest.raises(PhotoError, match="disk is full"):
            manifest.append(replace(ENTRY, output="two.jpg"))
        monkeypatch.undo()
        assert path.read_bytes() == before
        manifest.append(replace(ENTRY, output="three.jpg"))
    assert set(read_manifest(path)) == {"anna/one.jpg", "three.jpg"}


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(PhotoError, match="cannot be written"):
        ManifestWriter(tmp_path / "missing" / "sargan-batch.jsonl")
