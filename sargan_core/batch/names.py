"""Names of results: of the output folder, of sub-folders and series, and no two the same."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from sargan_core.errors import UsageError
from sargan_core.expressions import ExpressionMix, Like
from sargan_core.photo.files import shown
from sargan_core.photo.kinds import KINDS, written_ending
from sargan_core.units import UnitMix

# Bytes of an added part of a name; file systems take names of at most 255.
LONGEST_PART = 200


def check_name_part(text: str, option: str) -> None:
    """Raise UsageError unless a text can be part of a file's name."""
    if any(char in text for char in ("\0", "/", os.sep, os.altsep or os.sep)):
        raise UsageError(f"{option} {shown(text)}: is no part of a file name; leave out separators")
    if len(os.fsencode(text)) > LONGEST_PART:
        raise UsageError(f"{option} {shown(text):.40}…: is too long for a file name; shorten it")


def default_folder(
    arguments: Sequence[str],
    listed: Sequence[str] | None,
    mixes: Sequence[ExpressionMix | UnitMix | Like],
    strengths: Sequence[float],
) -> Path:
    """Return the output folder where none was named: ``portraits`` -> ``portraits-happy``."""
    mix = mixes[0]
    if len(mixes) > 1:
        label = "expressions"
    elif isinstance(mix, Like) or len(set(strengths)) > 1:
        label = mix.slug
    else:
        label = mix.scaled(strengths[0]).slug
    if len(arguments) == 1 and listed is None and os.path.isdir(arguments[0]):  # noqa: PTH112
        folder = Path(arguments[0])
        absolute = Path(os.path.abspath(folder))  # noqa: PTH100 (a link keeps its own name)
        if absolute.name:
            parent = folder.parent if folder.name not in ("", "..") else absolute.parent
            return parent / f"{absolute.name}-{label}"
    return Path(f"sargan-{label}")


def variant_names(slugs: Sequence[str], strengths: Sequence[float]) -> tuple[list[str], list[str]]:
    """Return a sub-folder for each expression and an ending for each strength; empty where there is only one.

    Args:
        slugs: the expressions as parts of file names.
        strengths: in rising order.

    Raises:
        UsageError: two would be the same.
    """
    twice = sorted({slug for slug in slugs if slugs.count(slug) > 1})
    if twice:
        raise UsageError(f"two expressions would share the folder {twice[0]}; run them one after the other")
    endings = [""] if len(strengths) == 1 else _strength_endings(strengths)
    if len(set(endings)) < len(endings):
        raise UsageError(
            "--strength: two are so near each other that their results would share a name; leave one out"
        )
    return list(slugs) if len(slugs) > 1 else [""], endings


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


def result_name(name: str, folder: str, ending: str) -> str:
    """Return a photo's name in the output tree with a variant's sub-folder and ending added."""
    path = PurePosixPath(folder, name)
    return str(path.with_name(f"{path.stem}{ending}{path.suffix}"))


def result_names(
    names: Sequence[str], format: str | None, suffix: str
) -> tuple[list[str], list[tuple[str, str]]]:
    """Return a result name for every photo, no two the same, and the (photo, result) pairs that had to be renamed.

    Two names count as the same if some file system takes them for the same: upper and lower case and Unicode forms
    do not matter. The photo that has the wanted name already keeps it. The others keep their own ending before the
    new one (``a.jpg`` -> ``a.jpg.png``), and where that is not enough get a checksum of their name.

    Args:
        names: the photos' names in the output tree.
        format: format of the results, e.g. ``PNG``; None = that of each photo.
        suffix: added to the stem of every name.
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
