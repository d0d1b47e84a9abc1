"""``sargan batch`` as a process: killed at any moment, interrupted, with readers and writers that go away."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

from sargan_core.batch.manifest import read_manifest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes")

# Loads everything once; every further line on stdin is a run in a forked process, which can be killed.
SERVER = """
import json, os, sys
import sargan_core.batch.local, sargan_core.batch.pipeline, sargan_core.editor
from sargan_cli.__main__ import run
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        sys.argv = ["sargan", "batch", *json.loads(line)]
        run()
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
PHOTOS = 8


@pytest.fixture(scope="module")
def server():
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()
        process.wait(60)


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Small portraits in two folders, one of them broken."""
    folder = tmp_path_factory.mktemp("album") / "in"
    portrait = Image.fromarray(skimage.data.astronaut()[:256, 96:352])
    for number in range(PHOTOS):
        path = folder / ("x" if number % 2 else "y") / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        portrait.resize((120 + number, 120 + number)).save(path, quality=90)
    (folder / "x" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    return folder


def run(server, album, out, *options, kill_after=None, number=signal.SIGKILL):
    """Run a batch; return its exit code, negative if a signal ended it.

    The signal comes after a time in seconds, or after a condition holds.
    """
    arguments = [str(album), "--expr", "happy", "--out", str(out), "--quiet", "--workers", "2", *options]
    server.stdin.write(json.dumps(arguments) + "\n")
    server.stdin.flush()
    child = int(server.stdout.readline())
    if callable(kill_after):
        while not kill_after():
            time.sleep(0.005)
    elif kill_after is not None:
        time.sleep(kill_after)
    if kill_after is not None:
        with contextlib.suppress(ProcessLookupError):  # it was through before
            os.kill(child, number)
    while not (line := server.stdout.readline().strip()).lstrip("-").isdigit():
        pass  # paths of results
    return int(line)


def results(out):
    files = (path for path in Path(out).rglob("*") if path.is_file() and ".sargan-batch" not in path.parts)
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.suffix == ".jpg"
    }


@pytest.fixture(scope="module")
def undisturbed(server, album, tmp_path_factory):
    """The results of a run that nothing disturbed, and how long it took."""
    out = tmp_path_factory.mktemp("undisturbed")
    started = time.perf_counter()
    assert run(server, album, out) == 1  # one photo is broken
    found = results(out)
    assert len(found) == PHOTOS
    return found, time.perf_counter() - started


def test_killed_at_any_moment_it_loses_nothing_and_ends_with_the_same_bytes(
    server, album, tmp_path, undisturbed
):
    expected, took = undisturbed
    chance = random.Random(7)
    interrupted = 0
    for _ in range(4):
        interrupted += (
            run(server, album, tmp_path, kill_after=chance.uniform(0.05, 0.6 * took)) == -signal.SIGKILL
        )
        found = results(tmp_path)
        assert found.items() <= expected.items()  # nothing half-written in a result's place
        if (tmp_path / "sargan-batch.jsonl").exists():
            entries = read_manifest(tmp_path)
            assert set(found) <= set(entries)  # what is there is known
    assert interrupted > 0
    assert run(server, album, tmp_path) == 1
    assert results(tmp_path) == expected
    assert {entry.output for entry in read_manifest(tmp_path).values()} == {*expected, "x/broken.jpg"}
    assert not list((tmp_path / ".sargan-batch").rglob("*.jpg"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_ends_with_130_and_leaves_nothing_behind(server, album, tmp_path, undisturbed, number):
    expected, _ = undisturbed
    assert run(server, album, tmp_path, kill_after=lambda: results(tmp_path), number=number) == 130
    assert results(tmp_path).items() <= expected.items()
    assert not list((tmp_path / ".sargan-batch").rglob("*.jpg"))
    assert run(server, album, tmp_path) == 1
    assert results(tmp_path) == expected


def test_names_through_a_pipe_and_an_image_through_two(album, tmp_path):
    """The shell's own way: find, batch and edit."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    script = f"""
        set -e
        sargan() {{ {sys.executable} -m sargan_cli "$@"; }}
        find in/x -name '1.jpg' -print0 | sargan batch --from - --null --expr sad --out out --quiet | head -1
        cat in/x/1.jpg | sargan edit - --expr sad -o - -q | cmp - out/in/x/1.jpg
    """
    result = subprocess.run(
        ["bash", "-c", script],
        cwd=album.parent,
        env=environment,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (result.stderr, result.returncode) == (b"", 0)
    assert result.stdout == b"out/in/x/1.jpg\n"


def test_a_reader_that_goes_away_ends_it_quietly_and_the_next_run_goes_on(album, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    command = [
        sys.executable,
        "-m",
        "sargan_cli",
        "batch",
        str(album),
        "--expr",
        "sad",
        "-o",
        str(tmp_path),
        "--json",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        command, stdout=writer, stderr=subprocess.PIPE, timeout=120, check=False, env=environment
    )
    os.close(writer)
    assert result.returncode == 1
    assert b"Traceback" not in result.stderr
    assert b"BrokenPipe" not in result.stderr
    assert len(read_manifest(tmp_path)) >= 1
