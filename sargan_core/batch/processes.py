"""Processes of one batch on this machine: each takes whole photos through a pipeline of its own.

Threads of one process wait for each other's Python code; processes that are forked once the models are loaded do not,
and share the memory of the models. The first process works as well, in a thread of its own.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import gc
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from sargan_core.batch.memory import share_freed_memory
from sargan_core.batch.pipeline import Pipeline
from sargan_core.batch.plan import Task
from sargan_core.batch.room import Room
from sargan_core.batch.steps import Staged
from sargan_core.errors import WorkerLostError
from sargan_core.photo.files import shown

if TYPE_CHECKING:
    from sargan_core.batch.local import Setup

# Tasks that a process has at most: the one that it works on, and the next.
AHEAD = 2
# Photos, per process, that may be finished before their turn or under way.
MOST_WAITING = 4
# Number of Linux's prctl that asks for a signal when the parent ends.
_PARENT_DEATH_SIGNAL = 1
_LEFT_TO_PARENT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(eq=False)
class _Worker:
    """Who takes photos through a pipeline, and what it was given.

    Attributes:
        member: the number of a process, or a thread of this one.
        connection: takes tasks to it and its results back.
        given: positions and tasks that it has not answered, in order.
        ended: it was told that there are no more tasks.
    """

    member: int | threading.Thread
    connection: Connection
    given: deque[tuple[int, Task]] = field(default_factory=deque)
    ended: bool = False


class Processes:
    """Takes tasks in and gives their finished outputs out, in the order of the tasks, like ``Pipeline``.

    Args:
        tasks: read by this process.
        setup: of one pipeline with one thread.
        count: how many processes, this one included.
    """

    def __init__(self, tasks: Iterator[Task], setup: Setup, count: int) -> None:
        self._tasks = enumerate(tasks)
        self._setup = setup
        self._count = count
        self._room = Room(multiprocessing.get_context("fork"), count)
        self._workers: list[_Worker] = []
        self._finished: dict[int, tuple[Task, list[Staged]]] = {}
        self._delivered = 0
        self._taken = 0

    def results(self) -> Iterator[tuple[Task, list[Staged]]]:
        """Yield every task with its finished outputs, in order, while the processes work.

        Raises:
            WorkerLostError: a process was killed.
            Exception: what ended the work of a process, or a task that could not be made.
        """
        # What is loaded stays, so no process needs to look through it, which would copy it.
        gc.freeze()
        share_freed_memory()
        # Without memory for more processes those that are there do the work.
        with contextlib.suppress(OSError):
            for _ in range(self._count - 1):
                self._workers.append(self._fork())
        self._workers.append(self._start())
        self._give()
        while waiting := [worker.connection for worker in self._workers if worker.given]:
            ready = wait(waiting)
            for worker in self._workers:
                if worker.connection in ready:
                    self._take(worker)
            self._give()
            while self._delivered in self._finished:
                yield self._finished.pop(self._delivered)
                self._delivered += 1
                self._give()

    def stop(self) -> None:
        """End the processes after the photos that they work on, and discard what was finished but not given out."""
        for worker in self._workers:
            worker.connection.close()
        for worker in self._workers:
            if isinstance(worker.member, threading.Thread):
                worker.member.join()
                continue
            with contextlib.suppress(ChildProcessError):
                os.waitpid(worker.member, 0)
        for _, results in self._finished.values():
            for staged in results:
                staged.discard()

    def _give(self) -> None:
        """Hand out tasks: first to the process that has fewest."""
        for has in range(AHEAD):
            for worker in self._workers:
                if len(worker.given) > has or worker.ended:
                    continue
                if self._taken - self._delivered >= MOST_WAITING * self._count:
                    return
                index, task = next(self._tasks, (-1, None))
                if task is None:
                    worker.ended = True
                else:
                    self._taken += 1
                    worker.given.append((index, task))
                # If it is gone, its answer says why.
                with contextlib.suppress(ConnectionError):
                    worker.connection.send(task)

    def _take(self, worker: _Worker) -> None:
        index, task = worker.given.popleft()
        try:
            answer = worker.connection.recv()
        except (EOFError, ConnectionError) as error:
            # The others may wait for room that it had.
            self._room.close()
            for other in self._workers:
                if isinstance(other.member, int):
                    os.kill(other.member, signal.SIGKILL)
            raise WorkerLostError(
                f"{shown(task.source.path)}: the process that worked on it was killed, perhaps for want of memory; "
                "run the same command again to go on, with fewer --workers if it happens again"
            ) from error
        if isinstance(answer, BaseException):
            raise answer
        self._finished[index] = task, answer

    def _fork(self) -> _Worker:
        ours, theirs = multiprocessing.Pipe()
        # The new process leaves them to this one.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _LEFT_TO_PARENT)
        try:
            with warnings.catch_warnings():
                # Of threads that may hold a lock: none is in a library that the new process uses.
                warnings.simplefilter("ignore", DeprecationWarning)
                parent, process = os.getpid(), os.fork()
            if process == 0:
                ours.close()
                for worker in self._workers:
                    worker.connection.close()
                self._be_process(theirs, parent)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        return _Worker(process, ours)

    def _start(self) -> _Worker:
        ours, theirs = multiprocessing.Pipe()
        thread = threading.Thread(target=self._serve, args=(theirs,), name="sargan-batch", daemon=True)
        thread.start()
        return _Worker(thread, ours)

    def _be_process(self, connection: Connection, parent: int) -> NoReturn:
        try:
            _end_with(parent)
            # The parent may hold their locks.
            sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 (open until the process ends)
            self._serve(connection)
        finally:
            os._exit(0)

    def _serve(self, connection: Connection) -> None:
        """Do what comes through the connection until it ends."""
        with connection:
            pipeline = Pipeline(iter(connection.recv, None), self._setup, self._room)
            try:
                for _, results in pipeline.results():
                    connection.send(results)
            except (EOFError, ConnectionError):
                pass  # nobody listens any more
            except BaseException as error:
                with contextlib.suppress(ConnectionError):
                    connection.send(_portable(error))
            finally:
                pipeline.stop()


def _end_with(parent: int) -> None:
    """Let the system end this process when its parent ends, however that happens."""
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _portable(error: BaseException) -> BaseException:
    """Return an error as it can be sent to another process."""
    try:
        pickle.dumps(error)
        # Made anew as it will be there: an error whose arguments do not fit cannot be.
        copy.copy(error)
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
