"""How much memory a process takes that has loaded what every edit needs; builds of torch differ by hundreds of MB."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

CODE = """
import resource, sys
from sargan_core.editor import Editor
Editor()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak / (2**20 if sys.platform == "darwin" else 2**10))
"""


@cache
def loaded_megabytes() -> float:
    """Return the peak of such a process in MB."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    return float(done.stdout)
