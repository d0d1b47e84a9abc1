"""Split photos into training and test by person, so that no tested face was ever trained on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sargan_core.data.samples import Sample
from sargan_core.errors import DataError
from sargan_core.photo.content import read_settings
from sargan_core.photo.files import write_text

# Name of the file in a run folder.
SPLIT = "split.json"
FORMAT = "sargan-split"
VERSION = 1


@dataclass(frozen=True)
class Split:
    """People to train on and people to test on.

    Attributes:
        train: sorted names of the people to train on.
        test: sorted names of the people to test on.
        fraction: fraction of each group of people that was asked for as test.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]
    fraction: float

    def apply(self, samples: Iterable[Sample]) -> tuple[list[Sample], list[Sample]]:
        """Return (training samples, test samples), each in the given order.

        Raises:
            DataError: a sample's person is in neither list.
        """
        train, test = set(self.train), set(self.test)
        sides: tuple[list[Sample], list[Sample]] = ([], [])
        strangers: set[str] = set()
        for sample in samples:
            if sample.person in test:
                sides[1].append(sample)
            elif sample.person in train:
                sides[0].append(sample)
            else:
                strangers.add(sample.person)
        if strangers:
            first = ", ".join(sorted(strangers)[:3]) + (", …" if len(strangers) > 3 else "")
            raise DataError(
                f"the split does not know {len(strangers)} of the people in the data ({first}); "
                "give the data it was made for, or make a new split"
            )
        return sides


def split_by_person(samples: Sequence[Sample], fraction: float = 0.2) -> Split:
    """Divide the people of ``samples``: by default every fifth of each group, in sorted order, is tested on.

    A group is what stands before the first ``-`` of the person's name, so each data set gives its share. A
    person is on one side with all pictures over all sources; composites (``train_only``) are always trained
    on. The result depends on who is there only, not on how many photos there are of each. Where no group is
    large enough for its share, the last person is tested on.

    Args:
        samples: the photos.
        fraction: part of the people to test on, 0 to 0.9; 0 = none.

    Raises:
        DataError: fraction out of range, no photo, or only one person though a test was asked for.
    """
    if not 0 <= fraction <= 0.9:
        raise DataError(f"test fraction {fraction}: must be from 0 to 0.9")
    if not samples:
        raise DataError("no photo to split")
    everyone = {sample.person for sample in samples}
    candidates = sorted(everyone - {sample.person for sample in samples if sample.train_only})
    groups: dict[str, list[str]] = {}
    for person in candidates:
        groups.setdefault(person.split("-", 1)[0], []).append(person)
    test = {person for group in groups.values() for person in _share(group, fraction)}
    if not test and fraction > 0:
        if len(everyone) < 2 or not candidates:
            raise DataError("only one person in the data; add people, or ask for a test fraction of 0")
        test = {candidates[-1]}
    return Split(tuple(sorted(everyone - test)), tuple(sorted(test)), fraction)


def _share(group: list[str], fraction: float) -> list[str]:
    # Person i is taken where the running total i * fraction passes a whole number: every fifth for 0.2.
    totals = [math.floor(count * fraction + 1e-9) for count in range(len(group) + 1)]
    return [
        person for person, before, after in zip(group, totals, totals[1:], strict=False) if after > before
    ]


def write_split(split: Split, path: Path) -> None:
    """Write ``split`` as JSON, over an earlier one; PhotoError if it cannot be written."""
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "test_fraction": split.fraction,
        "train": list(split.train),
        "test": list(split.test),
    }
    write_text(path, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


def read_split(path: Path) -> Split:
    """Read what ``write_split`` wrote.

    Raises:
        DataError: not such a file, of another version, or a person on both sides.
    """
    try:
        manifest = json.loads(read_settings(path))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a readable split ({error}); delete it to make a new one") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DataError(f"{path}: not a {FORMAT} file; give the split.json of a training run")
    if manifest.get("version") != VERSION:
        raise DataError(
            f"{path}: split version {manifest.get('version')}, this sargan reads {VERSION}; make a new split"
        )
    train, test = _people(manifest, "train", path), _people(manifest, "test", path)
    both = sorted(set(train) & set(test))
    if both:
        raise DataError(f"{path}: {both[0]} is both in train and in test; make a new split")
    fraction = manifest.get("test_fraction")
    return Split(train, test, float(fraction) if isinstance(fraction, (int, float)) else 0.0)


def _people(manifest: dict[str, Any], side: str, path: Path) -> tuple[str, ...]:
    names = manifest.get(side)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}: '{side}' is not a list of people; make a new split")
    return tuple(sorted(names))
