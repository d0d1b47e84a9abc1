"""The streams: results byte for byte on stdout, remarks as plain lines on stderr, bars only on a terminal."""

from __future__ import annotations

import json
import os
import pty
import sys
from pathlib import Path

import pytest

from sargan_cli.console import Console, print_json, print_path, print_table
from sargan_core.outcome import plain


def test_paths_go_out_byte_for_byte(capfdbinary):
    name = os.fsdecode(b"gr\xc3\xb6\xc3\x9fe \xff.jpg")
    print_path(Path(name))
    assert capfdbinary.readouterr().out == b"gr\xc3\xb6\xc3\x9fe \xff.jpg\n"


def test_json_is_one_ascii_line_that_reads_back(capfdbinary):
    value = {"input": "größe\n\udcff.jpg", "faces": []}
    print_json(value)
    out = capfdbinary.readouterr().out
    assert out.count(b"\n") == 1
    assert out.isascii()
    assert json.loads(out) == value


def test_remarks_are_single_lines_without_markup(capfd):
    console = Console()
    console.note("[bold]not markup[/bold]\nsecond line")
    console.warning("x" * 300)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == ["[bold]not markup[/bold] second line", "warning: " + "x" * 300]


def test_quiet_keeps_errors(capfd):
    console = Console(quiet=True)
    console.note("note")
    console.warning("warning")
    console.error("bad")
    assert capfd.readouterr().err == "error: bad\n"


@pytest.mark.parametrize("text", ["a\x1b[31m.jpg", "a\u202e.jpg", "a\udcff.jpg", "a\r\tb"])
def test_odd_names_cannot_drive_the_terminal(text):
    line = plain(text)
    assert line.isprintable()
    line.encode("utf-8")


def test_a_piped_table_is_not_cut(capfd):
    print_table(None, ("name", "text"), [("[a]", "word " * 30)])
    out = capfd.readouterr().out
    assert "[a]" in out
    assert ("word " * 30).strip() in out


def test_bars_are_for_terminals_only(capfd):
    console = Console()
    assert list(console.track([1, 2, 3], "counting")) == [1, 2, 3]
    with console.counting("counting") as progress:
        progress(1, 3)
    assert capfd.readouterr().err == ""


def test_messages_find_room_above_a_bar():
    script = (
        "from sargan_cli.console import Console\n"
        "console = Console()\n"
        "for item in console.track(['one', 'two'], 'working'):\n"
        "    console.note(f'done with {item}')\n"
    )
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(sys.executable, [sys.executable, "-c", script], {**os.environ, "TERM": "xterm"})
    shown = b""
    try:
        while block := os.read(terminal, 4096):
            shown += block
    except OSError:
        pass
    os.waitpid(child, 0)
    assert b"working" in shown
    # Each message starts on a cleared line.
    assert b"\x1b[2Kdone with one" in shown
    assert b"\x1b[2Kdone with two" in shown
