"""Training data of the judge: crops, and how likely a stranger would name each expression."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sargan_core.data.crop_table import CropSet, CropTable, column
from sargan_core.data.rendered import UNITS, read_with_units
from sargan_core.data.samples import SYNTH, TRANSFER, Pair, Sample, Skipped, pairs
from sargan_core.expressions import LABELS, Expression
from sargan_core.faces.face import Template
from sargan_core.models.judge.labels import UNSEEN, code_labels, named_rows
from sargan_core.models.judge.network import TEMPLATE
from sargan_core.training.plan import random_crops

# Room around the judge's crop for rotations and shifts in training, in pixels.
MARGIN = 8
# Fraction of the draws for each kind of picture; within a kind every expression gets the same.
SHARES: Mapping[str, float] = {UNITS: 0.36, SYNTH: 0.20, TRANSFER: 0.24, "photo": 0.20}


@dataclass(frozen=True)
class JudgePhotos:
    """What was found in the folders.

    Attributes:
        samples: all photos; those of face units count as neutral, their expression is in ``codes``.
        codes: by path, the probabilities (7,) of pictures that come with a code of face units.
        skipped: what was left out, and why.
    """

    samples: tuple[Sample, ...]
    codes: Mapping[Path, npt.NDArray[np.float64]]
    skipped: tuple[Skipped, ...]


def wide_template() -> Template:
    """Return the judge's template with ``MARGIN`` around it."""
    size = TEMPLATE.size + 2 * MARGIN

    def moved(point: tuple[float, float]) -> tuple[float, float]:
        x, y = ((value * TEMPLATE.size + MARGIN) / size for value in point)
        return x, y

    left, right, mouth = TEMPLATE.left_eye, TEMPLATE.right_eye, TEMPLATE.mouth
    return Template(size, TEMPLATE.kind, moved(left), moved(right), moved(mouth))


def judge_photos(folders: Sequence[Path]) -> JudgePhotos:
    """Read the folders; DataError where there is nothing to learn from."""
    sources, sets = read_with_units(folders)
    samples = list(sources.samples)
    codes: dict[Path, npt.NDArray[np.float64]] = {}
    for units in sets:
        samples += units.samples()
        codes.update(zip(units.paths, code_labels(units.codes, units.names), strict=True))
    return JudgePhotos(tuple(samples), codes, sources.skipped)


def moved_pairs(samples: Sequence[Sample]) -> list[Pair]:
    """Return the pairs whose targets are also cut with their neutral photo's alignment.

    An edit is judged in the alignment of the photo before it, which does not fit the new expression exactly.
    """
    posed = [sample for sample in samples if sample.source != UNITS]
    return [pair for pair in pairs(posed) if pair.still and pair.source.expression is Expression.NEUTRAL]


@dataclass(frozen=True, eq=False, kw_only=True)
class JudgeCrops(CropTable):
    """Crops of people: the judge's crop with ``MARGIN`` around it.

    Attributes:
        shown: (N, 7) float64, the probability that a stranger would name each expression, in label order.
        chances: (N,) float64, how often each crop is drawn; they add up to 1.
    """

    shown: npt.NDArray[np.float64] = column(np.float64, (len(LABELS),))
    chances: npt.NDArray[np.float64] = column(np.float64)

    @property
    def inner(self) -> Tensor:
        """(N, 3, S, S) uint8 crops without their margin, as the judge sees them in use."""
        return torch.from_numpy(self.images[..., MARGIN:-MARGIN, MARGIN:-MARGIN])


def judge_crops(crops: CropSet, codes: Mapping[Path, npt.NDArray[np.float64]]) -> JudgeCrops:
    """Return all crops of a crop set, those of pairs too, with what strangers would say of them."""
    kinds = [str(source) if source in SHARES else "photo" for source in crops.sources]
    # Codes of face units are one group: what they express has no single name.
    groups = [
        (kind, -1 if kind == UNITS else int(label)) for kind, label in zip(kinds, crops.labels, strict=True)
    ]
    sizes = Counter(groups)
    within = Counter(kind for kind, _ in sizes)
    return JudgeCrops(
        images=crops.images,
        labels=crops.labels,
        persons=crops.persons,
        sources=crops.sources,
        shown=_shown(crops, codes),
        chances=np.array([SHARES[group[0]] / within[group[0]] / sizes[group] for group in groups]),
    )


def _shown(crops: CropSet, codes: Mapping[Path, npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    rows = named_rows()
    shown = rows[crops.labels]
    weak = crops.sources == TRANSFER
    shown[weak] = (1 - UNSEEN) * shown[weak] + UNSEEN * rows[Expression.NEUTRAL.label]
    for index, path in enumerate(crops.paths):
        if Path(str(path)) in codes:
            shown[index] = codes[Path(str(path))]
    return shown


def random_judge_crops(people: int) -> JudgeCrops:
    """Return random pictures of at least ``people`` crops and as many people, to time a step with."""
    count = max(len(LABELS), people)
    return JudgeCrops(
        images=random_crops(TEMPLATE.size + 2 * MARGIN, count),
        persons=(np.arange(count) % max(1, people)).astype(np.str_),
        shown=np.full((count, len(LABELS)), 1 / len(LABELS)),
        chances=np.ones(count),
    )
