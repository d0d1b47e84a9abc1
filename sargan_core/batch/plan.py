"""What a batch is to make: which photos, under which expressions and strengths, and where the results go."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sargan_core.errors import UsageError
from sargan_core.expressions import ExpressionMix


@dataclass(frozen=True)
class Like:
    """The expression of a face in a reference photo, as an engine can pass it on to where the editor is.

    Attributes:
        path: the reference photo.
        sha256: of its content.
        face: number of the face from left to right; None = the largest.
    """

    path: Path
    sha256: str
    face: int | None = None

    def __str__(self) -> str:
        return f"like {self.path.name}"

    @property
    def slug(self) -> str:
        """The reference as part of a file name."""
        return f"like-{self.path.stem}"


@dataclass(frozen=True)
class Variant:
    """One expression at one strength: what every photo of a batch is edited to.

    Attributes:
        mix: the expression or mix as asked for, or the reference.
        strength: factor on it.
        folder: sub-folder of the results, empty if there is one expression only.
        ending: what the name of a result ends with before its suffix, e.g. ``-050``; empty unless a series.
    """

    mix: ExpressionMix | Like
    strength: float
    folder: str = ""
    ending: str = ""

    def output(self, name: str) -> str:
        """Return the place of a result, relative to the output folder, with ``/``.

        Args:
            name: the photo's name in the output tree, e.g. ``anna/one.jpg``.
        """
        path = PurePosixPath(self.folder, name)
        return str(path.with_name(f"{path.stem}{self.ending}{path.suffix}"))


@dataclass(frozen=True, slots=True)
class Source:
    """One photo of a batch.

    Attributes:
        path: the file as it was given or found; a string, because there may be millions.
        name: its name in the output tree, with ``/``, without what variants add.
    """

    path: str
    name: str


@dataclass(frozen=True)
class Plan:
    """All photos, all variants.

    Attributes:
        folder: the output folder, where the manifest lies.
        variants: what every photo is edited to.
        sources: the photos in the order of their results.
        in_place: the results replace the photos.
        notes: sentences for the person, about what was left out or renamed.
    """

    folder: Path
    variants: tuple[Variant, ...]
    sources: tuple[Source, ...]
    in_place: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Output:
    """One result that is to be made.

    Attributes:
        variant: what the photo is edited to.
        path: place relative to the output folder, with ``/``.
        options_sha256: of everything that decides what the result looks like.
        replace: a file that lies there may be replaced: it is an earlier result, or overwriting was asked for.
    """

    variant: Variant
    path: str
    options_sha256: str
    replace: bool = False


@dataclass(frozen=True)
class Task:
    """One photo and the results of it that are to be made; the unit that engines work on.

    Attributes:
        source: the photo.
        outputs: at least one.
    """

    source: Source
    outputs: tuple[Output, ...]


@dataclass(frozen=True)
class Shard:
    """One of several equal parts of a batch, each done by a run of its own.

    A photo's part depends on its name alone, so the parts are disjoint and complete even if photos are added while
    the runs start.

    Attributes:
        number: 1 to ``count``.
        count: number of parts.
    """

    number: int
    count: int

    @property
    def name(self) -> str:
        """The part in the names of files, e.g. ``2-of-8``."""
        return f"{self.number}-of-{self.count}"

    def takes(self, name: str) -> bool:
        """Whether the photo of this name in the output tree belongs to this part."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1


def parse_shard(text: str) -> Shard:
    """Read ``2/8`` into a shard.

    Raises:
        UsageError: it is no such thing.
    """
    number, slash, count = text.partition("/")
    # Python turns no text of thousands of digits into a number.
    if len(text) > 40 or not (
        slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)
    ):
        raise UsageError(f"--shard {text:.40}: give the part and the number of parts, such as 1/4 to 4/4")
    return Shard(int(number), int(count))
