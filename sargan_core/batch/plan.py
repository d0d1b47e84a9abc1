"""What a batch is to make: which photos, under which expressions and strengths, and where the results go."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sargan_core.batch.sources import Found, find_photos, once_each
from sargan_core.errors import UsageError
from sargan_core.expressions import MAX_STRENGTH, ExpressionMix, Like
from sargan_core.photo.files import shown
from sargan_core.photo.kinds import KINDS, written_ending
from sargan_core.units import UnitMix


@dataclass(frozen=True)
class Variant:
    """One expression at one strength: what every photo of a batch is edited to.

    Attributes:
        mix: the expression or mix as asked for, or the reference.
        strength: factor on it.
        folder: sub-folder of the results, empty if there is one expression only.
        ending: what the name of a result ends with before its suffix, e.g. ``-050``; empty unless a series.
    """

    mix: ExpressionMix | UnitMix | Like
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


# Bytes; file systems hold names of at most 255.
LONGEST_PART = 200


# How many renamed results a note names.
NAMED = 3


@dataclass(frozen=True)
class PlanRequest:
    """What was asked for.

    Attributes:
        arguments: folders, files and patterns.
        listed: files by name, from a list; None = no list.
        root: where names in the output tree start; None = see ``find_photos``.
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
    check_part_of_a_name(request.suffix, "--suffix")
    if request.in_place:
        _check_in_place(request, variants)
    folder = request.folder or default_folder(request)
    found = find_photos(request.arguments, request.listed, request.root, _identity_test(folder, request))
    if request.in_place:
        found = once_each(found)
        folder = found.base
        _keep_reference(variants, found)
    names, renamed = output_names([name for _, name in found.photos], request.format, request.suffix)
    sources = [Source(path, output) for (path, _), output in zip(found.photos, names, strict=True)]
    if not request.in_place:
        _refuse_inputs(folder, sources, variants, found)
    if request.shard is not None:
        sources = [source for source in sources if request.shard.takes(source.name)]
    notes = (*found.notes, *_renaming_note(renamed))
    return Plan(folder, variants, tuple(sources), request.in_place, notes)


def check_part_of_a_name(text: str, option: str) -> None:
    """Raise UsageError unless a text can be part of a file's name."""
    if any(char in text for char in ("\0", "/", os.sep, os.altsep or os.sep)):
        raise UsageError(f"{option} {shown(text)}: is no part of a file name; leave out separators")
    if len(os.fsencode(text)) > LONGEST_PART:
        raise UsageError(f"{option} {shown(text):.40}…: is too long for a file name; shorten it")


def make_variants(
    mixes: Sequence[ExpressionMix | UnitMix | Like], strengths: Sequence[float]
) -> tuple[Variant, ...]:
    """Return every mix at every strength; several mixes get a sub-folder each, several strengths an ending each.

    Raises:
        UsageError: a strength out of range, two that would share a name, or two mixes that would share a folder.
    """
    # Adding nothing takes the sign from -0.
    mixes, strengths = list(dict.fromkeys(mixes)), sorted({strength + 0.0 for strength in strengths})
    for mix in mixes:
        largest = (
            max((weight for _, weight in mix.parts), default=0.0) if isinstance(mix, ExpressionMix) else 1.0
        )
        # The other way round, what is no number would pass.
        if not strengths or not all(0 <= strength * largest <= MAX_STRENGTH for strength in strengths):
            raise UsageError(f"{mix}: weight x --strength must lie between 0 and {MAX_STRENGTH:g}")
        if isinstance(mix, UnitMix):
            mix.scaled(strengths[-1])
    slugs = [mix.slug for mix in mixes]
    twice = sorted({slug for slug in slugs if slugs.count(slug) > 1})
    if twice:
        raise UsageError(f"two expressions would share the folder {twice[0]}; run them one after the other")
    endings = [""] if len(strengths) == 1 else _strength_endings(strengths)
    if len(set(endings)) < len(endings):
        raise UsageError(
            "--strength: two are so near each other that their results would share a name; leave one out"
        )
    return tuple(
        Variant(mix, strength, slug if len(mixes) > 1 else "", ending)
        for mix, slug in zip(mixes, slugs, strict=True)
        for strength, ending in zip(strengths, endings, strict=True)
    )


def _strength_endings(strengths: Sequence[float]) -> list[str]:
    """Return per cent of one width, so that names sort by strength: 0.25, 1 -> ``-025``, ``-100``."""
    for decimals in range(7):
        texts = [f"{100 * strength:.{decimals}f}" for strength in strengths]
        if all(
            abs(float(text) - 100 * strength) < 1e-6 for text, strength in zip(texts, strengths, strict=True)
        ):
            break
    width = 3 + (decimals + 1 if decimals else 0)
    return [f"-{text.zfill(width)}" for text in texts]


def default_folder(request: PlanRequest) -> Path:
    """Return the output folder for a request that names none: ``portraits`` -> ``portraits-happy``."""
    if len(request.mixes) > 1:
        label = "expressions"
    else:
        mix = request.mixes[0]
        single = not isinstance(mix, Like) and len(set(request.strengths)) == 1
        label = mix.scaled(request.strengths[0]).slug if single and not isinstance(mix, Like) else mix.slug
    folders = [Path(argument) for argument in request.arguments if os.path.isdir(argument)]  # noqa: PTH112
    if len(request.arguments) == 1 and len(folders) == 1 and request.listed is None:
        place = Path(os.path.abspath(folders[0]))  # noqa: PTH100 (a link keeps its own name)
        if place.name:
            beside = folders[0].parent if folders[0].name not in ("", "..") else place.parent
            return beside / f"{place.name}-{label}"
    return Path(f"sargan-{label}")


def output_names(
    names: Sequence[str], format: str | None, suffix: str
) -> tuple[list[str], list[tuple[str, str]]]:
    """Return a distinct result name for every photo's name, and the pairs that are not as one would expect.

    Names count as the same that some file system takes for the same: capitals and Unicode forms do not tell them
    apart. The photo that has the wanted name already keeps it; the others get their own ending before the new one
    (``a.jpg`` -> ``a.jpg.png``), and where that is not enough a checksum of their name.
    """
    wanted = [_renamed(name, format, suffix) for name in names]
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(wanted):
        groups[_folded(name)].append(index)
    taken = {key for key, members in groups.items() if len(members) == 1}
    results, renamed = list(wanted), []
    for members in groups.values():
        if len(members) == 1:
            continue
        for index in sorted(members, key=lambda member: (names[member] != wanted[member], names[member])):
            name = names[index]
            path = PurePosixPath(wanted[index])
            checksum = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
            choices = (
                *((wanted[index],) if name == wanted[index] and not suffix else ()),
                str(path.with_name(f"{PurePosixPath(name).name}{suffix}{path.suffix}")),
                str(path.with_name(f"{path.stem}-{checksum}{path.suffix}")),
            )
            results[index] = next(choice for choice in choices if _folded(choice) not in taken)
            taken.add(_folded(results[index]))
            if results[index] != wanted[index]:
                renamed.append((name, results[index]))
    return results, renamed


def _renamed(name: str, format: str | None, suffix: str) -> str:
    path = PurePosixPath(name)
    ending = written_ending(path)
    if format is not None and path.suffix.lower() not in KINDS[format].suffixes:
        ending = KINDS[format].suffixes[0]
    return str(path.with_name(f"{path.stem}{suffix}{ending}"))


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


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


def _keep_reference(variants: Sequence[Variant], found: Found) -> None:
    """Refuse to write over the photo whose expression all the others are to get."""
    references = {os.path.realpath(each.mix.path) for each in variants if isinstance(each.mix, Like)}
    for path, _ in found.photos if references else ():
        if os.path.realpath(path) in references:
            raise UsageError(f"--like {shown(path)} is one of the photos; --in-place would write over it")


def _identity_test(folder: Path, request: PlanRequest) -> Callable[[Path], bool]:
    """Return whether a folder below the inputs is the output folder."""
    try:
        status = folder.stat()
    except OSError:
        return lambda other: False
    if request.in_place:
        return lambda other: False
    identity = (status.st_dev, status.st_ino)

    def is_output(other: Path) -> bool:
        try:
            found = other.stat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == identity

    return is_output


def _refuse_inputs(
    folder: Path, sources: Sequence[Source], variants: Sequence[Variant], found: Found
) -> None:
    """Refuse results that would lie where photos of the batch lie."""
    place = os.path.realpath(folder)
    if not _holds_any(place, found):
        return
    photos = {os.path.normcase(os.path.realpath(source.path)) for source in sources}
    for source in sources:
        for variant in variants:
            target = os.path.normcase(os.path.join(place, variant.output(source.name)))  # noqa: PTH118
            if target in photos:
                raise UsageError(
                    f"{shown(source.path)}: its result would replace a photo of the batch; "
                    "choose another --out, or --in-place to write over the photos"
                )


def _holds_any(place: str, found: Found) -> bool:
    """Whether photos lie in the output folder at all; if not, no names need comparing."""
    folders = {os.path.realpath(Path(path).parent) for path, _ in found.photos}
    return any(folder == place or folder.startswith(place + os.sep) for folder in folders)
