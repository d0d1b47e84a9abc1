"""Training and finding faces as processes that are interrupted or killed at any moment, and workers that are killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sargan_core.models.sargan.data import CropPairs, face_weight, sargan_template
from sargan_core.training.plan import random_crops
from sargan_core.training.run_folder import RunFolder
from sargan_core.weights import open_weights

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes")

PORTRAIT = Path(__file__).parents[2] / "examples" / "portrait.jpg"
# Loads everything once; every further line on stdin is a run in a forked process, which can be killed.
SERVER = """
import json, os, sys
import sargan_core.models.sargan.run, sargan_core.editor, torch.utils.tensorboard
from sargan_cli.__main__ import run
print("ready", flush=True)
for line in sys.stdin:
    arguments, log = json.loads(line)
    child = os.fork()
    if child == 0:
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{log}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.argv = ["sargan", *arguments]
        run()
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
STEPS = 12


class Runs:
    """Runs of the command, each in a process of its own."""

    def __init__(self, server: subprocess.Popen[str], log: Path) -> None:
        self._server, self._log = server, log

    def __call__(self, *arguments: object, after: float | None = None, kind: int = signal.SIGTERM) -> int:
        """Return the exit code; ``after`` is when to send a signal, in seconds."""
        print(json.dumps(([*map(str, arguments)], str(self._log))), file=self._server.stdin, flush=True)
        child = int(self._server.stdout.readline())
        if after is not None:
            time.sleep(after)
            with contextlib.suppress(ProcessLookupError):  # the first run was slow, and this one is through
                os.kill(child, kind)
        return int(self._server.stdout.readline())

    @property
    def results(self) -> list[str]:
        return Path(f"{self._log}.out").read_text().splitlines()

    @property
    def errors(self) -> str:
        return Path(f"{self._log}.err").read_text()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    command = [sys.executable, "-c", SERVER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, env={**os.environ, "OMP_NUM_THREADS": "1"}) as server:
        assert server.stdout.readline() == "ready\n"
        yield Runs(server, tmp_path_factory.mktemp("log") / "log")
        server.stdin.close()
        server.wait(60)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pairs = np.array([(7 * person + 4, 7 * person + label) for person in range(2) for label in range(7)])
    even = np.ones(len(pairs), np.float32)
    file = tmp_path_factory.mktemp("data") / "pack.safetensors"
    CropPairs(
        template=sargan_template(64),
        images=random_crops(64, 14),
        persons=np.array([f"p{index // 7}" for index in range(14)]),
        labels=np.tile(np.arange(7), 2),
        pairs=pairs,
        odds=even,
        trust=even,
        mask=face_weight(64),
        held_out=np.array(["p0"]),
    ).save(file)
    return file


def check_run(folder: Path, *, killed: bool) -> int:
    """Look at what an interrupted training left; return the step of its checkpoint, 0 if there is none."""
    if not folder.exists():
        return 0
    hidden = [path.name for path in folder.iterdir() if path.name.startswith(".sargan-")]
    assert killed or not hidden
    for path in folder.iterdir():
        if path.name in hidden:
            continue
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".png":
            Image.open(path).load()
        elif path.suffix == ".safetensors":
            open_weights(path)
        elif path.suffix == ".jsonl":
            assert [json.loads(line)["step"] for line in path.read_text().splitlines()]
    return RunFolder(folder, False).read_checkpoint()["step"] if (folder / "checkpoint.pt").exists() else 0


def test_training_can_be_ended_at_any_moment_and_goes_on(runs: Runs, pack: Path, tmp_path: Path):
    small = ("--size", "64", "--width", "4", "--batch", "2", "--device", "cpu", "--seed", "3")
    often = ("--checkpoint-every", "2", "--sheet-every", "2")
    start = ("train", "--data", pack, *small, *often, "--steps", STEPS)
    began = time.monotonic()
    assert runs(*start, "--out", tmp_path / "whole") == 0, runs.errors
    length = time.monotonic() - began
    chance = random.Random(11)
    for number, kind in enumerate((signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGKILL)):
        folder = tmp_path / f"run-{number}"
        after = length * chance.uniform(0.1, 0.8)
        code = runs(*start, "--out", folder, after=after, kind=kind)
        assert code in (0, -kind if kind == signal.SIGKILL else 130), runs.errors
        step = check_run(folder, killed=kind == signal.SIGKILL)
        assert "Traceback" not in runs.errors
        if code == 130:
            assert runs.errors.splitlines()[-1] == "error: interrupted"
        if step:
            assert runs("train", "--out", folder, "--resume", "--device", "cpu") == 0, runs.errors
            tensors, whole = (
                open_weights(place / "generator.safetensors")[1] for place in (folder, tmp_path / "whole")
            )
            assert all(torch.equal(tensors[name], whole[name]) for name in whole)


def test_finding_faces_can_be_ended_at_any_moment(runs: Runs, tmp_path: Path):
    portrait = Image.open(PORTRAIT).resize((160, 160))
    names = [tmp_path / f"{number}.png" for number in range(6)]
    for name in names:
        portrait.save(name)
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    call = ("detect", *names, "--json", "--draw", drawn, "--overwrite")
    began = time.monotonic()
    assert runs(*call) == 0, runs.errors
    length = time.monotonic() - began
    chance = random.Random(5)
    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        code = runs(*call, after=length * chance.uniform(0.05, 0.9), kind=kind)
        assert code in (0, -kind if kind == signal.SIGKILL else 130), runs.errors
        for line in runs.results:
            assert json.loads(line)["faces"]
        for path in drawn.iterdir():
            if not path.name.startswith(".sargan-"):
                Image.open(path).load()
            else:
                assert kind == signal.SIGKILL
        assert "Traceback" not in runs.errors
        assert code != 130 or runs.errors.splitlines()[-1] == "error: interrupted"


def test_torn_metrics_do_not_keep_a_run_from_going_on(tmp_path: Path):
    (tmp_path / "metrics.jsonl").write_bytes(
        b'{"step": 1}\n{"step": 2, "a": 3}\n{"step": 3}\n{"step": 4, "a\xff'
    )
    RunFolder(tmp_path).cut_metrics(2)
    assert (tmp_path / "metrics.jsonl").read_bytes() == b'{"step": 1}\n{"step": 2, "a": 3}\n'
