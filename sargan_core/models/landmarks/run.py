"""A training run of the landmark networks, from photos with known points to weights with a card.

``sargan train landmarks`` calls it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric

from sargan_core.data.crops import face_from_landmarks
from sargan_core.errors import PhotoError
from sargan_core.models.landmarks.data import HAND, KnownFace, known_faces, read_pictures
from sargan_core.models.landmarks.finder import BuiltinLandmarks
from sargan_core.models.landmarks.lesson import Lesson, random_pictures
from sargan_core.models.landmarks.network import PATCH, SIZE, LandmarkNetworks
from sargan_core.models.state import halved, without
from sargan_core.outcome import Progress
from sargan_core.photo.files import write_text
from sargan_core.photo.photo import read_photo
from sargan_core.training.checks import check_counts
from sargan_core.training.loop import Schedule, fit
from sargan_core.training.plan import Survey, TrainingPlan, count_parameters
from sargan_core.training.run_folder import card_head
from sargan_core.training.session import Prepared, TrainingRun
from sargan_core.weights import WeightsRecord, save_weights

CARD = "landmarks.md"
DESCRIPTION = f"68 landmarks: a look at the face in {SIZE} px, closer ones at mouth and eyes in {PATCH} px"
# Number of steps, and their batch, that a plan times.
MEASURED, FEW = 3, 8
# Parts of the face that the card lists.
PARTS = {
    "all points": range(68),
    "brows": range(17, 27),
    "eyes": range(36, 48),
    "mouth": range(48, 68),
    "inner lips": range(60, 68),
}


@dataclass(frozen=True, kw_only=True)
class LandmarksRun(TrainingRun):
    """A training run of the landmark networks; it writes weights, split, and a card with the error on people held out.

    Attributes:
        steps: number of the last step.
        minutes: stop after this time; None = after ``steps``.
        batch: pictures per step.
        rate: peak learning rate.
        seed: of weights, draws and augmentation.
    """

    steps: int = 20_000
    minutes: float | None = None
    batch: int = 128
    rate: float = 2e-3
    seed: int = 0

    weights: ClassVar[str] = "landmarks.safetensors"

    def check(self) -> None:
        """See ``TrainingRun.check``."""
        super().check()
        check_counts({"--steps": self.steps, "--batch": self.batch})

    def prepare(self, out: Path, fabric: Fabric, cache: Path | None, progress: Progress) -> Prepared:
        """Read the photos; see ``TrainingRun.prepare``."""
        faces, split, skipped = known_faces(self.folders, self.test_fraction)
        train = [face for face in faces if face.person in set(split.train)]
        unseen = [face for face in faces if face.person in set(split.test)]
        pictures = read_pictures(train, skipped, progress, self.max_pixels)
        names = ", ".join(sorted({face.person.split("-", 1)[0] for face in train}))

        def finish(folder: Path, progress: Progress) -> None:
            torch.manual_seed(self.seed)
            lesson = Lesson(pictures, self.batch, fabric.device)

            def said(step: int, _: float) -> None:
                progress(min(step, self.steps), self.steps)

            schedule = Schedule(self.steps, self.rate, minutes=self.minutes, seed=self.seed)
            made = fit(lesson, lesson.loss, schedule, said)
            networks = lesson.networks.cpu()
            described = f"{len(split.train)} people of {names}"
            record = save_landmarks(networks, folder / self.weights, data=described)
            text = f"{made} steps of {self.batch} pictures, peak rate {self.rate:g}, on {fabric.device.type}"
            write_text(folder / CARD, card(record, errors(networks, unseen), text))

        return Prepared(tuple(skipped), split, finish=finish)

    def plan(self, out: Path, fabric: Fabric) -> TrainingPlan:
        """Return the plan; see ``TrainingRun.plan``."""
        faces, split, skipped = known_faces(self.folders, self.test_fraction)
        train = [face for face in faces if face.person in set(split.train)]
        titles = [face.title for face in train]
        lesson = Lesson(random_pictures(), FEW, fabric.device)
        times: list[float] = []
        for _ in range(MEASURED + 1):
            lesson.loss().backward()
            times.append(time.perf_counter())
        seconds = (times[-1] - times[0]) / MEASURED
        return TrainingPlan(
            Survey(
                people=len(split.train),
                held_out=len(split.test),
                pictures={title: titles.count(title) for title in sorted(set(titles))},
                pairs={},
                skipped=tuple(skipped),
            ),
            size=SIZE,
            model="68 points",
            recipe=f"batch {self.batch}, peak rate {self.rate:g}, seed {self.seed}",
            parameters={"landmarks": count_parameters(lesson.networks)},
            steps=self.steps,
            step_seconds=seconds * (self.batch / FEW if fabric.device.type == "cpu" else 1),
        )


def save_landmarks(networks: LandmarkNetworks, path: Path, *, data: str) -> WeightsRecord:
    """Write the networks as float16; return the record for the index."""
    return save_weights(
        path,
        halved(without(networks.state_dict(), ("num_batches",))),
        kind="landmarks",
        name="landmarks",
        description=DESCRIPTION,
        data=data,
    )


def errors(networks: LandmarkNetworks, faces: Sequence[KnownFace]) -> dict[str, tuple[int, dict[str, float]]]:
    """Return per kind of picture the number and the mean error of each part, as shares of the outer eye distance.

    The points are found as in use, from eyes and corners of the mouth as a detector would give them. For points that
    were not set by hand, the mean difference of each point is subtracted, because they mark other places on the face.
    """
    finder = BuiltinLandmarks(networks=networks.eval())
    rows: dict[str, list[npt.NDArray[np.float64]]] = {}
    shifted: set[str] = set()
    for face in faces:
        try:
            pixels = read_photo(face.path).pixels
        except PhotoError:
            continue
        found = finder.landmarks(pixels, face_from_landmarks(face.points))
        scale = np.linalg.norm(face.points[36] - face.points[45])
        rows.setdefault(face.title, []).append((found - face.points).astype(np.float64) / scale)
        if face.kind != HAND:
            shifted.add(face.title)
    result = {}
    for title in sorted(rows):
        differences = np.stack(rows[title])
        if title in shifted:
            differences -= differences.mean(0)
        every = np.linalg.norm(differences, axis=2)
        result[title] = (
            len(every),
            {part: float(every[:, list(listed)].mean()) for part, listed in PARTS.items()},
        )
    return result


def card(record: WeightsRecord, rows: dict[str, tuple[int, dict[str, float]]], training: str) -> str:
    """Return the model card as Markdown."""
    lines = [
        *card_head(record, training),
        "",
        "Mean error on people never trained on, as a share of the distance between the outer eye corners. Points that",
        "were not set by hand mark other places on the same face; that mean shift of each point is left out:",
        "",
        f"| people | photos | {' | '.join(PARTS)} |",
        "|---" * (len(PARTS) + 2) + "|",
        *(
            f"| {title} | {count} | {' | '.join(f'{parts[part]:.3f}' for part in PARTS)} |"
            for title, (count, parts) in rows.items()
        ),
    ]
    return "\n".join(lines) + "\n"
