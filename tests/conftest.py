"""What every test relies on."""

import os
import signal

if "PYTEST_XDIST_WORKER" in os.environ:
    # As many tests run at once as there are cores; were each to use them all, most of the time would go into waiting.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure():
    # A shell starts background jobs with Ctrl-C ignored, and children inherit that.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
