"""A training run of the encoder, from rendered units and photos to weights with a card; ``sargan train units``."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import Tensor

from sargan_core.data.rendered import UNITS as UNIT_SET
from sargan_core.data.split import Split
from sargan_core.errors import DataError, UsageError
from sargan_core.models.aipgan.model import AipganModel
from sargan_core.models.registry import load_model
from sargan_core.models.units.assemble import assembled, posed_codes
from sargan_core.models.units.data import (
    MARGIN,
    SIDE,
    CodedFaces,
    coded_faces,
    landmark_habits,
    read_unit_photos,
)
from sargan_core.models.units.displacement import skin_triangles
from sargan_core.models.units.face_model import Array, FaceModel
from sargan_core.models.units.file import KIND, build_units, save_units
from sargan_core.models.units.model import Knowledge
from sargan_core.models.units.network import SIZE, UnitEncoder
from sargan_core.models.units.task import (
    UnitsOptions,
    UnitsTask,
    mislaid,
    movement_gram,
)
from sargan_core.outcome import Progress
from sargan_core.photo.files import write_text
from sargan_core.training.loop import LoopSettings, step_random
from sargan_core.training.plan import Survey, TrainingPlan, count_parameters, seconds_per_step
from sargan_core.training.run_folder import card_head
from sargan_core.training.session import Prepared, TrainingRun
from sargan_core.units import CODE_NAMES, UNITS
from sargan_core.weights import WeightsRecord, open_weights

CARD = "units.md"
# Skin whose z is smaller (decimetres, larger = nearer to the viewer) does not belong to the face.
FRONT = -0.9
# Upper bound of a unit's gain, so that noise in a unit that is read badly is not amplified.
LARGEST_GAIN = 1.4
# Fewest neutral photos from which offsets of the landmarks are estimated.
LEAST_FACES = 20


@dataclass(frozen=True, kw_only=True)
class UnitsRun(TrainingRun):
    """A training run of the encoder.

    Attributes:
        loop: length, and how often what is written; its number of steps counts, not that of ``training``.
        training: settings.
    """

    loop: LoopSettings
    training: UnitsOptions = field(default_factory=UnitsOptions)

    weights: ClassVar[str] = "units.safetensors"

    def prepare(self, out: Path, fabric: Fabric, cache: Path | None, progress: Progress) -> Prepared:
        """Crop the pictures; see ``TrainingRun.prepare``."""
        start = load_start(self)
        photos = read_unit_photos(self.folders)
        posed = posed_codes(dict(photos.posed))
        faces, split, skipped = coded_faces(photos, self.test_fraction, self.max_pixels, progress)
        held = np.isin(faces.persons, split.test)
        known, unseen = faces.select(~held), faces.select(held & (faces.sources == UNIT_SET))
        if not len(unseen):
            raise DataError(
                f"{self.data[0]}: nobody of the rendered people is held out; ask for a larger --test"
            )
        kinds = ", ".join(sorted(set(known.sources.tolist())))
        described = f"{len(split.train)} people of {kinds}"

        neutral = photos.neutral_landmarks(split.train)
        model = photos.model
        if len(neutral) >= LEAST_FACES:
            model = replace(model, habits=landmark_habits(model, neutral))

        def export(encoder: UnitEncoder, path: Path) -> None:
            whole = built(
                encoder, model, measured(read_codes(encoder, unseen), unseen.code.astype(np.float64), posed)
            )
            save_units(whole, path, name="units", data=described)

        training = replace(self.training, steps=self.loop.steps)
        task = UnitsTask(known, gram_of(model), training, export, start, fabric.device)

        def finish(folder: Path, progress: Progress) -> None:
            record = open_weights(folder / self.weights)[0]
            figures = held_out_figures(read_codes(task.average, unseen), unseen)
            write_text(folder / CARD, card(record, training, figures))

        return Prepared(tuple(skipped), split, task, finish)

    def plan(self, out: Path, fabric: Fabric) -> TrainingPlan:
        """Return the plan; see ``TrainingRun.plan``."""
        start = load_start(self)
        photos = read_unit_photos(self.folders)
        faces, split, skipped = coded_faces(photos, self.test_fraction, self.max_pixels, least=True)
        training = replace(self.training, steps=self.loop.steps)
        task = UnitsTask(
            faces, gram_of(photos.model), training, lambda encoder, path: None, start, fabric.device
        )
        return TrainingPlan(
            _survey(faces, split, tuple(skipped)),
            size=SIZE,
            model=f"code of {len(CODE_NAMES)} units and rotation, width {training.width}",
            recipe=f"batch {training.batch}, rate {training.learning_rate:g}, seed {training.seed}",
            parameters={"encoder": count_parameters(task.encoder)},
            steps=self.loop.steps,
            step_seconds=seconds_per_step(task, self.loop.steps),
        )


def _survey(faces: CodedFaces, split: Split, skipped: tuple[Any, ...]) -> Survey:
    pictures = dict(sorted(Counter(faces.sources.tolist()).items()))
    return Survey(len(split.train), len(split.test), pictures, {}, skipped)


def load_start(run: UnitsRun) -> dict[str, Tensor] | None:
    """Return the weights to start from, None where they are random or those of a checkpoint.

    Raises:
        WeightsError: they cannot be read, or are no encoder's.
        UsageError: they are of another width.
    """
    opened = run.open_start("an encoder of face units", KIND)
    if opened is None:
        return None
    encoder = build_units(*opened).encoder
    if encoder.width != run.training.width:
        raise UsageError(
            f"--start {run.start}: is of width {encoder.width}, asked for is {run.training.width}"
        )
    return encoder.state_dict()


def built(encoder: UnitEncoder, face: FaceModel, knowledge: Knowledge) -> Any:
    """Return the whole model around an encoder; its appearance comes from a shipped model."""
    transfer = load_model("aipgan")
    if not isinstance(transfer, AipganModel) or transfer.shading is None:
        raise DataError(
            "the shipped model aipgan, whose appearance is used, is another one; reinstall sargan"
        )
    return assembled(encoder, face, knowledge, transfer.shading, transfer.template)


def gram_of(model: FaceModel) -> Tensor:
    """Return ``movement_gram`` of the face model's skin, without the back of the head and the inside of the mouth."""
    seen = np.unique(model.triangles[skin_triangles(model)])
    seen = seen[model.mean[seen, 2] > FRONT]
    return movement_gram(torch.from_numpy(model.offsets[:, seen]).float())


def measured(found: Array, true: Array, posed: Array) -> Knowledge:
    """Return error and gain of predicted codes (N, U) against the true ones of people never trained on."""
    spread = np.sqrt(((found - true) ** 2).mean(0))
    gain = true.std(0) / np.maximum(found.std(0), 1e-6)
    return Knowledge(spread, gain.clip(1.0, LARGEST_GAIN), posed)


def read_codes(encoder: UnitEncoder, faces: CodedFaces) -> Array:
    """Return the codes (N, U) that an encoder predicts, with noisy landmarks as in use."""
    device = next(encoder.parameters()).device
    window = slice(MARGIN, SIDE - MARGIN)
    crops = torch.from_numpy(faces.images[:, window, window].copy())
    points = mislaid(torch.from_numpy(faces.landmarks - MARGIN), step_random(0, 0))
    encoder.eval()
    with torch.inference_mode():
        parts = [
            encoder(some.to(device).float()[:, None] / 255, known.to(device))[0].float().cpu()
            for some, known in zip(crops.split(128), points.split(128), strict=True)
        ]
    return torch.cat(parts).double().numpy()


def correlation(found: Array, true: Array) -> Array:
    """Return the correlation (U,) of predicted and true codes (N, U); NaN for a unit that never varies."""
    centred = [values - values.mean(0) for values in (found, true)]
    spread = [np.sqrt((values**2).mean(0)) for values in centred]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((centred[0] * centred[1]).mean(0) / (spread[0] * spread[1]))


def told_apart(codes: Array, persons: npt.NDArray[np.str_]) -> float:
    """Return how well codes (N, U) reveal the person: the probability that two codes of one person are nearer to each
    other than two of different people (area under the ROC curve); 0.5 = nothing of the person is in the code.
    """
    one, other = np.triu_indices(len(codes), 1)
    distance = np.linalg.norm(codes[one] - codes[other], axis=1)
    same = persons[one] == persons[other]
    ranks = np.empty(len(distance))
    ranks[distance.argsort()] = np.arange(len(distance))
    count, others = int(same.sum()), int((~same).sum())
    return 1 - float((ranks[same].sum() - count * (count - 1) / 2) / max(count * others, 1))


@dataclass(frozen=True)
class UnitsFigures:
    """Results of an encoder on rendered people never trained on.

    Attributes:
        pictures: number of pictures.
        correlations: (U,) of predicted and true values.
        told_apart: ``told_apart`` of the predicted codes.
        told_apart_exactly: ``told_apart`` of the true codes.
    """

    pictures: int
    correlations: Array
    told_apart: float
    told_apart_exactly: float


def held_out_figures(found: Array, faces: CodedFaces) -> UnitsFigures:
    """Return the figures of the codes (N, U) predicted for ``faces``."""
    return UnitsFigures(
        len(faces),
        correlation(found, faces.code.astype(np.float64)),
        told_apart(found, faces.persons),
        told_apart(faces.code.astype(np.float64), faces.persons),
    )


def card(record: WeightsRecord, training: UnitsOptions, figures: UnitsFigures) -> str:
    """Return the model card as Markdown."""
    lines = [
        *card_head(
            record, f"{training.steps} steps of {training.batch}, peak rate {training.learning_rate:g}"
        ),
        "",
        f"How well a code reveals the person: {figures.told_apart:.3f} (area under the ROC curve of one person's codes "
        f"against different people's; 0.5 = not at all; the true codes have {figures.told_apart_exactly:.3f}).",
        "",
        f"Correlation of predicted and true codes on {figures.pictures} pictures of rendered people never trained on, "
        f"mean {np.nanmean(figures.correlations):.2f}:",
        "",
        "| unit | FACS | r |",
        "|---|---|---|",
    ]
    for unit in UNITS:
        both = np.mean([figures.correlations[CODE_NAMES.index(part)] for part in unit.parts])
        lines.append(f"| {unit.name} | {unit.facs or '–'} | {both:.2f} |")
    return "\n".join(lines) + "\n"
