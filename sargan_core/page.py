"""Self-contained HTML pages: their templates, links to files, and recognising pages written by sargan."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from sargan_core.errors import UsageError
from sargan_core.photo.files import shown

# Every page's title ends like this. A title holds at most a file name, so this is among the first bytes.
_TITLE_END = " · sargan</title>".encode()
_HEAD = 8192


def page_templates(package: str) -> Environment:
    """Return the templates of a package and those that all pages share (``page.html`` and its style).

    Every text that a template shows is escaped; an unknown name in a template is an error.
    """
    return Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("sargan_core")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def address(path: Path, folder: Path) -> str:
    """Return the relative URL of a file for a page in ``folder``; it is escaped, whatever the name."""
    try:
        relative = os.path.relpath(path, folder)
    except ValueError:  # another drive
        return path.absolute().as_uri()
    try:
        name = os.fsencode(relative.replace(os.sep, "/"))
    except UnicodeEncodeError:  # an impossible file name
        name = relative.encode("utf-8", "replace")
    return quote(name, safe="/")


def check_page(page: Path) -> None:
    """Refuse to write a page over a file that is not a page of sargan.

    Raises:
        UsageError: there is such a file; nothing was changed.
    """
    try:
        if not os.path.lexists(page):
            return
        ours = page.is_file()
        if ours:
            with page.open("rb") as stream:
                head = stream.read(_HEAD)
            ours = head.startswith(b"<!doctype html>") and _TITLE_END in head
    except OSError:
        ours = False
    if not ours:
        raise UsageError(
            f"{shown(page)}: is not a report of sargan, and would be overwritten by one; move it away"
        )
