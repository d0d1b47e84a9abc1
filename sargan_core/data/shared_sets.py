"""The four sets of paired faces behind the shipped weights: london, transfer, neutral_extra, synth.

Each is a class-folder set with a ``landmarks.npz`` beside its folders, and is recognised by the arrays in
that file, whatever the folder is called. Landmarks there have their origin in the image's corner, as its
coordinates of synthetic faces say outright; in the photographs it was measured: over 128 frontal portraits
the irises lie 0.4 px (standard error 0.08) left of the middle of the hand-set eye corners, where a common
convention predicts 0.5 or 0.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from sargan_core.data.samples import SYNTH, TRANSFER, KnownLandmarks
from sargan_core.errors import DataError

LANDMARKS = "landmarks.npz"
LONDON = "london"
NEUTRAL_EXTRA = "neutral_extra"
SET_NAMES = (LONDON, TRANSFER, NEUTRAL_EXTRA, SYNTH)


@dataclass(frozen=True)
class SharedSet:
    """One recognised set.

    Attributes:
        name: ``london``, ``transfer``, ``neutral_extra`` or ``synth``.
        known: file relative to the set's folder, with forward slashes -> where its landmarks lie.
    """

    name: str
    known: dict[str, KnownLandmarks]

    def person(self, identity: str) -> tuple[str, bool]:
        """Return the person of a face id, and whether that person may only be trained on.

        The ids of ``transfer`` are those of ``london`` (three digits) and ``neutral_extra``; ids that begin
        with m are composites of London people.
        """
        if self.name == SYNTH:
            return f"synth-{identity}", False
        if identity[:1].isdigit():
            return f"london-{identity}", False
        return f"extra-{identity}", identity.startswith("m")


def read_shared_set(folder: Path) -> SharedSet | None:
    """Return the shared set that lies in ``folder``, or None where it holds something else.

    Raises:
        DataError: ``landmarks.npz`` is damaged.
    """
    file = folder / LANDMARKS
    if not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as arrays:
            names = {name: arrays[name] for name in arrays.files if arrays[name].dtype.kind == "U"}
            present = set(arrays.files)
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise DataError(f"{file}: not a readable npz file ({error}); fetch the data set again") from error
    if {"names", "landmarks"} <= present:
        rows = enumerate(names["names"])
        return SharedSet(SYNTH, {str(name): KnownLandmarks(file, row, "landmarks") for row, name in rows})
    if {"files", "ibug68", "ibug68_manual", "mesh478"} <= present:
        rows = enumerate(names["files"])
        return SharedSet(
            TRANSFER,
            {
                str(name): KnownLandmarks(file, row, "ibug68_manual", "ibug68", "mesh478")
                for row, name in rows
            },
        )
    if "neutral_ids" not in present:
        return None
    known = {}
    for expression in ("neutral", "happy"):
        points = f"{expression}_ibug68"
        best = f"{points}_manual" if f"{points}_manual" in present else points
        for row, identity in enumerate(names.get(f"{expression}_ids", ())):
            known[f"{expression}/{identity}.jpg"] = KnownLandmarks(
                file, row, best, points, f"{expression}_mesh478"
            )
    return SharedSet(LONDON if "happy_ids" in present else NEUTRAL_EXTRA, known)
