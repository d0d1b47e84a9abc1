"""Memory that the processes of a batch share: a large photo has it to itself."""

from __future__ import annotations

from multiprocessing.context import BaseContext
from multiprocessing.synchronize import Lock, Semaphore

from sargan_core.errors import WorkerLostError

# How often somebody who waits looks whether the room was closed.
PATIENCE_SECONDS = 0.2


class Room:
    """Places for photos, one a process; a photo that needs more than its process may take has all places.

    Args:
        context: how the processes are started.
        places: how many processes there are.
    """

    def __init__(self, context: BaseContext, places: int) -> None:
        self._count = places
        self._closed = False
        self._places = context.Semaphore(places)
        # Held while somebody waits for places, so that no two wait for each other, and small photos let a large one in.
        self._turn = context.Lock()

    def enter(self, *, alone: bool) -> int:
        """Wait until there is room, and return the number of places taken, for ``leave``.

        Raises:
            WorkerLostError: the room was closed.
        """
        places = self._count if alone else 1
        self._wait_for(self._turn)
        try:
            for _ in range(places):
                self._wait_for(self._places)
        finally:
            self._turn.release()
        return places

    def close(self) -> None:
        """Let nobody of this process wait any more: places of a process that was killed are never given back."""
        self._closed = True

    def _wait_for(self, free: Lock | Semaphore) -> None:
        while not free.acquire(timeout=PATIENCE_SECONDS):
            if self._closed:
                raise WorkerLostError("another process of the batch was killed; run the same command again")

    def leave(self, places: int) -> None:
        """Give places back."""
        for _ in range(places):
            self._places.release()
