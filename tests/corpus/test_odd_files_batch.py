"""The corpus as one batch: the right outcome for each file, a line for each, nothing else left; then again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from odd_case import DONE, SECONDS, UNREADABLE, Case, limit
from odd_files import make_corpus

from sargan_core.batch.manifest import Entry, manifest_path, read_manifest
from sargan_core.photo.photo import read_photo

WAIT = 10 * SECONDS
# A folder takes what is there, is a file, and is called a photo.
NOT_TAKEN = ("missing.jpg", "folder.jpg", "no-extension")


@dataclass(frozen=True)
class Batch:
    """The first run over the corpus, and what a second at the same time said."""

    folder: Path
    output: Path
    cases: dict[str, Case]
    code: int
    errors: str
    second: subprocess.CompletedProcess[str]


def command(folder: Path, output: Path) -> list[str]:
    options = ["--expr", "happy", "--model", "pixel-plain", "--no-check", "--json", "--workers", "2"]
    return [sys.executable, "-m", "sargan_cli", "batch", str(folder), "--out", str(output), *options]


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    folder, output = tmp_path_factory.mktemp("odd"), tmp_path_factory.mktemp("edited") / "out"
    cases = {os.fsdecode(case.name): case for case in make_corpus(folder)}
    log = output.parent / "log.txt"
    with log.open("wb") as errors:
        first = subprocess.Popen(
            command(folder, output),
            stdout=subprocess.PIPE,
            stderr=errors,
            preexec_fn=limit,
        )
        assert first.stdout is not None
        first.stdout.readline()  # it works on the folder now, and stands still there
        first.send_signal(signal.SIGSTOP)
        try:
            second = subprocess.run(
                command(folder, output), capture_output=True, text=True, timeout=WAIT, check=False
            )
        finally:
            first.send_signal(signal.SIGCONT)
        first.communicate(timeout=WAIT)
    taken = {name: case for name, case in cases.items() if name not in NOT_TAKEN}
    return Batch(folder, output, taken, first.returncode, log.read_text(), second)


def entries(batch: Batch) -> dict[str, Entry]:
    return read_manifest(batch.output)


def test_every_file_has_the_line_that_it_should_have(batch: Batch):
    found = entries(batch)
    assert found.keys() == batch.cases.keys()
    wrong = [
        (name, case.outcome, found[name].outcome, found[name].message)
        for name, case in batch.cases.items()
        if case.outcome not in (None, found[name].outcome)
        or case.words not in found[name].message
        or found[name].outcome == "failed"
    ]
    assert not wrong
    assert batch.code == 1
    assert "Traceback" not in batch.errors
    assert "unexpected" not in batch.errors


def test_results_are_whole_and_nothing_else_is_left(batch: Batch):
    done = {name for name, entry in entries(batch).items() if entry.outcome == DONE}
    assert {name for name, case in batch.cases.items() if case.outcome == DONE} <= done
    for name in done:
        assert read_photo(batch.output / name).pixels.size
    visible = {path.name for path in batch.output.iterdir() if not path.name.startswith(".")}
    assert visible == done | {manifest_path(batch.output).name}
    hidden = [path for path in batch.output.rglob(".*/**/*") if path.is_file()]
    assert {path.suffix for path in hidden} <= {".lock"}


def test_a_second_batch_at_the_same_time_says_that_there_is_a_first(batch: Batch):
    assert (batch.second.returncode, batch.second.stdout) == (2, "")
    lines = [line for line in batch.second.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert str(batch.output) in lines[0]
    assert "another" in lines[0]


def test_after_other_times_of_change_only_what_could_not_be_opened_is_tried_again(batch: Batch):
    before = {path.name: path.read_bytes() for path in batch.output.iterdir() if path.is_file()}
    never_opened = {name for name, entry in entries(batch).items() if entry.input_stamp is None}
    assert {batch.cases[name].outcome for name in never_opened} == {UNREADABLE}
    assert {"fifo.jpg", "endless.jpg", "link-to-nothing.jpg", "link-to-itself.jpg"} == never_opened
    for folder, moment in ((batch.folder, 0), (batch.output, 4_000_000_000)):
        for path in folder.iterdir():
            if path.is_file() and not path.is_symlink():
                os.utime(path, (moment, moment))
    again = subprocess.run(
        command(batch.folder, batch.output), capture_output=True, text=True, timeout=WAIT, check=False
    )
    assert again.returncode == 1
    assert {Path(json.loads(line)["output"]).name for line in again.stdout.splitlines()} == never_opened
    manifest = manifest_path(batch.output).name
    for name, content in before.items():
        assert name == manifest or (batch.output / name).read_bytes() == content
