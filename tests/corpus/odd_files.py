"""A folder of odd files: what people, cameras, editors and attackers hand to a photo tool.

``make_corpus`` writes every case and says what must come of it. Whatever can hold a picture holds the same small
portrait, so that a right result is an edited face.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from odd_bombs import bombs
from odd_case import DONE, UNREADABLE, Case, plain, portrait
from odd_damage import broken, faceless
from odd_photos import readable


def named() -> Iterator[Case]:
    """Good photos of names that shells, terminals and JSON stumble over."""
    data = plain("PNG", portrait(120))
    for name in (
        "new\nline.png",
        "tab\tquote'\".png",
        "smile-\N{GRINNING FACE}.png",
        "[red]bold[bold].png",
        " .png",
    ):
        yield Case(name, data, kind="PNG")
    yield Case("<script>alert(1)<\u29f8script>.png", data, kind="PNG")
    yield Case(b"not-utf8-\xff\xfe.png", data, kind="PNG")
    yield Case("escape-\x1b[31mred.png", data, kind="PNG")
    yield Case("n" * 200 + ".png", data, kind="PNG")
    yield Case("%d-%s-{0}.png", data, kind="PNG")


def make_corpus(folder: Path) -> list[Case]:
    """Write every case into ``folder``, with a fifo, a folder and links among them; return the cases."""
    cases = [*readable(), *faceless(), *broken(), *bombs(), *named()]
    for case in cases:
        (folder / os.fsdecode(case.name)).write_bytes(case.data or b"")
    os.mkfifo(folder / "fifo.jpg")
    (folder / "folder.jpg").mkdir()
    (folder / "link-to-nothing.jpg").symlink_to("nowhere.jpg")
    (folder / "link-to-itself.jpg").symlink_to("link-to-itself.jpg")
    (folder / "link-to-photo.jpg").symlink_to("photo.bmp")
    (folder / "endless.jpg").symlink_to("/dev/zero")
    special = [
        Case("fifo.jpg", None, UNREADABLE, "pipe"),
        Case("folder.jpg", None, UNREADABLE, "folder"),
        Case("link-to-nothing.jpg", None, UNREADABLE, "link to nothing"),
        Case("link-to-itself.jpg", None, UNREADABLE, "cannot be read"),
        Case("link-to-photo.jpg", None, DONE, kind="BMP"),
        Case("endless.jpg", None, UNREADABLE, "device"),
        Case("missing.jpg", None, UNREADABLE, "no such file"),
    ]
    return [*cases, *special]
