"""The command-line reference, made from ``--help``: ``python -m sargan_cli.reference > docs/cli.md``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from typer.main import get_command
from typer.testing import CliRunner

from sargan_cli.app import app

INTRODUCTION = """# Command line

Made from `--help` by `make docs`; a test keeps it up to date.
"""


def reference() -> str:
    """Return the reference of every command as Markdown."""
    return "\n".join([INTRODUCTION, *(_section(command) for command in commands(get_command(app)))])


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words after ``sargan`` that call each command, groups before their members."""
    yield path
    for name, member in getattr(command, "commands", {}).items():
        yield from commands(member, (*path, name))


def _section(command: tuple[str, ...]) -> str:
    # The runner fixes the width at 80, so the page does not depend on the terminal it was made in.
    result = CliRunner().invoke(app, [*command, "--help"], prog_name="sargan")
    name = " ".join(("sargan", *command))
    lines = [line.rstrip() for line in result.stdout.strip().splitlines()]
    return "\n".join([f"## `{name}`", "", "```text", *lines, "```", ""])


if __name__ == "__main__":
    sys.stdout.write(reference())
