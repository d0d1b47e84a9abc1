"""Memory that one photo frees serves the next."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
if sys.argv[1] == "keep":
    from sargan_core.batch.memory import keep_freed_memory
    keep_freed_memory()
for number in range(12):
    if number == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    several = [np.ones((1200, 1200, 3), np.uint8) for _ in range(6)]
    del several
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    """Return how many pages the system had to give again."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True, timeout=60
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_freed_memory_is_used_again():
    if faults("leave") < 2000:
        pytest.skip("this C library keeps it anyway")
    assert faults("keep") < 500


SHARED = """
import threading
import numpy as np
from sargan_core.batch.memory import keep_freed_memory, share_freed_memory
keep_freed_memory()
share_freed_memory()
places = set()
def work():
    block = np.ones((1200, 1200, 3), np.uint8)
    places.add(block.ctypes.data)
for _ in range(4):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
work()
print(len(places))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_what_one_thread_frees_another_uses():
    done = subprocess.run(
        [sys.executable, "-c", SHARED], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) == 1
