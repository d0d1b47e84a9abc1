"""Memory that the processes of a batch share: a large photo has it to itself."""

from __future__ import annotations

from multiprocessing.context import BaseContext


class Room:
    """Places for photos, one a process; a photo that needs more than its process may take has all places.

    Args:
        context: how the processes are started.
        places: how many processes there are.
    """

    def __init__(self, context: BaseContext, places: int) -> None:
        self._count = places
        self._places = context.Semaphore(places)
        # Held while somebody waits for places, so that no two wait for each other, and small photos let a large one in.
        self._turn = context.Lock()

    def enter(self, *, alone: bool) -> int:
        """Wait until there is room, and return the number of places taken, for ``leave``."""
        places = self._count if alone else 1
        with self._turn:
            for _ in range(places):
                self._places.acquire()
        return places

    def leave(self, places: int) -> None:
        """Give places back."""
        for _ in range(places):
            self._places.release()
