"""How long work tells how far it is."""

from collections.abc import Callable
from typing import TypeAlias

# Called with (done, total).
Progress: TypeAlias = Callable[[int, int], None]
