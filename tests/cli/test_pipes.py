"""The real process and its streams: a reader that goes away, an interrupt."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path):
    names = [str(tmp_path / f"missing-{index}.jpg") for index in range(3)]
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "sargan_cli", "edit", *names, "--expr", "happy", "--json", "--quiet"]
    result = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert result.returncode == 1
    assert b"Traceback" not in result.stderr
    assert b"BrokenPipe" not in result.stderr


def test_help_into_a_closed_pipe_is_quiet():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "sargan_cli", "--help"]
    result = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert result.stderr == b""


def test_ctrl_c_while_waiting_for_stdin_gives_130():
    process = subprocess.Popen(
        [sys.executable, "-m", "sargan_cli", "edit", "-", "--expr", "happy", "-o", "never.jpg"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    # A file's beginning is all that one read takes; when the pipe is empty, the command waits for the rest.
    process.stdin.write(b"\xff\xd8\xff\xe0")
    process.stdin.flush()
    deadline = time.monotonic() + 60
    while unread(process.stdin.fileno()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err


def without(*streams: int, arguments: tuple[str, ...]) -> tuple[int, str]:
    """Run a command whose process is started without some of the standard streams."""
    process = subprocess.run(
        [sys.executable, "-m", "sargan_cli", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: [os.close(stream) for stream in streams],
    )
    return process.returncode, process.stderr


def test_without_streams_nothing_lands_in_files_and_what_is_lost_is_said():
    assert without(2, arguments=("models", "path")) == (0, "")
    assert without(0, 1, 2, arguments=("models", "path")) == (1, "")
    code, errors = without(1, arguments=("models", "path"))
    assert (code, errors.count("\n")) == (1, 1)
    assert "standard output is closed" in errors
    code, errors = without(0, arguments=("detect", "-"))
    assert (code, errors) == (1, "error: stdin: the file is empty (0 bytes); get the file again\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_a_stream(tmp_path):
    command = [sys.executable, "-m", "sargan_cli", "models", "list"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "No space left" in done.stderr
        # A log without room spoils no result, and an error keeps its code.
        done = subprocess.run([*command[:-1], "nothing"], stderr=full, timeout=60, check=False)
        assert done.returncode == 2


def unread(pipe):
    """How many bytes of a pipe nobody has taken."""
    fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]
