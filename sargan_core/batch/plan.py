"""The plan of a batch: which photos, edited to what, and the settings that all of them share."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sargan_core.batch.inputs import Found, find_photos, once_each
from sargan_core.batch.names import check_name_part, default_folder, result_name, result_names, variant_names
from sargan_core.errors import UsageError
from sargan_core.expressions import MAX_STRENGTH, ExpressionMix, Like
from sargan_core.photo.files import shown
from sargan_core.units import UnitMix

if TYPE_CHECKING:
    from sargan_core.editor import EditSettings

# How many renamed results a note names.
NAMED = 3


@dataclass(frozen=True)
class Variant:
    """One expression at one strength: what every photo of a batch is edited to.

    Attributes:
        mix: the expression, mix or reference.
        strength: factor on it.
        folder: sub-folder of the results; empty if there is one expression only.
        ending: added to the stem of a result's name, e.g. ``-050``; empty if there is one strength only.
    """

    mix: ExpressionMix | UnitMix | Like
    strength: float
    folder: str = ""
    ending: str = ""

    def output(self, name: str) -> str:
        """Return where the result lies, relative to the output folder, with ``/``.

        Args:
            name: the photo's name in the output tree, e.g. ``anna/one.jpg``.
        """
        return result_name(name, self.folder, self.ending)


@dataclass(frozen=True, slots=True)
class Source:
    """One photo of a batch.

    Attributes:
        path: the file as it was given or found; a string, because there may be millions.
        name: its name in the output tree, with ``/``, before variants add to it.
    """

    path: str
    name: str


@dataclass(frozen=True)
class Plan:
    """All photos and all variants of a batch.

    Attributes:
        folder: the output folder, where the manifest lies.
        variants: what every photo is edited to.
        sources: the photos in the order of their results.
        in_place: the results replace the photos.
        notes: sentences for the user about what was left out or renamed.
    """

    folder: Path
    variants: tuple[Variant, ...]
    sources: tuple[Source, ...]
    in_place: bool = False
    notes: tuple[str, ...] = ()

    @property
    def results(self) -> int:
        """How many results there will be."""
        return len(self.sources) * len(self.variants)


@dataclass(frozen=True)
class Output:
    """One result that is to be made.

    Attributes:
        variant: what the photo is edited to.
        path: where the result goes, relative to the output folder, with ``/``.
        options_sha256: checksum of everything that decides what the result looks like.
        replace: a file that lies there may be replaced: an earlier run made it, or overwriting was asked for.
    """

    variant: Variant
    path: str
    options_sha256: str
    replace: bool = False


@dataclass(frozen=True)
class Task:
    """One photo and its results that are to be made (at least one); engines work task by task."""

    source: Source
    outputs: tuple[Output, ...]


@dataclass(frozen=True)
class BatchSettings:
    """Settings that all photos of a batch share.

    Attributes:
        folder: the output folder.
        staging: a folder on the same file system where results wait before they are put in place.
        edit: settings of the editor; engines get the precision that is used, never ``auto``.
        variants: what every photo is edited to.
        max_pixels: largest photo that is decoded; None = the library's own limit.
        metadata: ``keep`` or ``strip``.
        provenance: mark the results.
        in_place: the results replace the photos.
        workers: photos that are worked on at once, by threads of the local engine or processes of the Ray engine;
            None = as many as suit the machine.
        fork: on a CPU the local engine may fork this process, where the system lets it, and use processes instead
            of threads.
        batch_size: most faces that go through the model together; None = what suits the device.
        compile: compile the network first.
    """

    folder: Path
    staging: Path
    edit: EditSettings
    variants: tuple[Variant, ...]
    max_pixels: int | None = None
    metadata: Literal["keep", "strip"] = "keep"
    provenance: bool = True
    in_place: bool = False
    workers: int | None = None
    batch_size: int | None = None
    compile: bool = False
    fork: bool = False


@dataclass(frozen=True)
class Shard:
    """One of several parts of a batch of about the same size, each done by a run of its own.

    The photo's name alone decides its part. So the parts are disjoint and complete even if photos are added while
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
        """Return whether the photo of this name in the output tree belongs to this part."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1


def parse_shard(text: str) -> Shard:
    """Return the shard that a text such as ``2/8`` names.

    Raises:
        UsageError: it names none.
    """
    number, slash, count = text.partition("/")
    # Python turns no text of thousands of digits into a number.
    if len(text) > 40 or not (
        slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)
    ):
        raise UsageError(f"--shard {text:.40}: give the part and the number of parts, such as 1/4 to 4/4")
    return Shard(int(number), int(count))


@dataclass(frozen=True)
class PlanRequest:
    """What the user asked for.

    Attributes:
        arguments: folders, files and patterns.
        listed: further files, from a list; None = there is no list.
        root: folder that names in the output tree are relative to; None = see ``find_photos``.
        folder: the output folder; None = a new name beside the input folder.
        mixes: expressions, mixes or references, at least one.
        strengths: at least one.
        format: format of the results, e.g. ``PNG``; None = that of each photo.
        suffix: added to the stem of every result's name.
        in_place: the results replace the photos.
        shard: the part of the photos that this run does; None = all.
    """

    arguments: Sequence[str]
    listed: Sequence[str] | None
    root: Path | None
    folder: Path | None
    mixes: Sequence[ExpressionMix | UnitMix | Like]
    strengths: Sequence[float]
    format: str | None = None
    suffix: str = ""
    in_place: bool = False
    shard: Shard | None = None


def make_plan(request: PlanRequest) -> Plan:
    """Return the plan of a batch.

    Raises:
        UsageError: an input is missing, a result would replace a photo, or the request contradicts itself.
    """
    variants = make_variants(request.mixes, request.strengths)
    check_name_part(request.suffix, "--suffix")
    if request.in_place:
        _check_in_place(request, variants)
    folder = request.folder or default_folder(
        request.arguments, request.listed, request.mixes, request.strengths
    )
    is_output = _same_folder_test(None if request.in_place else folder)
    found = find_photos(request.arguments, request.listed, request.root, is_output)
    if request.in_place:
        found = once_each(found)
        folder = found.base
        _check_reference_apart(variants, found)
    names, renamed = result_names([name for _, name in found.photos], request.format, request.suffix)
    sources = [Source(path, name) for (path, _), name in zip(found.photos, names, strict=True)]
    if not request.in_place:
        _check_photos_apart(folder, sources, variants)
    if request.shard is not None:
        sources = [source for source in sources if request.shard.takes(source.name)]
    notes = (*found.notes, *_renaming_note(renamed))
    return Plan(folder, variants, tuple(sources), request.in_place, notes)


def make_variants(
    mixes: Sequence[ExpressionMix | UnitMix | Like], strengths: Sequence[float]
) -> tuple[Variant, ...]:
    """Return every mix at every strength. Several mixes get a sub-folder each, several strengths an ending each.

    Raises:
        UsageError: a strength is out of range, or two results of a photo would share a name.
    """
    # Adding 0 takes the sign from -0.
    mixes, strengths = list(dict.fromkeys(mixes)), sorted({strength + 0.0 for strength in strengths})
    for mix in mixes:
        largest = 1.0
        if isinstance(mix, ExpressionMix):
            largest = max((weight for _, weight in mix.parts), default=0.0)
        # Written so that NaN is refused too.
        if not strengths or not all(0 <= strength * largest <= MAX_STRENGTH for strength in strengths):
            raise UsageError(f"{mix}: weight x --strength must lie between 0 and {MAX_STRENGTH:g}")
        if isinstance(mix, UnitMix):
            mix.scaled(strengths[-1])
    folders, endings = variant_names([mix.slug for mix in mixes], strengths)
    return tuple(
        Variant(mix, strength, folder, ending)
        for mix, folder in zip(mixes, folders, strict=True)
        for strength, ending in zip(strengths, endings, strict=True)
    )


def _renaming_note(renamed: list[tuple[str, str]]) -> tuple[str, ...]:
    if not renamed:
        return ()
    listed = ", ".join(f"{name} -> {result}" for name, result in renamed[:NAMED])
    more = f" and {len(renamed) - NAMED} more" if len(renamed) > NAMED else ""
    return (f"renamed, because two results would have the same name: {listed}{more}",)


def _check_in_place(request: PlanRequest, variants: Sequence[Variant]) -> None:
    if request.folder is not None:
        raise UsageError("--in-place writes over the photos; leave out --out")
    if len(variants) > 1:
        raise UsageError("--in-place has room for one expression at one strength; leave it out for several")
    if request.format is not None or request.suffix:
        raise UsageError("--in-place keeps names and formats; leave out --format and --suffix")


def _check_reference_apart(variants: Sequence[Variant], found: Found) -> None:
    """Refuse to write over the photo that ``--like`` names."""
    references = {os.path.realpath(each.mix.path) for each in variants if isinstance(each.mix, Like)}
    for path, _ in found.photos if references else ():
        if os.path.realpath(path) in references:
            raise UsageError(f"--like {shown(path)} is one of the photos; --in-place would write over it")


def _check_photos_apart(folder: Path, sources: Sequence[Source], variants: Sequence[Variant]) -> None:
    """Refuse results that would be written over photos of the batch."""
    output = os.path.realpath(folder)
    folders = {os.path.realpath(Path(source.path).parent) for source in sources}
    if not any(each == output or each.startswith(output + os.sep) for each in folders):
        return  # no photo lies in the output folder, so no names need comparing
    photos = {os.path.normcase(os.path.realpath(source.path)) for source in sources}
    for source in sources:
        for variant in variants:
            target = os.path.normcase(os.path.join(output, variant.output(source.name)))  # noqa: PTH118
            if target in photos:
                raise UsageError(
                    f"{shown(source.path)}: its result would replace a photo of the batch; "
                    "choose another --out, or --in-place to write over the photos"
                )


def _same_folder_test(folder: Path | None) -> Callable[[Path], bool]:
    """Return a test for whether a folder is the given one; it always fails if that is None or missing."""
    identity = None if folder is None else _identity(folder)
    return lambda other: identity is not None and _identity(other) == identity


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
