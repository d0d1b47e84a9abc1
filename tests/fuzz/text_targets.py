"""Files of text as fuzz targets: CSV lists, manifests, options and splits, judges, and names of expressions."""

from __future__ import annotations

import contextlib
import json
import random
from functools import cache
from pathlib import Path

import numpy as np
from mutation import changed_json, mutated


def lists() -> list[bytes]:
    return [
        b"path,person,expression,take\na.jpg,anna,happy,1\nb.jpg,anna,neutral,\n../c.jpg,bob,AF,2\n",
        b'\xef\xbb\xbfpath;person;expression\r\n"a.jpg";anna;sad\r\n',
        b"expression\tpath\tperson\nHA\t/etc/passwd\tx\n",
    ]


def change_list(data: bytes, random: random.Random) -> bytes:
    out = mutated(data, random, 8)
    if random.random() < 0.1:
        out += b'"' + b"x" * random.choice((10, 200_000)) + b"\0\n"
    if random.random() < 0.1:
        out = out.replace(b"a.jpg", random.choice((b"n" * 300, b"a\0b", b"../../a", b"/", b".", b"~")))
    return out


def check_list(data: bytes, folder: Path) -> None:
    from sargan_core.data.sources import read_sources
    from sargan_core.errors import DataError

    (folder / "a.jpg").write_bytes(b"x")
    path = folder / "list.csv"
    path.write_bytes(data)
    try:
        found = read_sources([folder])
    except DataError:
        return
    for sample in found.samples:
        assert sample.path.resolve().is_relative_to(folder.resolve())


def manifests() -> list[bytes]:
    face = {
        "number": 1,
        "box": [1.0, 2.0, 30.0, 40.0],
        "points": [[1.0, 2.0]] * 5,
        "seam": 0.1,
        "change": 0.2,
    }
    entry = {
        "format": 1, "input": "../in/a.jpg", "input_sha256": "0" * 64, "output": "a-happy.jpg",
        "options_sha256": "1" * 64, "model": "pixel", "expression": "happy", "strength": 1.0, "outcome": "done",
        "message": "", "faces": [{**face, "warnings": ["small"]}], "seam": 0.1, "seconds": {"read": 0.1},
        "finished": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    line = json.dumps(entry).encode() + b"\n"
    return [line, line * 3, line + line[:40]]


def change_lines(data: bytes, random: random.Random) -> bytes:
    if random.random() < 0.3:
        return mutated(data, random)
    lines = data.splitlines()
    number = random.randrange(len(lines))
    try:
        lines[number] = changed_json(lines[number], random)
    except ValueError:
        lines[number] = mutated(lines[number], random)
    return b"\n".join(lines) + b"\n"


def check_manifest(data: bytes, folder: Path) -> None:
    from sargan_core.batch.manifest import manifest_path, read_manifest
    from sargan_core.batch.report import write_report
    from sargan_core.errors import DataError, SarganError

    path = manifest_path(folder)
    path.write_bytes(data)
    try:
        entries = read_manifest(path)
    except DataError:
        return
    for output in entries:
        inside = (folder / output).resolve().is_relative_to(folder.resolve())
        assert inside, output
    try:
        write_report(path, folder / "report.html")
    except SarganError:
        return
    assert "<script>alert(1)" not in (folder / "report.html").read_text(encoding="utf-8")


@cache
def run_files() -> list[bytes]:
    from dataclasses import asdict

    from sargan_core.models.sargan.recipes import SarganTraining
    from sargan_core.models.sargan.run import SarganRun
    from sargan_core.training.loop import LoopSettings

    run = SarganRun(data=("photos",), training=SarganTraining(), loop=LoopSettings())
    options = json.dumps(asdict(run), default=str)
    split = {"format": "sargan-split", "version": 1, "train": ["a-1"], "test": ["a-2"], "test_fraction": 0.2}
    return [options.encode(), json.dumps(split).encode()]


def check_run_file(data: bytes, folder: Path) -> None:
    from sargan_core.data.split import read_split
    from sargan_core.errors import DataError, TrainingError
    from sargan_core.models.sargan.run import SarganRun
    from sargan_core.training.session import read_run

    for name in ("options.json", "split.json"):
        (folder / name).write_bytes(data)
    with contextlib.suppress(TrainingError):
        read_run(SarganRun, folder)
    with contextlib.suppress(DataError):
        read_split(folder / "split.json")


def judges() -> list[bytes]:
    return [
        b'kind = "expression"\nfile = "judge.onnx"\nsize = 64\nlabels = ["happy", "sad"]\nleft_eye = [0.3, 0.4]\n',
        b'kind = "identity"\nfile = "/etc/passwd"\nsize = 112\nmean = [0.5, 0.5, 0.5]\nscale = 255\n',
    ]


def check_judge(data: bytes, folder: Path) -> None:
    from sargan_core.errors import DataError, UsageError
    from sargan_core.evaluation.judges import read_judge

    path = folder / "judge.toml"
    path.write_bytes(data)
    with contextlib.suppress(DataError, UsageError):
        read_judge(path)


def expressions() -> list[bytes]:
    return [b"happy:0.6,surprised:0.4", b"HA", b"joy:1e3", b"neutral:-0"]


def check_expression(data: bytes, folder: Path) -> None:
    from sargan_core.errors import UsageError
    from sargan_core.expressions import parse_mix

    try:
        mix = parse_mix(data.decode("utf-8", "surrogateescape"))
    except UsageError:
        return
    assert all(np.isfinite(weight) and weight >= 0 for _, weight in mix.parts)
    assert str(parse_mix(str(mix))) == str(mix)
    assert "/" not in mix.slug
