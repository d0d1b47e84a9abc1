"""Build the bank of teeth from real smiles: London portraits of training people."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sargan_core.data.sources import read_sources
from sargan_core.data.split import split_by_person
from sargan_core.errors import DataError
from sargan_core.expressions import Expression
from sargan_core.faces.mouth import SAMPLES, Opening, smooth_curve
from sargan_core.faces.teeth import (
    MIDDLE,
    WIDTH,
    Teeth,
    cut_teeth,
    even_edge,
    mouth_traits,
    upright_mouth,
)
from sargan_core.faces.teeth_light import STUDIO
from sargan_core.photo.photo import read_photo

# Points of the 478-point mesh on the inner lips from corner to corner.
MESH_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
MESH_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
# Shortest and longest front teeth, as fractions of the mouth's width; largest deviation of their edge from an arc.
LENGTHS = (0.1, 0.2)
UNEVEN = 0.0145
# Usual luminance of the brightest teeth, as a multiple of that of the whites of the eyes.
TEETH_TO_WHITE = 1.33
LANDMARKS = "landmarks.npz"
# Smiles out of focus, in the shadow of the upper lip, with uneven teeth or lower ones right behind them, seen by eye.
LEFT_OUT = ("010", "022", "083", "100", "114", "118", "126", "132")


@dataclass(frozen=True, eq=False)
class Lent:
    """Teeth and the person they belong to.

    Attributes:
        person: number in the set.
        teeth: what was cut out.
        traits: of the person's neutral mouth, see ``mouth_traits``.
    """

    person: str
    teeth: Teeth
    traits: npt.NDArray[np.float32]


def lent_teeth(london: Path, data: list[Path]) -> list[Lent]:
    """Return the teeth of all training people whose smile shows them well, in the order of their numbers.

    Args:
        london: the folder of the London portraits with ``landmarks.npz``.
        data: folders that the split by person is made of; test people lend nothing.

    Raises:
        DataError: nothing usable.
    """
    try:
        points = np.load(london / LANDMARKS, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{london}: no {LANDMARKS} of the London portraits ({error})") from error
    sources = read_sources(data)
    train, _ = split_by_person(sources.samples).apply(sources.samples)
    chosen = []
    for sample in train:
        if sample.expression is not Expression.HAPPY or sample.path.parent.parent != london:
            continue
        number = sample.path.stem
        if number in LEFT_OUT:
            continue
        row = int(np.flatnonzero(points["happy_ids"] == number)[0])
        neutral = int(np.flatnonzero(points["neutral_ids"] == number)[0])
        teeth = _cut(sample.path, points["happy_mesh478"][row].astype(np.float64))
        if teeth is not None:
            chosen.append(
                Lent(number, teeth, mouth_traits(points["neutral_ibug68_manual"][neutral].astype(np.float64)))
            )
    if not chosen:
        raise DataError(f"{london}: no smile of a training person shows teeth")
    return sorted(chosen, key=lambda one: one.person)


def _cut(path: Path, mesh: npt.NDArray[np.float64]) -> Teeth | None:
    pixels = read_photo(path).pixels
    picture, matrix = upright_mouth(pixels, mesh[MESH_UPPER[0]], mesh[MESH_UPPER[-1]])
    points = mesh @ matrix[:, :2].T + matrix[:, 2]
    x = np.linspace(MIDDLE[0] - WIDTH / 2, MIDDLE[0] + WIDTH / 2, SAMPLES)
    upper = smooth_curve(points[list(MESH_UPPER)], x)
    lower = np.maximum(upper, smooth_curve(points[list(MESH_LOWER)], x))
    teeth = cut_teeth(picture, Opening(x, upper, lower), STUDIO)
    if teeth is None or not LENGTHS[0] < teeth.length < LENGTHS[1] or even_edge(teeth) > UNEVEN:
        return None
    # Half of the difference in brightness between people is kept.
    brightest = float(np.quantile(teeth.picture.mean(2)[_between(teeth)], 0.92))
    return replace(teeth, picture=teeth.picture * np.float32(np.sqrt(TEETH_TO_WHITE / brightest)))


def _between(teeth: Teeth) -> npt.NDArray[np.bool_]:
    rows = np.arange(teeth.picture.shape[0])[:, None]
    return np.asarray((rows > teeth.upper) & (rows < teeth.lower))
