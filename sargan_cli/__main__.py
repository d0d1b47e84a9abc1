"""Entry point of ``sargan`` and ``python -m sargan_cli``: runs the app, turns errors into exit codes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from itertools import pairwise
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from sargan_cli.console import INTERRUPTED, OK, Console, exit_code, say_error
from sargan_cli.streams import closed_pipe_is_quiet, debugging, keep_libraries_quiet, open_missing_streams
from sargan_core.errors import UsageError
from sargan_core.outcome import message

if TYPE_CHECKING:
    import typer

# The only option whose text may be empty.
MAY_BE_EMPTY = "--suffix"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: the words after ``sargan``; by default those of the process.
    """
    console = Console()
    with closed_pipe_is_quiet():
        try:
            # Imported here, so that Ctrl-C during the import gives one line as well.
            import typer

            from sargan_cli.app import app
        except KeyboardInterrupt:
            console.error("interrupted")
            return INTERRUPTED
        try:
            arguments = sys.argv[1:] if arguments is None else arguments
            _refuse_empty(arguments)
            code = app(args=arguments, prog_name="sargan", standalone_mode=False)
            sys.stdout.flush()
        except typer.TyperException as error:
            console.error(_usage_line(error))
            return error.exit_code
        except (KeyboardInterrupt, typer.Abort):
            code = INTERRUPTED
        except BrokenPipeError:
            raise
        except Exception as error:  # the last resort: one line instead of a traceback
            say_error(error, message(error), console)
            return exit_code(error)
    if code == INTERRUPTED:
        console.error("interrupted")
    return code if isinstance(code, int) else OK


def run() -> None:
    """Run the command line and end the process at once.

    When ``main`` returns, all files are written; unloading torch would take longer than an edit. Processes of a
    distributed run end the usual way, because torch informs the other processes then.
    """
    open_missing_streams()
    if not debugging():
        keep_libraries_quiet()
    for kind in (signal.SIGTERM, getattr(signal, "SIGHUP", None)):
        if kind is not None and signal.getsignal(kind) is signal.SIG_DFL:
            signal.signal(kind, _interrupt)
    code = main()
    if "WORLD_SIZE" in os.environ:
        sys.exit(code)
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """End the run as Ctrl-C does, so that no temporary file is left behind."""
    raise KeyboardInterrupt


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Refuse an empty name, which would otherwise mean the working folder or the default.

    Raises:
        UsageError: an argument is empty, usually because a shell variable is not set.
    """
    for before, argument in pairwise(("", *arguments)):
        option, equals, value = argument.partition("=")
        if argument and not (option.startswith("--") and equals and not value):
            continue
        if not argument:
            option = before if len(before) > 1 and before != "--" else ""
        if not option.startswith("-"):
            raise UsageError("an empty name was given; check the variable that it comes from")
        if option != MAY_BE_EMPTY:
            raise UsageError(f"{option} was given an empty text; check the variable that it comes from")


def _usage_line(error: typer.TyperException) -> str:
    """Return a usage error as one line with the command whose help explains it."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "sargan"
    return f"{error.format_message().rstrip('.')}; see {command} --help"


if __name__ == "__main__":
    run()
