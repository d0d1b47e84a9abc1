"""Pages that cannot rot: every command line in them parses, every link leads somewhere, every room is named."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "weights").glob("*.md")])
BLOCK = re.compile(r"^```(?:sh|bash|console|text)?\n(.*?)^```", re.M | re.S)
INDENTED = re.compile(r"^    (.*sargan .*)$", re.M)
INLINE = re.compile(r"`(sargan [a-z][^`]*)`")
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")
# A line that shows a pattern and not a call: dots for what is left out, or a choice of words.
PATTERN = ("…", "...", "|all", "[")


def command_lines(text: str) -> Iterator[list[str]]:
    """The arguments of every call of sargan in the code of a page."""
    lines = [line for block in BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    for line in [*lines, *INDENTED.findall(text)]:
        # Two spaces: a sub-command of this name in a list of commands.
        called = re.match(r"sargan (?! )", line.strip()) or re.search(r"[|&] (xargs [^|]*)?sargan ", line)
        if not called or "`" in line or any(part in line for part in PATTERN):
            continue
        yield from calls_in(line)


def calls_in(line: str) -> Iterator[list[str]]:
    """The arguments of every call of sargan in one line for a shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    while "sargan" in words:
        words = words[words.index("sargan") + 1 :]
        end = next((at for at, word in enumerate(words) if set(word) <= set("|&;<>")), len(words))
        call = words[:end]
        # A number before a redirection belongs to it.
        yield call[:-1] if call and call[-1].isdigit() and words[end : end + 1] == [">"] else call
        # Within a call the word is an argument, as in `--model sargan`.
        words = words[end:]


def parse(arguments: list[str]) -> None:
    """Parse a call without running it; raises what the command line would say."""
    from typer.main import get_command

    from sargan_cli.app import app

    command = get_command(app)
    context = command.make_context("sargan", list(arguments), resilient_parsing=False)
    rest = [*getattr(context, "_protected_args", []), *context.args]
    while rest and hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, rest)
        if "--help" in rest:
            return
        context = command.make_context(name, list(rest), parent=context)
        rest = [*getattr(context, "_protected_args", []), *context.args]


CALLS = sorted(
    {
        (page.relative_to(ROOT).as_posix(), *call)
        for page in PAGES
        for call in command_lines(page.read_text(encoding="utf-8"))
    }
)


def test_there_are_calls_to_check():
    assert len(CALLS) > 40
    assert {call[1] for call in CALLS if len(call) > 1} >= {
        "edit",
        "detect",
        "models",
        "train",
        "batch",
        "evaluate",
    }


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_every_command_line_parses(call: tuple[str, ...]):
    _, *arguments = call
    if "--version" in arguments or "--install-completion" in arguments or "--show-completion" in arguments:
        return
    parse(arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_the_text_names_exist(page: Path):
    for named in INLINE.findall(page.read_text(encoding="utf-8")):
        for call in calls_in(named.replace("'", "")):
            if any(part in named for part in PATTERN):
                continue
            # A name without its arguments is no call, but a name that is not there is a mistake.
            assert "No such" not in refusal(call), f"{named}: {refusal(call)}"


def refusal(call: list[str]) -> str:
    try:
        parse(call)
    except Exception as error:
        return str(getattr(error, "message", error))
    return ""


def test_a_wrong_command_line_would_be_found():
    for wrong in (["edit", "face.jpg", "--exqr", "happy"], ["edot", "face.jpg"]):
        with pytest.raises(Exception, match="No such"):
            parse(wrong)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith(("https://", "mailto:")):
            continue
        assert not target.startswith("http://"), target
        file = page.parent / target
        assert file.exists(), f"{page.name}: {target}"
        if anchor and file.suffix == ".md":
            heads = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.M)
            known = {re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in heads}
            assert anchor[1:] in known, f"{page.name}: {target}{anchor}"


def test_the_architecture_page_names_every_room():
    """Every module of the command line and every module and folder of the core is on the page, and nothing else is."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = [
        path
        for path in (ROOT / "sargan_core").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    ]
    rooms += [path for path in (ROOT / "sargan_cli").iterdir() if path.suffix == ".py"]
    rooms = [path for path in rooms if not path.stem.startswith("__")]
    words = set(re.findall(r"[a-z_0-9]+", page))
    missing = sorted(path.relative_to(ROOT).as_posix() for path in rooms if path.stem not in words)
    assert not missing, f"docs/architecture.md does not name: {', '.join(missing)}"
    gone = [
        name for name in re.findall(r"`(sargan_(?:core|cli)/[\w/]+\.py)`", page) if not (ROOT / name).exists()
    ]
    assert not gone, f"docs/architecture.md names what is not there: {', '.join(gone)}"


def test_lowest_versions_are_those_that_are_allowed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    allowed = [
        *project["dependencies"],
        *(item for items in project["optional-dependencies"].values() for item in items),
    ]
    lowest = dict(
        re.findall(
            r"^([a-z0-9-]+)==([\d.]+)", (ROOT / "constraints-min.txt").read_text(encoding="utf-8"), re.M
        )
    )
    for requirement in allowed:
        match = re.match(r"([A-Za-z0-9-]+)(?:\[\w+\])?>=([\d.]+)", requirement)
        if match is None or match[1] not in lowest:
            continue
        pinned = lowest[match[1]]
        assert f"{pinned}.".startswith(f"{match[2]}."), f"{requirement}: constraints-min.txt has {pinned}"
    runtime = {re.split(r"[>=<;\[ ]", item)[0] for item in project["dependencies"]}
    assert runtime <= lowest.keys(), sorted(runtime - lowest.keys())


MODULE = re.compile(r"`((?:[a-z_0-9]+/)*[a-z_0-9]+\.py)`")
CODE = [
    path.relative_to(ROOT).as_posix()
    for folder in ("sargan_core", "sargan_cli", "benchmarks", "tests")
    for path in (ROOT / folder).rglob("*.py")
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_is_named_is_there(page: Path):
    if page.name == "CHANGELOG.md":
        return  # speaks of earlier versions too
    missing = [
        name
        for name in MODULE.findall(page.read_text(encoding="utf-8"))
        if not any(f"/{path}".endswith(f"/{name}") for path in CODE)
    ]
    assert not missing
