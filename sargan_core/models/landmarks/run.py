"""A training run of the landmark network, from photos with known landmarks to weights with a card.

``sargan train landmarks`` calls it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric

from sargan_core.data.samples import Sample, Skipped
from sargan_core.data.sources import Sources, read_sources
from sargan_core.data.split import Split, split_by_person
from sargan_core.errors import DataError, PhotoError
from sargan_core.expressions import LABELS, Expression
from sargan_core.models.landmarks.network import SIZE, LandmarkNetwork
from sargan_core.models.landmarks.task import MARGIN, LandmarkOptions, train_landmarks, training_crop
from sargan_core.models.state import halved, without
from sargan_core.photo.files import write_text
from sargan_core.progress import Progress
from sargan_core.training.plan import TrainingPlan, count_parameters, survey
from sargan_core.training.run_folder import card_head
from sargan_core.training.session import Prepared, TrainingRun
from sargan_core.weights import WeightsRecord, save_weights

CARD = "landmarks.md"
# Steps that are measured for a plan.
MEASURED = 5
# Phases of the training, each going on from the one before.
PHASES = (LandmarkOptions(2400), LandmarkOptions(2000, learning_rate=8e-4, seed=1))


JAW, BROWS = slice(0, 17), slice(17, 27)


@dataclass(frozen=True)
class _Crops:
    images: npt.NDArray[np.uint8]
    landmarks: npt.NDArray[np.float32]
    trust: npt.NDArray[np.float32]
    chances: npt.NDArray[np.float64]
    kinds: npt.NDArray[np.str_]


@dataclass(frozen=True, kw_only=True)
class LandmarksRun(TrainingRun):
    """A training run of the landmark network.

    It writes weights, split, and a card with the error on the people held out.

    Attributes:
        phases: settings of the phases, each going on from the one before.
    """

    phases: tuple[LandmarkOptions, ...] = PHASES

    weights: ClassVar[str] = "landmarks.safetensors"

    def prepare(self, out: Path, fabric: Fabric, cache: Path | None, progress: Progress) -> Prepared:
        """Crop the photos; see ``TrainingRun.prepare``."""
        sources, known, split = self._known()
        skipped = list(sources.skipped)
        train, test = (_cut(samples, skipped, progress, self.max_pixels) for samples in split.apply(known))
        if train is None:
            raise DataError(
                f"{self.data[0]}: none of the photos to train on can be read ({skipped[-1].reason})"
            )
        names = ", ".join(sorted({sample.source for sample in known}))
        described = f"{len(split.train)} people of {names}"

        def finish(folder: Path, progress: Progress) -> None:
            network = self._train(train, progress)
            record = save_weights(
                folder / self.weights,
                halved(without(network.state_dict(), ("num_batches",))),
                kind="landmarks",
                name="landmarks",
                description=f"68 landmarks on a face crop of {SIZE} px",
                data=described,
            )
            errors = {} if test is None else _errors(network, test)
            write_text(folder / CARD, _card(record, errors, self.phases))

        return Prepared(tuple(skipped), split, finish=finish)

    def plan(self, out: Path, fabric: Fabric) -> TrainingPlan:
        """Return the plan; see ``TrainingRun.plan``."""
        sources, known, split = self._known()
        times: list[float] = []
        network = train_landmarks(
            *random_landmark_crops(),
            replace(self.phases[0], steps=MEASURED + 1),
            LandmarkNetwork(),
            lambda step, loss: times.append(time.perf_counter()),
        )
        return TrainingPlan(
            survey(known, split, skipped=sources.skipped),
            size=SIZE,
            model="68 points",
            recipe=f"{len(self.phases)} phases, batch {self.phases[0].batch}",
            parameters={"landmarks": count_parameters(network)},
            steps=sum(phase.steps for phase in self.phases),
            step_seconds=(times[-1] - times[0]) / MEASURED,
        )

    def _known(self) -> tuple[Sources, list[Sample], Split]:
        """Return what was read, the photos that came with landmarks, and their split."""
        sources = read_sources(self.folders)
        known = [sample for sample in sources.samples if sample.known is not None]
        if not known:
            raise DataError(
                f"{self.data[0]}: no landmarks come with these photos; the landmark network needs them"
            )
        return sources, known, split_by_person(known, self.test_fraction)

    def _train(self, crops: _Crops, progress: Progress) -> LandmarkNetwork:
        """Train through all phases; ``progress`` counts the steps."""
        network: LandmarkNetwork | None = None
        total = sum(phase.steps for phase in self.phases)
        done = 0
        for phase in self.phases:

            def on_step(step: int, _: float, before: int = done) -> None:
                progress(before + step, total)

            network = train_landmarks(
                crops.images, crops.landmarks, crops.trust, crops.chances, phase, network, on_step
            )
            done += phase.steps
        assert network is not None
        return network


def random_landmark_crops() -> tuple[Any, Any, Any, Any]:
    """Return noise to measure a step on: crops, points, weights and chances as ``train_landmarks`` takes them."""
    count, side = len(LABELS), SIZE + 2 * MARGIN
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (count, side, side), dtype=np.uint8)
    points = (rng.random((count, 68, 2)) * side).astype(np.float32)
    return crops, points, np.ones((count, 68), np.float32), np.ones(count)


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
