"""The real command on a folder of odd files: for each the right result or one clear line, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from loaded_memory import loaded_megabytes
from odd_case import DONE, Case, limit, portrait
from odd_files import make_corpus

from sargan_core.photo.files import shown
from sargan_core.photo.photo import Photo, read_photo

# What small photos may add to a process that has loaded everything, in MB.
ADDED = 570


@dataclass(frozen=True)
class Run:
    """One call of the command over the whole corpus."""

    folder: Path
    output: Path
    cases: list[Case]
    reports: list[dict]
    errors: str
    code: int
    peak: float
    before: dict[str, str]


def checksums(folder: Path) -> dict[str, str]:
    files = (path for path in folder.iterdir() if path.is_file() and not path.is_symlink())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder, output = tmp_path_factory.mktemp("odd"), tmp_path_factory.mktemp("edited")
    cases = make_corpus(folder)
    before = checksums(folder)
    names = [os.fsencode(folder) + b"/" + os.fsencode(case.name) for case in cases]
    command = [
        sys.executable,
        "-m",
        "sargan_cli",
        "edit",
        *names,
        "--expr",
        "happy",
        "--model",
        "pixel-plain",
        "--json",
        "-o",
        str(output),
    ]
    log, results = output.parent / "log.txt", output.parent / "results.txt"
    with log.open("wb") as errors, results.open("wb") as lines:
        process = subprocess.Popen(command, stdout=lines, stderr=errors, preexec_fn=limit)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    reports = [json.loads(line) for line in results.read_text().splitlines()]
    peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return Run(folder, output, cases, reports, log.read_text(), process.returncode, peak, before)


def edited(run: Run, case: Case) -> Photo:
    number = run.cases.index(case)
    return read_photo(Path(run.reports[number]["output"]))


def test_every_file_ends_as_it_should(run: Run):
    assert len(run.reports) == len(run.cases)
    wrong = [
        (case.name, case.outcome, report["outcome"], report["message"])
        for case, report in zip(run.cases, run.reports, strict=True)
        if (case.outcome not in (None, report["outcome"]))
        or case.words not in report["message"]
        or report["outcome"] == "failed"
    ]
    assert not wrong
    assert run.code == 1


def test_every_failure_is_one_clean_line_that_names_the_file(run: Run):
    lines = [line for line in run.errors.split("\n") if line.startswith("error:")]
    failed = [
        (case, report) for case, report in zip(run.cases, run.reports, strict=True) if report["message"]
    ]
    assert len(lines) == len(failed)
    for line, (case, _) in zip(lines, failed, strict=True):
        assert shown(os.fsdecode(case.name)) in line
        assert line.isprintable()
    assert "Traceback" not in run.errors
    assert "unexpected" not in run.errors
    known = (
        "error: ",
        "warning: ",
        f"{run.folder}/",
        f"{sum(r['outcome'] == DONE for r in run.reports)} of ",
    )
    assert [line for line in run.errors.split("\n") if line and not line.startswith(known)] == []


def test_inputs_stay_and_outputs_are_whole(run: Run):
    assert checksums(run.folder) == run.before
    outputs = {report["output"] for report in run.reports if report["outcome"] == DONE}
    assert None not in outputs
    assert {os.fspath(path) for path in run.output.iterdir()} == outputs


def test_results_have_the_kind_size_and_depth_of_the_photo(run: Run):
    for case, report in zip(run.cases, run.reports, strict=True):
        if case.outcome != DONE or case.data is None:
            continue
        before, after = read_photo(case.data), edited(run, case)
        name = str(case.name)
        assert (after.format, name) == (
            case.kind if Path(os.fsdecode(case.name)).suffix != ".png" else "PNG",
            name,
        )
        assert (after.pixels.shape, name) == (before.pixels.shape, name)
        assert after.pixels.dtype == before.pixels.dtype
        assert (after.alpha is None) == (before.alpha is None)
        assert after.metadata.icc_profile == before.metadata.icc_profile, name
        assert report["faces"], name
        change = np.abs(after.pixels.astype(float) - before.pixels) / np.iinfo(before.pixels.dtype).max
        assert change.mean() > 0.002, name


def test_orientation_commutes_with_the_edit(run: Run):
    turned = [
        edited(run, case).pixels.astype(float)
        for case in run.cases
        if str(case.name).startswith("orientation")
    ]
    assert len(turned) == 8
    assert np.abs(turned[0] - portrait()).mean() > 1
    for pixels in turned[1:]:
        # JPEG blocks lie elsewhere in a turned file, so the detector sees slightly other pixels.
        assert np.abs(pixels - turned[0]).mean() < 1.5


def test_small_files_never_take_much_memory(run: Run):
    assert run.peak < loaded_megabytes() + ADDED
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0
