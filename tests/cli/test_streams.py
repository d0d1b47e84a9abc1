"""The standard error stream is for what sargan says; libraries and other processes have no place there."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

NOISE = """
import ctypes, logging, os, subprocess, sys, threading, warnings
from sargan_cli import __main__ as entry
from sargan_cli.console import Console
from sargan_cli.streams import enable_debugging

class Fussy:
    def __del__(self):
        raise OSError("cannot be closed")

def noise():
    os.write(2, b"libtiff: odd samples\\n")
    ctypes.CDLL(None).perror(b"libjpeg: caution")
    warnings.warn("tip: use another version", FutureWarning)
    logging.getLogger("ray").warning("set log level")
    Fussy()
    subprocess.run([sys.executable, "-c", "import sys; print('frame dropped', file=sys.stderr)"], check=True)

def main():
    if "--debug" in sys.argv:
        enable_debugging(True)
    threads = [threading.Thread(target=noise) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    Console().error("a.jpg: is no photo")
    return 1

entry.main = main
entry.run()
"""
FOREIGN = ("libtiff", "libjpeg", "tip:", "set log level", "cannot be closed", "frame dropped")


def run(*arguments, **environment):
    command = [sys.executable, "-c", NOISE, *arguments]
    clean = {name: value for name, value in os.environ.items() if name != "SARGAN_DEBUG"}
    options = {"env": {**clean, **environment}, "capture_output": True, "text": True, "check": False}
    return subprocess.run(command, **options)


@pytest.mark.skipif(sys.platform == "win32", reason="the C library is loaded by its name there")
def test_nothing_of_libraries_reaches_the_standard_error_stream():
    done = run()
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "error: a.jpg: is no photo\n")


@pytest.mark.skipif(sys.platform == "win32", reason="the C library is loaded by its name there")
@pytest.mark.parametrize("how", ["option", "variable"])
def test_debugging_lets_them_speak(how):
    done = run("--debug") if how == "option" else run(SARGAN_DEBUG="1")
    assert [word for word in FOREIGN if word not in done.stderr] == []
    assert "error: a.jpg: is no photo\n" in done.stderr
