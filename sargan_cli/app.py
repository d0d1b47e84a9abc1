"""The ``sargan`` command: its subcommands, its global options, and the page that documents them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from typer.main import get_command

from sargan_cli import models, options, train
from sargan_cli.batch import batch
from sargan_cli.detect import detect
from sargan_cli.edit import edit
from sargan_cli.evaluate import evaluate
from sargan_core import __version__

app = typer.Typer(
    name="sargan",
    help="Change the facial expression in a photo and leave everything else alone.",
    epilog="Exit codes: 0 all done, 1 some file failed or had no face, 2 usage, 3 weights missing or "
    "damaged, 130 interrupted.",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    pretty_exceptions_enable=False,
    # Plain help starts in half the time of drawn boxes, and is as readable in a pipe.
    rich_markup_mode=None,
)
app.command()(edit)
app.command()(batch)
app.command()(detect)
app.add_typer(train.app)
app.command()(evaluate)
app.add_typer(models.app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sargan {__version__}")
        raise typer.Exit


@app.callback()
def start(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
    debug: options.Debug = False,
) -> None:
    """Change the facial expression in a photo and leave everything else alone."""
    options.show_help(context)


INTRODUCTION = """# Command line

Made from `--help` by `make docs`; a test keeps it up to date.
"""


def reference() -> str:
    """Return the help of every command as one page of Markdown, ``docs/cli.md``."""
    return "\n".join([INTRODUCTION, *(_section(command) for command in commands(get_command(app)))])


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words after ``sargan`` that call each command, groups before their members."""
    yield path
    for name, member in getattr(command, "commands", {}).items():
        yield from commands(member, (*path, name))


def _section(command: tuple[str, ...]) -> str:
    from typer.testing import CliRunner

    # The runner fixes the width at 80, so that the page does not depend on the terminal.
    result = CliRunner().invoke(app, [*command, "--help"], prog_name="sargan")
    name = " ".join(("sargan", *command))
    lines = [line.rstrip() for line in result.stdout.strip().splitlines()]
    return "\n".join([f"## `{name}`", "", "```text", *lines, "```", ""])
