"""docs/cli.md is what --help says, and every command and option has help."""

from __future__ import annotations

from pathlib import Path

from typer.main import get_command

from sargan_cli.app import app, commands, reference


def test_the_page_is_up_to_date():
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page == reference(), "run `make docs`"


def test_every_command_and_option_is_explained():
    root = get_command(app)
    for path in commands(root):
        command = root
        for name in path:
            command = command.commands[name]
        assert command.help, path
        for parameter in command.params:
            assert parameter.help, (path, parameter.name)


def test_the_page_has_every_command():
    page = reference()
    for name in ("edit", "detect", "models list", "models show", "models verify", "models path"):
        assert f"## `sargan {name}`" in page
