"""Progress callback type."""

from collections.abc import Callable
from typing import TypeAlias

# Called with (done, total).
Progress: TypeAlias = Callable[[int, int], None]
