"""A training run of the landmark network: photos with known landmarks in, weights with card and figures out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from sargan_core.data.samples import Sample, Skipped
from sargan_core.data.sources import read_sources
from sargan_core.data.split import SPLIT, split_by_person, write_split
from sargan_core.errors import DataError, PhotoError
from sargan_core.expressions import Expression
from sargan_core.models.landmarks.network import SIZE, LandmarkNetwork
from sargan_core.models.landmarks.task import MARGIN, LandmarkOptions, train_landmarks, training_crop
from sargan_core.models.state import halved, without
from sargan_core.photo.files import write_text
from sargan_core.photo.photo import MAX_PIXELS
from sargan_core.progress import Progress
from sargan_core.training.checks import check_test_fraction
from sargan_core.training.run_folder import card_head
from sargan_core.weights import WeightsRecord, save_weights

WEIGHTS = "landmarks.safetensors"


CARD = "landmarks.md"


# Of a training: its phases, each going on from the one before.
PHASES = (LandmarkOptions(2400), LandmarkOptions(2000, learning_rate=8e-4, seed=1))


JAW, BROWS = slice(0, 17), slice(17, 27)


@dataclass(frozen=True)
class _Crops:
    images: npt.NDArray[np.uint8]
    landmarks: npt.NDArray[np.float32]
    trust: npt.NDArray[np.float32]
    chances: npt.NDArray[np.float64]
    kinds: npt.NDArray[np.str_]


def train_landmarks_run(
    folders: Sequence[Path],
    out: Path,
    phases: Sequence[LandmarkOptions] = PHASES,
    *,
    test_fraction: float = 0.2,
    progress: Progress = lambda done, total: None,
    max_pixels: int = MAX_PIXELS,
) -> tuple[Path, tuple[Skipped, ...]]:
    """Train the landmark network and write it with a card that holds its error on people never trained on.

    Args:
        folders: data sets that bring landmarks, see ``read_sources``.
        out: folder for the results; made if it is not there.
        phases: settings of the phases, each going on from the one before.
        test_fraction: part of the people that is held out.
        progress: called with (done, total): photos first, then steps.
        max_pixels: photos of more pixels are left out.

    Returns:
        The weights file, and what was left out and why.

    Raises:
        DataError: no photo with known landmarks, or none that can be read.
        UsageError: a test fraction out of range.
        PhotoError: the results cannot be written.
    """
    check_test_fraction(test_fraction)
    sources = read_sources(folders)
    known = with_landmarks(sources.samples, folders[0])
    split = split_by_person(known, test_fraction)
    skipped = list(sources.skipped)
    train, test = (_cut(samples, skipped, progress, max_pixels) for samples in split.apply(known))
    if train is None:
        raise DataError(f"{folders[0]}: none of the photos to train on can be read ({skipped[-1].reason})")
    network: LandmarkNetwork | None = None
    total = sum(phase.steps for phase in phases)
    done = 0
    for phase in phases:

        def on_step(step: int, _: float, before: int = done) -> None:
            progress(before + step, total)

        network = train_landmarks(
            train.images, train.landmarks, train.trust, train.chances, phase, network, on_step
        )
        done += phase.steps
    assert network is not None
    out.mkdir(parents=True, exist_ok=True)
    write_split(split, out / SPLIT)
    names = ", ".join(sorted({sample.source for sample in known}))
    record = save_weights(
        out / WEIGHTS,
        halved(without(network.state_dict(), ("num_batches",))),
        kind="landmarks",
        name="landmarks",
        description=f"68 landmarks on a face crop of {SIZE} px",
        data=f"{len(split.train)} people of {names}",
    )
    errors = {} if test is None else _errors(network, test)
    write_text(out / CARD, _card(record, errors, phases))
    return out / WEIGHTS, tuple(skipped)


def with_landmarks(samples: Sequence[Sample], folder: Path) -> list[Sample]:
    """Return the photos that came with landmarks; DataError if there are none."""
    known = [sample for sample in samples if sample.known is not None]
    if not known:
        raise DataError(f"{folder}: no landmarks come with these photos; the landmark network needs them")
    return known


def _cut(
    samples: Sequence[Sample], skipped: list[Skipped], progress: Progress, max_pixels: int
) -> _Crops | None:
    """Return the crops of the photos that can be read, None if there are none; add the others to ``skipped``."""
    images, points, trusts, chances, kinds = [], [], [], [], []
    for done, sample in enumerate(samples, start=1):
        landmarks = sample.landmarks
        assert landmarks is not None
        known = landmarks.astype(np.float64)
        anchors = np.stack([known[36:42].mean(0), known[42:48].mean(0), known[[48, 54]].mean(0)])
        try:
            image, matrix = training_crop(sample.path, anchors, max_pixels)
        except PhotoError as error:
            skipped.append(Skipped(sample.path, str(error)))
            continue
        images.append(image)
        points.append((known - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T)
        trust, chance, kind = _worth(sample)
        trusts.append(trust)
        chances.append(chance)
        kinds.append(kind)
        progress(done, len(samples))
    if not images:
        return None
    return _Crops(
        np.stack(images),
        np.asarray(points, dtype=np.float32),
        np.asarray(trusts, dtype=np.float32),
        np.asarray(chances, dtype=np.float64),
        np.array(kinds),
    )


def _worth(sample: Sample) -> tuple[npt.NDArray[np.float32], float, str]:
    """Return how far each point is to be trusted, how often the photo is drawn, and its kind for the card."""
    trust = np.ones(68, np.float32)
    if sample.source == "synth":
        # The jaw line of rendered people does not slide along the outline, and their brow points lie on the skin.
        trust[JAW], trust[BROWS] = 0.2, 0.5
        return trust, 1.0, "rendered"
    if sample.source == "transfer":
        return trust, 1.0, "real, transferred expression"
    if sample.expression is not Expression.NEUTRAL:
        # These points come from a face mesh, whose jaw and brows lie elsewhere than the hand-set ones.
        trust[:] = 0.6
        trust[JAW] = trust[BROWS] = 0.05
        return trust, 5.0, "real, smiling (mesh points)"
    return trust, 4.0, "real, neutral (hand-set points)"


def _errors(network: LandmarkNetwork, crops: _Crops) -> dict[str, tuple[int, float, float, float]]:
    """Return per kind: photos, and mean error of all points, eyes and mouth, as shares of the outer eye distance."""
    results = {}
    window = slice(MARGIN, MARGIN + SIZE)
    for kind in sorted(set(crops.kinds)):
        ours = crops.kinds == kind
        images = torch.from_numpy(crops.images[ours][:, window, window].copy()).float()[:, None] / 255
        with torch.inference_mode():
            found = torch.cat([network(batch) for batch in images.split(64)]).numpy() + MARGIN
        truth = crops.landmarks[ours]
        scale = np.linalg.norm(truth[:, 36] - truth[:, 45], axis=1)[:, None]
        error = np.linalg.norm(found - truth, axis=2) / scale
        results[str(kind)] = (
            int(ours.sum()),
            float(error.mean()),
            float(error[:, 36:48].mean()),
            float(error[:, 48:].mean()),
        )
    return results


def _card(
    record: WeightsRecord,
    errors: dict[str, tuple[int, float, float, float]],
    phases: Sequence[LandmarkOptions],
) -> str:
    lines = [
        *card_head(
            record,
            *(
                f"phase {number}: {phase.steps} steps of {phase.batch}, peak rate {phase.learning_rate:g}"
                for number, phase in enumerate(phases, start=1)
            ),
        ),
        "",
        "Mean error on people never trained on, as a share of the distance between the outer eye corners:",
        "",
        "| people | photos | all points | eyes | mouth |",
        "|---|---|---|---|---|",
        *(
            f"| {kind} | {count} | {every:.3f} | {eyes:.3f} | {mouth:.3f} |"
            for kind, (count, every, eyes, mouth) in errors.items()
        ),
    ]
    return "\n".join(lines) + "\n"
