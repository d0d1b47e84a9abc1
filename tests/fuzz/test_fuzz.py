"""A short run of every fuzz target, and what long runs found (``found/``: TARGET-what).

Long runs: ``python tests/fuzz/fuzzing.py --runs 20000 --keep FOLDER``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from targets import TARGETS
from text_targets import check_list, check_run_file
from weights_targets import check_index, check_weights, weights

from sargan_core.batch.manifest import read_manifest
from sargan_core.data.sources import read_sources
from sargan_core.data.split import read_split
from sargan_core.errors import SarganError
from sargan_core.evaluation.judges import read_judge
from sargan_core.models.sargan.file import import_checkpoint
from sargan_core.models.sargan.run import SarganRun
from sargan_core.training.session import read_run
from sargan_core.weights import read_index

FOUND = Path(__file__).with_name("found")
FUZZING = Path(__file__).with_name("fuzzing.py")
# Runs in the suite; costs a second or two each on an idle core.
RUNS = {"photos": 250, "weights": 40, "manifests": 30, "checkpoints": 60}

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or sys.platform == "darwin", reason="needs fork and /proc"
)


@pytest.mark.parametrize("name", TARGETS)
def test_changed_inputs_are_read_or_refused(name: str):
    # In a process of its own: a fork of one whose threads have computed waits for threads that it does not have.
    command = [sys.executable, str(FUZZING), name, "--runs", str(RUNS.get(name, 150)), "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", sorted(FOUND.iterdir()), ids=lambda path: path.name)
def test_what_was_found_is_handled(
    path: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
):
    """Inputs that once ended in an unexpected error, or made a library print or warn."""
    TARGETS[path.name.split("-")[0]].check(path.read_bytes(), tmp_path)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_device_in_the_place_of_a_file_is_not_opened(tmp_path: Path, kind: str):
    names = (
        "options.json",
        "split.json",
        "index.json",
        "sargan-batch.jsonl",
        "judge.toml",
        "g.ckpt",
        "list.csv",
    )
    for name in names:
        os.mkfifo(tmp_path / name) if kind == "pipe" else (tmp_path / name).symlink_to("/dev/zero")
    for read in (
        lambda: read_run(SarganRun, tmp_path),
        lambda: read_split(tmp_path / "split.json"),
        lambda: read_index(tmp_path),
        lambda: read_manifest(tmp_path / "sargan-batch.jsonl"),
        lambda: read_judge(tmp_path / "judge.toml"),
        lambda: import_checkpoint(tmp_path / "g.ckpt"),
        lambda: read_sources([tmp_path]),
    ):
        with pytest.raises(SarganError):
            read()


def test_toml_without_end(tmp_path: Path):
    for data in (b"a = " + b"[" * 8_000, b"a" + b".a" * 4_000 + b" = 1", b"a = 1\n" * 10_000, b"\xff"):
        (tmp_path / "judge.toml").write_bytes(data)
        with pytest.raises(SarganError, match=r"not a TOML file|no member"):
            read_judge(tmp_path / "judge.toml")


def header(data: bytes, **changes: object) -> bytes:
    """The first good weights file with members of its record changed."""
    length = int.from_bytes(data[:8], "little")
    values = json.loads(data[8 : 8 + length])
    record = {**json.loads(values["__metadata__"]["sargan"]), **changes}
    values["__metadata__"]["sargan"] = json.dumps(record)
    content = json.dumps(values).encode()
    return len(content).to_bytes(8, "little") + content + data[8 + length :]


def template(**changes: object) -> dict[str, object]:
    return {
        "size": 128, "kind": "affine", "left_eye": [0.3, 0.4], "right_eye": [0.7, 0.4], "mouth": [0.5, 0.8],
        "shape": None, **changes,
    }  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"template": template(left_eye=[])},
        {"template": template(size=10**6)},
        {"template": template(size=2**63)},
        {"template": template(mouth=[0.5, 0.4])},
        {"template": template(shape=[[0.5, 0.5]] * 5)},
        {"template": template(kind="elastic")},
        {"settings": {"expressions": [None]}},
        {"settings": {"form": "plain", "expressions": ["happy"] * 5000}},
        {"kind": "generator", "settings": {"width": 4096, "blocks": 4096}},
        {"kind": "generator", "settings": {"downs": 4096}},
        {"kind": "refiner", "settings": {"base": "../../etc/passwd"}},
        {"name": 5},
        {"name": "x\0\x1b[31m"},
        {"unknown": 1},
        {"settings": None},
        {"template": "affine"},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_weights_that_were_found_hostile(tmp_path: Path, changes: dict[str, object]):
    check_weights(header(weights()[0], **changes), tmp_path)


@pytest.mark.parametrize("rest", [b"", b"\xff" * 8, b"\xff" * 100, b"{}", b"[" * 100_000], ids=len)
def test_headers_that_promise_more_than_there_is(tmp_path: Path, rest: bytes):
    check_weights(rest, tmp_path)
    check_weights((2**62).to_bytes(8, "little") + rest, tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        b"path,person,expression\na\0b,anna,happy\n",
        b"path,person,expression\n" + b"n" * 300 + b",anna,happy\n",
        b"path,person,expression\n\"" + b"x" * 200_000 + b"\",anna,happy\n",
        b"path,person,expression\n../../../../etc/passwd,anna,happy\n",
        b"path,person,expression\n/etc/passwd,anna,happy\n",
        b"path,person,expression\n.,anna,happy\n",
    ],
    ids=lambda data: repr(data[23:50]),
)  # fmt: skip
def test_lists_that_were_found_hostile(tmp_path: Path, data: bytes):
    check_list(data, tmp_path)


def test_json_without_end(tmp_path: Path):
    for check in (check_index, check_run_file):
        check(b"[" * 200_000, tmp_path)
        check(b'{"a":' * 200_000, tmp_path)
