"""Whatever a name on the command line stands for: no pipe is waited for, no device read, nothing huge taken in.

Every argument and option that names a file to read is here, and every file that a command looks for by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from limits import bounded
from loaded_memory import loaded_megabytes

from sargan_cli.__main__ import main
from sargan_core.weights import WeightsRecord, write_index

ROOT = Path(__file__).parents[2]
PORTRAIT = ROOT / "examples" / "portrait.jpg"
KINDS = ("pipe", "device", "folder", "missing", "empty", "sparse")

pytestmark = pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a system with devices")

# Where the file lies, the command with {} for it, and the exit code; {out} is a folder for results.
COMMANDS: dict[str, tuple[str, str, int]] = {
    "edit": ("a.jpg", "edit {} --expr happy --model pixel-plain -o {out}/b.jpg", 1),
    "edit --like": ("a.jpg", "edit {portrait} --like {} -o {out}/b.jpg", 2),
    "edit --weights": ("w.safetensors", "edit {portrait} --expr happy --weights {} -o {out}/b.jpg", 3),
    "detect": ("a.jpg", "detect {}", 1),
    "batch": ("a.jpg", "batch {} --expr happy --model pixel-plain --out {out}", 1),
    "batch --from": ("list.txt", "batch --from {} --expr happy --model pixel-plain --out {out}", 2),
    "batch --like": ("a.jpg", "batch {portrait} --like {} --out {out}", 2),
    "batch --weights": ("w.safetensors", "batch {portrait} --expr happy --weights {} --out {out}", 3),
    "models import": ("G.ckpt", "models import {} -o {out}/g.safetensors", 3),
    "models verify": ("weights/w.safetensors", "models verify", 3),
    "models list": ("weights/index.json", "models list", 3),
    "evaluate --data": ("people.csv", "evaluate --data {} --out {out}/e", 1),
    "evaluate --data, a list in it": ("data/people.csv", "evaluate --data {parent} --out {out}/e", 1),
    "evaluate --data, landmarks": ("data/landmarks.npz", "evaluate --data {parent} --out {out}/e", 1),
    "evaluate --data, a manifest": ("data/sargan-batch.jsonl", "evaluate --data {parent} --out {out}/e", 1),
    "evaluate --ood": ("a.jpg", "evaluate --ood {} --model pixel-plain --out {out}/e", 1),
    "evaluate --split": ("split.json", "evaluate --data {people} --split {} --out {out}/e", 1),
    "evaluate --judge": ("judge.toml", "evaluate --ood {portrait} --judge {} --out {out}/e", 1),
    "evaluate --judge, its network": (
        "net.onnx",
        "evaluate --ood {portrait} --judge {judge} --out {out}/e",
        1,
    ),
    "evaluate --model": ("w.safetensors", "evaluate --ood {portrait} --model m={} --out {out}/e", 3),
    "evaluate --compare": ("results.json", "evaluate --compare {} {}", 1),
    "train --start": ("w.safetensors", "train --data {people} --start {} --out {out}/t", 3),
    "train --data, packed": ("p.safetensors", "train --data {} --out {out}/t", 1),
    "train --data": ("people.csv", "train pixel --data {} --out {out}/t", 1),
}
# Another fault: a folder without photos is wrong usage.
EXCEPTIONS = {
    ("batch", "folder"): 2,
    ("batch", "missing"): 2,
    ("evaluate --judge", "empty"): 2,
}


def put(kind: str, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind in ("empty", "sparse"):
        with path.open("wb") as stream:
            stream.truncate(2**40 if kind == "sparse" else 0)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose only weights are ``w.safetensors``, for the commands that are about them."""
    (tmp_path / "weights").mkdir()
    record = WeightsRecord("w", "w.safetensors", "pixel", "0" * 64, 7, "", None)
    write_index(tmp_path / "weights", (record,))
    monkeypatch.setenv("SARGAN_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", COMMANDS)
def test_it_is_one_line_soon_and_in_little_memory(
    name: str, kind: str, tmp_path: Path, capfd: pytest.CaptureFixture, request: pytest.FixtureRequest
):
    place, command, code = COMMANDS[name]
    file, out = tmp_path / place, tmp_path / "out"
    if name.startswith("models") and "import" not in name:
        request.getfixturevalue("home")
        with contextlib.suppress(FileNotFoundError):
            file.unlink()
    out.mkdir()
    judge, people = tmp_path / "j.toml", tmp_path / "people"
    judge.write_text('name="j"\nkind="identity"\nfile="net.onnx"\nsize=16\n')
    for expression in ("neutral", "happy"):
        (people / expression).mkdir(parents=True)
        (people / expression / "anna.jpg").symlink_to(PORTRAIT)
    put(kind, file)
    arguments = [
        word.format(file, file, out=out, parent=file.parent, portrait=PORTRAIT, judge=judge, people=people)
        for word in command.split()
    ]
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    with bounded(seconds=30, megabytes=700):
        found = main(arguments)
    _, said = capfd.readouterr()
    assert found == EXCEPTIONS.get((name, kind), code), said
    if found == 0:
        return
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, said
    assert "unexpected" not in said
    assert "Traceback" not in said
    new = {path.name for path in tmp_path.rglob("*") if path.is_file()} - {path.name for path in before}
    assert not {name for name in new if name.endswith((".jpg", ".safetensors", ".html", ".json"))}


def listing(names: bytes, source: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Plan a batch of a list that comes from a file, from stdin, or from a pipe that the shell made."""
    file = tmp_path / "list.txt"
    file.write_bytes(names)
    command = f"'{sys.executable}' -m sargan_cli batch --expr happy --dry-run --from"
    ending = {"file": f"'{file}'", "stdin": f"- < '{file}'", "pipe": "-", "shell": f"<(cat '{file}')"}[source]
    start = f"cat '{file}' | " if source == "pipe" else ""
    return subprocess.run(
        ["bash", "-c", f"{start}{command} {ending}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )


@pytest.mark.parametrize("source", ["file", "stdin", "pipe", "shell"])
def test_a_list_comes_from_a_file_stdin_or_the_shell(source: str, tmp_path: Path):
    for name in ("one.jpg", "two.jpg"):
        (tmp_path / name).symlink_to(PORTRAIT)
    done = listing(b"one.jpg\ntwo.jpg\n", source, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 2


def test_an_endless_list_on_stdin_is_refused(tmp_path: Path):
    command = [sys.executable, "-m", "sargan_cli", "batch", "--from", "-", "--expr", "happy", "--dry-run"]
    with Path("/dev/zero").open("rb") as endless:
        process = subprocess.Popen(command, stdin=endless, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert (process.returncode, said.count("\n")) == (2, 1)
    assert "larger than" in said
    assert usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10) < loaded_megabytes() + 570


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\0"])
def test_a_list_of_too_many_names_is_refused(end: bytes):
    from sargan_core.batch.inputs import MOST_NAMES, read_list

    assert read_list((b"a" + end) * 3, null=end == b"\0") == ["a"] * 3
    with bounded(megabytes=50), pytest.raises(ValueError, match="more than"):
        read_list(end * (MOST_NAMES + 1), null=end == b"\0")


@pytest.mark.parametrize("strength", ["nan", "-nan", "inf", "-inf", "1e400", "", "-1", "3", "two", "0.5,nan"])
@pytest.mark.parametrize("command", ["edit", "batch", "mix"])
def test_a_strength_that_is_none_is_wrong_usage(
    command: str, strength: str, tmp_path: Path, capfd: pytest.CaptureFixture
):
    out = tmp_path / "out"
    arguments = {
        "edit": [
            "edit",
            str(PORTRAIT),
            "--expr",
            "happy",
            f"--strength={strength}",
            "-o",
            str(out / "a.jpg"),
        ],
        "batch": ["batch", str(PORTRAIT), "--expr", "happy", f"--strength={strength}", "--out", str(out)],
        "mix": ["edit", str(PORTRAIT), "--expr", f"happy:{strength}", "-o", str(out / "a.jpg")],
    }[command]
    assert main(arguments) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "unexpected" not in said
    assert not out.exists()


def test_a_strength_of_minus_zero_is_zero():
    from sargan_core.expressions import parse_mix, parse_strength

    assert str(parse_strength("-0")) == "0.0"
    assert parse_mix("happy:-0").slug == "happy0"


def test_edit_refuses_nan_whatever_its_options_let_through():
    from sargan_cli.expressions import strength_of
    from sargan_core.errors import UsageError

    with pytest.raises(UsageError, match="from 0 to 2"):
        strength_of(float("nan"))


WRONG = (None, 7, -1.5, "text", [], [[]], {}, {"a": {"b": 1}}, True)


def changed(value: object) -> list[object]:
    """The value with each of its parts replaced by something else, one at a time, and left out."""
    found: list[object] = list(WRONG)
    if isinstance(value, dict):
        for key, item in list(value.items())[:40]:
            rest = {name: other for name, other in value.items() if name != key}
            found += [rest, {**rest, "odd": item}, *({**value, key: other} for other in changed(item))]
    elif isinstance(value, list) and value:
        found += [[other, *value[1:]] for other in changed(value[0])]
    return found


def test_results_with_any_member_of_another_type_are_read_or_refused(tmp_path: Path):
    from sargan_core.errors import DataError
    from sargan_core.evaluation import compare as comparing
    from sargan_core.evaluation.results import read_results

    one = {"a": 0.5, "b": 0.25, "c": 1.0, "d": None}
    estimate = {"mean": 0.5, "low": None, "high": 1, "people": 3, "count": 3}
    row = {"part": "in", "source": "all", "model": "m", "expression": "all", "pictures": 3, "lost": 0}
    cost = {"parameters": 1, "bytes": 1, "multiply_adds": 1, "model_ms": 1.0, "edit_ms": 1.0, "peak_mb": None}
    values = {
        "format": "sargan-evaluation",
        "version": 1,
        "created": "",
        "versions": {"torch": "2"},
        "settings": {},
        "models": ["none", "m"],
        "judges": {"judge": ""},
        "rows": [{**row, "figures": {"identity": estimate}}],
        "people": {"in": {"m": {"identity": one, "recognised:mine": one}}},
        "confusion": [],
        "curves": [],
        "distances": {},
        "costs": {"m": {**cost, "threads": 1, "photo": [4, 4]}},
        "truths": {"in": {"exact": 1}},
        "skipped": {},
        "seconds": 1.0,
    }
    file = tmp_path / "results.json"
    file.write_text(json.dumps(values))
    whole = read_results(file)
    assert len(comparing.compare(whole, whole).differences) == 2
    refused = 0
    for other in changed(values):
        file.write_text(json.dumps(other))
        try:
            comparing.compare(whole, read_results(file))
        except DataError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400", "1e300", "9" * 400])
def test_numbers_that_are_none_do_not_get_into_a_comparison(number: str):
    from sargan_core.evaluation.results import Estimate, record_of

    text = f'{{"mean": {number}, "low": 0, "high": 1, "people": 3, "count": 3}}'
    with pytest.raises(ValueError, match="mean is"):
        record_of(Estimate, json.loads(text))
