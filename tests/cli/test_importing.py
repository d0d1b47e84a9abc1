"""Importing large libraries: the garbage collector rests meanwhile, and is as before afterwards."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest

from sargan_cli.importing import importing


@pytest.fixture
def unfrozen():
    """The collector as it was before the test."""
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.parametrize("on", [True, False])
def test_the_collector_rests_inside_and_is_as_before_afterwards(unfrozen, on):
    (gc.enable if on else gc.disable)()
    with importing():
        assert not gc.isenabled()
    assert gc.isenabled() == on
    assert gc.get_freeze_count() > 0


def test_torch_is_imported_by_a_batch_without_collections(tmp_path):
    code = """
import gc, sys
from sargan_cli.__main__ import main
before = gc.get_stats()[2]["collections"]
def engine(*arguments):
    print("torch" in sys.modules, gc.get_freeze_count() > 100_000, gc.get_stats()[2]["collections"] - before)
import sargan_cli.batch
real = sargan_cli.batch._engine
sargan_cli.batch._engine = lambda name: real(name) and engine
main(sys.argv[1:])
"""
    (tmp_path / "photo.jpg").write_bytes(b"photo")
    arguments = ["batch", str(tmp_path), "--expr", "happy", "--out", str(tmp_path / "out"), "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    loaded, frozen, collections = done.stdout.split()
    assert (loaded, frozen) == ("True", "True"), done.stderr
    assert int(collections) <= 2
