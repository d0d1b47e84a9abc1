"""Training data of the generators: aligned crops of labelled people, and the pairs that are drawn from them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sargan_core.data.crop_table import LINKS, TABLE, CropSet, column, make_crop_set
from sargan_core.data.crops import Cropper
from sargan_core.data.samples import STILL, SYNTH, Pair, Sample, Skipped, pairs
from sargan_core.data.sources import read_sources
from sargan_core.data.split import split_by_person
from sargan_core.errors import DataError
from sargan_core.expressions import Expression
from sargan_core.faces.face import Template
from sargan_core.outcome import Progress
from sargan_core.photo.photo import MAX_PIXELS


@dataclass(frozen=True)
class Batch:
    """One training batch.

    Attributes:
        source: (B, 3, S, S) float32 RGB in [0, 1].
        target: (B, 3, S, S) float32 RGB in [0, 1]: the same person with the wanted expression.
        source_label: (B,) int64.
        target_label: (B,) int64.
        trust: (B,) float32 in (0, 1], weight of the pair's pixels in the loss.
    """

    source: Tensor
    target: Tensor
    source_label: Tensor
    target_label: Tensor
    trust: Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class CropPairs(CropSet):
    """Crops of labelled people and the pairs that a generator learns from; a pair shares one alignment.

    Attributes:
        odds: (P,) float32, how often a pair is drawn, relative to the others.
        trust: (P,) float32 in (0, 1]: 1 for pairs that differ in nothing but the expression, less where the
            head moved or the light changed.
        mask: (S, S) float32 in [0, 1], where a pair with trust below 1 is compared.
        held_out: names of the people who are not trained on.
    """

    odds: npt.NDArray[np.float32] = column(np.float32, of=LINKS)
    trust: npt.NDArray[np.float32] = column(np.float32, of=LINKS)
    mask: npt.NDArray[np.float32] = column(np.float32, (-1,), of=TABLE)
    held_out: npt.NDArray[np.str_] = column(np.str_, of=TABLE)

    def __post_init__(self) -> None:
        super().__post_init__()
        size = self.template.size
        expected: dict[str, tuple[npt.NDArray[Any], tuple[int, ...]]] = {
            "images": (self.images, (len(self.persons), 3, size, size)),
            "labels": (self.labels, (len(self.persons),)),
            "odds": (self.odds, (len(self.pairs),)),
            "trust": (self.trust, (len(self.pairs),)),
            "mask": (self.mask, (size, size)),
        }
        for name, (value, shape) in expected.items():
            if value.shape != shape:
                raise DataError(f"training data: {name} is {value.shape}, expected {shape}")
        for name in ("odds", "trust", "mask"):
            value = getattr(self, name)
            if not bool((np.isfinite(value) & (value >= 0)).all()):
                raise DataError(f"training data: {name} holds numbers below 0 or none at all")

    def training(self) -> CropPairs:
        """Return the part to train on."""
        return self.select(~np.isin(self.persons, self.held_out))

    def test(self) -> CropPairs:
        """Return the part of the people held out."""
        return self.select(np.isin(self.persons, self.held_out))

    def draw(self, count: int, random: torch.Generator, device: torch.device) -> Batch:
        """Return ``count`` pairs drawn with replacement, on ``device``; ``random`` is a CPU generator."""
        odds = torch.from_numpy(self.odds)
        chosen = torch.multinomial(odds, count, replacement=True, generator=random).numpy()
        source, target = self.pairs[chosen].T
        return Batch(
            self.pictures(source).to(device),
            self.pictures(target).to(device),
            torch.from_numpy(self.labels[source]).to(device),
            torch.from_numpy(self.labels[target]).to(device),
            torch.from_numpy(self.trust[chosen]).to(device),
        )

    def draw_single(self, count: int, random: torch.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return ``count`` crops (B, 3, S, S) float32 in [0, 1] and their labels, drawn uniformly."""
        chosen = torch.randint(len(self), (count,), generator=random).numpy()
        return self.pictures(chosen).to(device), torch.from_numpy(self.labels[chosen]).to(device)


# Eyes and mouth as fractions of the side: room above for raised brows and below for a dropped jaw.
EYES_AND_MOUTH = ((0.335, 0.345), (0.665, 0.345), (0.5, 0.712))
# Of the pairs between two expressions that are not neutral, one in this many is used.
CROSS_SHARE = 8
# Weight of a pair of real photos, between which the head or the light moved a little.
LOOSE_TRUST = 0.25
# How often the pairs of one person are drawn, in total per direction; the last: one crop as both input and truth.
FROM_NEUTRAL, TO_NEUTRAL, CROSS, SAME = 6.0, 2.4, 0.9, 0.45
# Factor for rendered people, who are many and look alike.
SYNTH_SHARE = 0.22


def sargan_template(size: int) -> Template:
    """Return the alignment of the generators' crops: a similarity transform on eyes and mouth."""
    return Template(size, "similarity", *EYES_AND_MOUTH)


@dataclass(frozen=True)
class Photos:
    """The photos to train on, and how they are cropped.

    Attributes:
        folders: as ``read_sources`` takes them, or one file written by ``CropPairs.save``.
        test_fraction: part of the people that is held out; a packed file brings its own.
        landmarks: what finds landmarks, see ``FaceFinder``.
        cache: the crop cache; None = the user's.
        progress: called with (done, total) while cropping.
        max_pixels: photos of more pixels are left out.
    """

    folders: Sequence[Path]
    test_fraction: float = 0.2
    landmarks: str = "auto"
    cache: Path | None = None
    progress: Progress = lambda done, total: None
    max_pixels: int = MAX_PIXELS

    def packed(self) -> CropPairs | None:
        """Return the crops of a packed file; None where folders are given.

        Raises:
            DataError: the file cannot be read or holds something else.
        """
        packed = len(self.folders) == 1 and self.folders[0].suffix == ".safetensors"
        return CropPairs.load(self.folders[0]) if packed else None


def prepare(photos: Photos, template: Template) -> tuple[CropPairs, tuple[Skipped, ...]]:
    """Read, split, crop and pair photos; return the data and what was left out and why.

    Args:
        photos: what to read.
        template: the alignment of the crops; with a packed file it must be the file's.

    Raises:
        DataError: no usable photo, or a packed file of another crop size.
    """
    data = photos.packed()
    if data is not None:
        check_packed(data, template, photos.folders[0])
        return data, ()
    return cut_pairs(photos, template, chosen_pairs, crop_pairs)


def cut_pairs(
    photos: Photos,
    template: Template,
    choose: Callable[[Sequence[Sample]], list[Pair]],
    make: Callable[[CropSet], CropPairs],
    *,
    only_pairs: bool = False,
    known_first: bool = False,
) -> tuple[CropPairs, tuple[Skipped, ...]]:
    """Read and split photos, cut the chosen pairs, and make training data of them.

    Args:
        photos: what to read.
        template: the alignment to cut in.
        choose: the pairs to cut.
        make: training data from the crops.
        only_pairs: cut no photo that is in no pair.
        known_first: see ``Cropper``.

    Raises:
        DataError: no usable photo or pair.
    """
    sources = read_sources(photos.folders)
    split = split_by_person(sources.samples, photos.test_fraction)
    chosen = choose(sources.samples)
    check_pairs(chosen, split.train, photos.folders[0])
    cropper = Cropper(
        template,
        landmarks=photos.landmarks,
        known_first=known_first,
        cache=photos.cache,
        max_pixels=photos.max_pixels,
    )
    crops, missed = make_crop_set(() if only_pairs else sources.samples, chosen, cropper, photos.progress)
    data = replace(make(crops), held_out=np.array(split.test, np.str_))
    check_crops(data, photos.folders[0], missed)
    return data, (*sources.skipped, *missed)


def check_packed(data: CropPairs, template: Template, file: Path) -> None:
    """Raise DataError for a packed file with crops in another alignment, or without a pair to train on."""
    if data.template != template:
        raise DataError(
            f"{file}: packed with crops of {data.template.size} px in its own alignment; "
            f"use --size {data.template.size} or pack again"
        )
    check_crops(data, file)


def check_pairs(chosen: Sequence[Pair], train: Sequence[str], folder: Path) -> None:
    """Raise DataError if no person of ``train`` is in a pair, before anything is cut."""
    if not chosen:
        raise DataError(
            f"{folder}: no two photos of one person with different expressions; training needs such pairs"
        )
    people = frozenset(train)
    if not any(pair.source.person in people for pair in chosen):
        raise DataError(
            f"{folder}: only people who are held out have photos with different expressions; add people, or hold out "
            "fewer with --test"
        )


def check_crops(data: CropPairs, folder: Path, missed: Sequence[Skipped] = ()) -> None:
    """Raise DataError if there is no pair of different expressions to train on."""
    pairs = data.training().pairs
    if not (pairs[:, 0] != pairs[:, 1]).any():
        why = f" ({len(missed)} photos left out, mostly: {missed[0].reason})" if missed else ""
        raise DataError(
            f"{folder}: no pair to train on of two photos of one person with different expressions{why}"
        )


def crop_pairs(crops: CropSet) -> CropPairs:
    """Return the crops and pairs of a crop set with odds and trust; every own crop is also paired with itself."""
    own = np.flatnonzero(crops.own)
    table = np.concatenate([crops.pairs, np.stack([own, own], 1)])
    neutral = crops.labels[table] == Expression.NEUTRAL.label
    same = table[:, 0] == table[:, 1]
    kinds = np.select(
        [same, neutral[:, 0], neutral[:, 1]], [3, 0, 1], default=2
    )  # the order of the totals below
    totals = np.array([FROM_NEUTRAL, TO_NEUTRAL, CROSS, SAME])
    odds = pair_odds(kinds, totals, crops.persons[table[:, 0]], crops.sources[table[:, 0]] == SYNTH)
    still = np.isin(crops.sources[table], list(STILL)).any(1) | same
    return CropPairs(
        template=crops.template,
        images=crops.images,
        persons=crops.persons,
        labels=crops.labels,
        pairs=table,
        odds=odds.astype(np.float32),
        trust=np.where(still, 1.0, LOOSE_TRUST).astype(np.float32),
        mask=face_weight(crops.template.size),
    )


def pair_odds(
    kinds: npt.NDArray[np.int64],
    totals: npt.NDArray[np.float64],
    persons: npt.NDArray[np.str_],
    rendered: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float64]:
    """Return how often each pair is drawn, so that all pairs of one person and kind add up to the kind's total.

    Args:
        kinds: (P,) index into ``totals``.
        totals: how often each kind is drawn for one person.
        persons: (P,) who each pair shows.
        rendered: (P,) whether that person is rendered.
    """
    _, numbers = np.unique(persons, return_inverse=True)
    groups = numbers * len(totals) + kinds
    odds: npt.NDArray[np.float64] = totals[kinds] / np.bincount(groups)[groups]
    return odds * np.where(rendered, SYNTH_SHARE, 1.0)


def face_weight(size: int) -> npt.NDArray[np.float32]:
    """Return the weight (S, S) of each pixel of a loosely aligned pair: 1 on the face, 0 on hair and background."""
    ticks = (torch.arange(size) + 0.5) / size
    distance = (((ticks[None] - 0.5) / 0.4) ** 2 + ((ticks[:, None] - 0.55) / 0.47) ** 2).sqrt()
    return np.asarray(((1 - distance) / 0.15).clamp(0, 1).numpy())


def sheet_samples(data: CropPairs, count: int) -> CropPairs:
    """Return ``count`` crops for the sample sheets: neutral faces of several people, the last two smiling."""
    chosen: list[int] = []
    for label, share in ((Expression.NEUTRAL.label, count - 2), (Expression.HAPPY.label, 2)):
        first = {
            person: index
            for index, person in reversed(list(enumerate(data.persons.tolist())))
            if data.labels[index] == label
        }
        people = sorted(first)
        step = max(1, len(people) // max(1, share))
        chosen += [first[person] for person in people[::step][:share]]
    return data.select(chosen)


def chosen_pairs(samples: Sequence[Sample]) -> list[Pair]:
    """Return the pairs to cut: all with a neutral photo, and a fixed subset of the others."""
    return [
        pair
        for pair in pairs(samples)
        if Expression.NEUTRAL in (pair.source.expression, pair.target.expression)
        or pair_number(pair) % CROSS_SHARE == 0
    ]


def pair_number(pair: Pair) -> int:
    """Return a hash of a pair from 0 to 2 ** 32 - 1, so that the same photos always give the same choice."""
    text = f"{pair.source.person}/{pair.source.path.name}/{pair.target.expression}/{pair.target.path.name}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
