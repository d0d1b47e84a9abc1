"""Run fuzz targets: ``python tests/fuzz/fuzzing.py [TARGET...] --runs 20000 --seed 1 --keep FOLDER``.

Every run happens in a forked process with bounded memory, a time limit and its standard error in a file, so that
crashes of decoders, hangs and chatter are findings like exceptions. Findings are kept as files; the inputs of a seed
are always the same.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

for folder in ("core", "core/photo", "fuzz"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))

# A fork of a process whose threads have computed waits for threads that it does not have.
os.environ["OMP_NUM_THREADS"] = "1"

# Before the forks: its libraries, above all those for GPUs, take address space and seconds to load.
import torch  # noqa: E402, F401
from target import Target, inputs  # noqa: E402
from targets import TARGETS  # noqa: E402

# What an input may take of the CPU, and of the clock on a machine that does other work too.
SECONDS, WAIT = 10, 120
# Memory that one process may take beyond what it has when it is forked, in bytes.
MEMORY = 3 * 2**30
BLOCK = 1000


@dataclass(frozen=True)
class Finding:
    """An input that was not handled."""

    data: bytes
    what: str


def fuzz(name: str, runs: int, seed: int = 1) -> list[Finding]:
    """Give ``runs`` inputs to a target and return what was found, each kind once."""
    target = TARGETS[name]
    stream = inputs(target, seed, runs)
    found: dict[str, Finding] = {}
    while block := list(islice(stream, BLOCK)):
        while block:
            done, finding = _run_block(target, block)
            if finding is not None:
                found.setdefault(_kind(finding.what), finding)
            block = block[done:]
    return list(found.values())


def _kind(what: str) -> str:
    lines = what.strip().splitlines() or [what]
    places = [line.strip() for line in lines if line.strip().startswith("File")]
    return f"{lines[-1].split(':')[0][:80]} {places[-1] if places else ''}"


def _run_block(target: Target, block: list[bytes]) -> tuple[int, Finding | None]:
    """Run inputs in one forked process until one is not handled; return how many were run."""
    sys.stdout.flush()
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as progress:
        pid = os.fork()
        if pid == 0:
            _child(target, block, errors.fileno(), progress.fileno())
        _, status = os.waitpid(pid, 0)
        done = os.fstat(progress.fileno()).st_size
        errors.seek(0)
        said = errors.read().decode("utf-8", "replace")
        code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return len(block), None
    ends = {
        -signal.SIGPROF: f"more than {SECONDS} s of the CPU",
        -signal.SIGALRM: f"more than {WAIT} s",
    }
    reason = said if code == 1 else f"{ends.get(code, f'ended by signal or code {code}')}: {said[-300:]}"
    return done, Finding(block[done - 1], reason)


def _child(target: Target, block: list[bytes], errors: int, progress: int) -> None:
    code = 1
    os.dup2(errors, 2)
    with Path("/proc/self/statm").open() as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    try:
        for data in block:
            os.write(progress, b".")
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            signal.alarm(WAIT)
            with _folder() as folder:
                target.check(data, folder)
                left = [path.name for path in folder.iterdir() if path.name.startswith(".sargan-")]
                assert not left, left
            if os.fstat(errors).st_size:
                raise AssertionError("something was written to the standard error stream")
            os.ftruncate(errors, 0)
        code = 0
    except BaseException:
        os.write(2, traceback.format_exc().encode("utf-8", "replace"))
    finally:
        os._exit(code)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="sargan-fuzz-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=list(TARGETS))
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=None, help="folder for inputs that were not handled")
    options = parser.parse_args()
    total = 0
    for name in options.targets:
        started = time.monotonic()
        found = fuzz(name, options.runs, options.seed)
        total += len(found)
        print(
            f"{name}: {options.runs} runs, {time.monotonic() - started:.0f} s, {len(found)} findings",
            flush=True,
        )
        for finding in found:
            print("    " + "\n    ".join(finding.what.strip().splitlines()[-3:]))
            if options.keep is not None:
                options.keep.mkdir(parents=True, exist_ok=True)
                digest = hashlib.sha256(finding.data).hexdigest()[:12]
                (options.keep / f"{name}-{digest}").write_bytes(finding.data)
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
