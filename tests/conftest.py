"""What every test relies on."""

import signal


def pytest_configure():
    # A shell starts background jobs with Ctrl-C ignored, and children inherit that.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
