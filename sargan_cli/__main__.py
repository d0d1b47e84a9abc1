"""Entry point of ``sargan`` and ``python -m sargan_cli``: runs the app, turns errors into exit codes."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

import typer

from sargan_cli.app import app
from sargan_cli.console import Console, closed_pipe_is_quiet
from sargan_cli.outcomes import INTERRUPTED, OK, exit_code, say_error
from sargan_core.outcome import message


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: what follows ``sargan``; by default those of the process.
    """
    console = Console()
    with closed_pipe_is_quiet():
        try:
            code = app(args=arguments, prog_name="sargan", standalone_mode=False)
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

    All work and all files are finished when ``main`` returns; taking torch's modules apart afterwards would cost more
    time than an edit. Processes of a distributed run end the long way, because they have others to tell.
    """
    code = main()
    if "WORLD_SIZE" in os.environ:
        sys.exit(code)
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _usage_line(error: typer.TyperException) -> str:
    """Return a usage error as one line that says where to read on."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "sargan"
    return f"{error.format_message().rstrip('.')}; see {command} --help"


if __name__ == "__main__":
    run()
