"""The processes of the local engine: the same results in the same order, and what happens when one is killed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import signal
import sys
import threading
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
from batch_samples import StandIn, request_for, save, settings_for
from PIL import Image

from sargan_core.batch.local import run_local
from sargan_core.batch.manifest import read_manifest
from sargan_core.batch.room import Room
from sargan_core.batch.run import Policy, run_batch
from sargan_core.errors import WorkerLostError

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked on Linux")


class Noting(StandIn):
    """Notes, in files, which process prepared each photo and when it was done."""

    def prepare(self, photo):
        self.note(photo, "in", f"{os.getpid()} {time.monotonic_ns()}")
        return super().prepare(photo)

    def finish(self, prepared, target, edited, seconds):
        self.note(prepared.photo, "out", f"{os.getpid()} {time.monotonic_ns()}")
        return super().finish(prepared, target, edited, seconds)

    def note(self, photo, what, text):
        Path("notes").mkdir(exist_ok=True)
        Path("notes", f"{Path(photo.name).stem}.{what}").write_text(text)


def noted(what):
    return {
        path.stem: [int(word) for word in path.read_text().split()]
        for path in Path("notes").glob(f"*.{what}")
    }


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr("sargan_core.batch.local.available_cores", lambda: 2)


def run(plan, on_result=None, *, fork=True, **options):
    return run_batch(plan, settings_for(plan, fork=fork, **options), run_local, Policy(), on_result=on_result)


def children():
    """Return the processes that this one started and that still are, ended or not."""
    own, found = str(os.getpid()), set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name before the last bracket may hold anything; then come state and parent.
            if status.read_text().rpartition(")")[2].split()[1] == own:
                found.add(status.parent.name)
    return found


@pytest.fixture(autouse=True)
def count_from_here(two_cores):
    """Children of other tests are not ours to count."""
    EARLIER.clear()
    EARLIER.update(children())


EARLIER: set[str] = set()


def no_process_is_left():
    return not children() - EARLIER


def checksums(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(folder).glob("*.png")}


def test_processes_make_the_bytes_of_threads_in_the_order_of_the_plan(folder, editor):
    Path("in/5.png").write_bytes(b"broken")
    Image.new("RGB", (16, 16), "white").save("in/4.png")
    editor(Noting(pause=0.01))
    run(request_for("in", folder="threads"), fork=False)
    assert {process for process, _ in noted("in").values()} == {os.getpid()}
    told = []
    run(request_for("in"), lambda entry, _: told.append(entry.output))
    makers = {process for process, _ in noted("in").values()}
    assert len(makers) == 2
    assert os.getpid() in makers
    assert told == [f"{number}.png" for number in range(10)]
    assert checksums("out") == checksums("threads")
    one, other = (
        [(entry.output, entry.outcome, entry.message) for entry in read_manifest(Path(name)).values()]
        for name in ("threads", "out")
    )
    assert one == other
    assert no_process_is_left()


def test_a_process_that_is_killed_is_told_and_the_next_run_ends_the_work(folder, editor):
    first = os.getpid()

    class Killed(StandIn):
        def infer(self, prepared, target):
            if os.getpid() != first:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().infer(prepared, target)

    editor(Killed())
    with pytest.raises(WorkerLostError, match=r"in/\d\.png: .*killed.*run the same command again"):
        run(request_for("in"))
    assert no_process_is_left()
    assert not list(Path("out/.sargan-batch").rglob("*.png"))
    editor(StandIn())
    assert run(request_for("in")).complete


def test_a_process_that_is_killed_with_all_the_room_keeps_nobody_waiting(folder, editor, monkeypatch):
    monkeypatch.setattr("sargan_core.batch.local.BYTES_A_WORKER", 16)
    first = os.getpid()

    class Killed(StandIn):
        def infer(self, prepared, target):
            if os.getpid() != first:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().infer(prepared, target)

    editor(Killed(pause=0.01))
    with pytest.raises(WorkerLostError, match="killed"):
        run(request_for("in"))
    assert no_process_is_left()


def test_an_error_of_the_listener_ends_the_processes_and_leaves_nothing_half_done(folder, editor):
    def stop(entry, summary):
        if entry.output == "3.png":
            raise KeyboardInterrupt

    editor(StandIn(pause=0.01))
    with pytest.raises(KeyboardInterrupt):
        run(request_for("in"), stop)
    assert no_process_is_left()
    assert sorted(checksums("out")) == ["0.png", "1.png", "2.png", "3.png"]
    assert not list(Path("out").rglob(".sargan*.png"))


def test_what_ends_a_process_ends_the_run(folder, editor):
    class Broken(StandIn):
        def prepare(self, photo):
            raise SystemExit(f"no way with {photo.name}")

    editor(Broken())
    with pytest.raises(SystemExit, match="no way with in/"):
        run(request_for("in"))
    assert no_process_is_left()


def test_a_photo_larger_than_its_share_of_the_memory_is_alone(folder, editor, monkeypatch):
    monkeypatch.setattr("sargan_core.batch.local.BYTES_A_WORKER", 16 * 16 * 16)
    for number in (2, 3, 6):
        save(Path(f"in/{number}.png"), number, size=40)
    editor(Noting(pause=0.02))
    assert run(request_for("in")).complete
    began, ended = ({name: when for name, (_, when) in noted(what).items()} for what in ("in", "out"))
    for large in ("2", "3", "6"):
        for other in began.keys() - {large}:
            assert ended[other] < began[large] or ended[large] < began[other]


def test_without_memory_for_a_process_the_work_is_done_here(folder, editor, monkeypatch):
    def refuse():
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr("os.fork", refuse)
    editor(Noting())
    assert run(request_for("in")).complete
    assert {process for process, _ in noted("in").values()} == {os.getpid()}


def test_without_shared_semaphores_threads_do_the_work(folder, editor, monkeypatch):
    def refuse(*arguments):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr("sargan_core.batch.processes.Room", refuse)
    editor(Noting())
    assert run(request_for("in")).complete
    assert {process for process, _ in noted("in").values()} == {os.getpid()}


def test_one_photo_needs_no_process(folder, editor):
    editor(Noting())
    assert run(request_for("in/1.png")).complete
    assert noted("in")["1"][0] == os.getpid()


def test_large_photos_do_not_wait_for_each_other():
    room, most, inside, lock = Room(get_context("fork"), 3), [], [0], threading.Lock()

    def visit(alone):
        for _ in range(20):
            places = room.enter(alone=alone)
            with lock:
                inside[0] += places
                most.append(inside[0])
            time.sleep(0.0002)
            with lock:
                inside[0] -= places
            room.leave(places)

    threads = [
        threading.Thread(target=visit, args=(alone,), daemon=True) for alone in (True, True, False, False)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert len(most) == 80
    assert max(most) == 3
