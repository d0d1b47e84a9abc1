"""A training run of the expression transfer, from photos to weights; what ``sargan train aipgan`` calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from lightning_fabric import Fabric
from torch import Tensor

from sargan_core.data.crops import affine_template
from sargan_core.data.samples import Pair, Sample, Skipped, pairs
from sargan_core.data.sources import read_sources
from sargan_core.data.split import SPLIT, split_by_person, write_split
from sargan_core.errors import DataError, NoFaceError, PhotoError, UsageError
from sargan_core.expressions import LABELS, Expression
from sargan_core.models.aipgan.data import (
    TransferBank,
    draw_triples,
    expression_crops,
    make_bank,
    shape_template,
)
from sargan_core.models.aipgan.model import KIND, AipganModel, TransferSettings, build_aipgan, save_aipgan
from sargan_core.models.aipgan.network import AipganNetwork
from sargan_core.models.aipgan.neutral import NeutralOptions, neutral_crops, start_neutral, train_neutral
from sargan_core.models.aipgan.recipe import AipganTraining, check_aipgan
from sargan_core.models.aipgan.task import AipganTask
from sargan_core.models.aipgan.train_parts import (
    fit_shading,
    lid_patches,
    train_lids,
)
from sargan_core.outcome import Progress
from sargan_core.training.loop import LoopSettings
from sargan_core.training.plan import (
    TrainingPlan,
    count_parameters,
    measured_batch,
    random_crops,
    seconds_per_step,
    survey,
)
from sargan_core.training.session import Prepared, TrainingRun
from sargan_core.weights import open_weights

# Files that are prepared once for a run and read again when it is resumed: neutral network and shading, triples of the
# people to train on, and of those held out.
PARTS, BANK, HELD_OUT = "parts.safetensors", "bank.safetensors", "held-out.safetensors"
# Side of the crops in use; the network sees them reduced to its own size.
CROP = 256
# Least side of the crops that are prepared.
LEAST_SIZE = 128
# Triples of people held out.
HELD_OUT_TRIPLES = 64


@dataclass(frozen=True, kw_only=True)
class AipganRun(TrainingRun):
    """A training run of the expression transfer.

    What is prepared (parts and triples) stays in the run folder; a folder that holds it already is not prepared
    again.

    Attributes:
        loop: length, and how often what is written.
        training: recipe and networks.
        triples: how many triples are drawn and prepared.
        neutral: training of the neutral network.
    """

    loop: LoopSettings
    training: AipganTraining
    triples: int = 4000
    neutral: NeutralOptions = field(default_factory=NeutralOptions)

    def check(self) -> None:
        """Raise UsageError for options that cannot be trained with."""
        check_aipgan(self.training.network)
        super().check()

    def prepare(self, out: Path, fabric: Fabric, cache: Path | None, progress: Progress) -> Prepared:
        """Prepare parts and triples where the folder holds none; see ``TrainingRun.prepare``."""
        start = load_start(self)
        out.mkdir(parents=True, exist_ok=True)
        skipped = () if (out / HELD_OUT).is_file() else tuple(self._make_parts(out, cache, progress))
        record, tensors = open_weights(out / PARTS)
        parts = build_aipgan(record, tensors)

        def export(network: AipganNetwork, path: Path) -> None:
            form = "displaced" if network.settings.residual else "painted"
            settings = TransferSettings(form, network.settings)
            shading = parts.shading if form == "displaced" else None
            model = AipganModel(settings, parts.template, parts.neutral, parts.lids, shading, network)
            save_aipgan(model, path, name="aipgan", data=record.data)

        bank, held_out = TransferBank.load(out / BANK), TransferBank.load(out / HELD_OUT)
        return Prepared(skipped, task=AipganTask(self.training, bank, held_out, fabric, export, start))

    def plan(self, out: Path, fabric: Fabric) -> TrainingPlan:
        """Return the plan; see ``TrainingRun.plan``."""
        start = load_start(self)
        folder = self.folders[0]
        sources = read_sources(self.folders)
        split = split_by_person(sources.samples, self.test_fraction)
        train, _ = split.apply(sources.samples)
        chosen = _from_neutral(train, folder)
        if len({pair.source.person for pair in chosen}) < 2:
            raise DataError(
                f"{folder}: only one person to train on; an expression is carried from one person to another"
            )
        training = self.training
        bank = random_bank(max(LEAST_SIZE, training.network.size))
        small = replace(training, batch=measured_batch(training.batch, fabric))
        task = AipganTask(small, bank, bank, fabric, lambda network, path: None, start)
        return TrainingPlan(
            survey(sources.samples, split, chosen, sources.skipped),
            size=training.network.size,
            model="displaced" if training.network.residual else "painted",
            recipe=f"{self.triples:,} triples, batch {training.batch}, rate {training.rate:g}, seed {training.seed}",
            parameters={
                "in use": sum(value.numel() for value in task.network.inference_parameters()),
                "in training": count_parameters(task.network) + count_parameters(task.bare_discriminators),
            },
            steps=self.loop.steps,
            step_seconds=seconds_per_step(task, self.loop.steps, training.batch / small.batch),
        )

    def _make_parts(self, out: Path, cache: Path | None, progress: Progress) -> list[Skipped]:
        """Read, split and cut the photos; fit neutral network and shading; draw and prepare triples."""
        sources = read_sources(self.folders)
        split = split_by_person(sources.samples, self.test_fraction)
        train_samples, test_samples = split.apply(sources.samples)

        template = shape_template(
            max(LEAST_SIZE, self.training.network.size),
            train_samples,
            lambda template: self.cropper(template, cache),
        )
        cropper = self.cropper(template, cache)
        crops, skipped = expression_crops(train_samples, cropper, progress)

        def find(sample: Sample) -> npt.NDArray[np.float32] | None:
            try:
                return cropper.face(sample).landmarks
            except (PhotoError, NoFaceError):
                return None

        known, missed = neutral_crops(train_samples, find, self.max_pixels)
        neutral = train_neutral(
            known,
            self.neutral,
            start_neutral(self.neutral.seed),
            lambda step, _: progress(step, self.neutral.steps),
        )
        lids = train_lids(*lid_patches(crops, self.training.seed, progress), self.training.seed)
        shading = fit_shading(crops, progress)
        residual = self.training.network.residual
        triples = draw_triples(crops, self.triples, self.training.seed)
        bank = make_bank(crops, triples, shading if residual else None, progress)
        held_out = bank
        if len(split.test) > 1:
            tested, more = expression_crops(test_samples, cropper, progress)
            chosen = draw_triples(tested, HELD_OUT_TRIPLES, self.training.seed)
            held_out = make_bank(tested, chosen, shading if residual else None)
            skipped += more
        settings = TransferSettings("displaced", None)
        parts = AipganModel(settings, replace(template, size=CROP), neutral, lids, shading, None)
        save_aipgan(parts, out / PARTS, data=", ".join(sorted({str(name) for name in crops.sources})))
        write_split(split, out / SPLIT)
        bank.save(out / BANK)
        held_out.save(out / HELD_OUT)
        return [*sources.skipped, *skipped, *missed]


def load_start(run: AipganRun) -> dict[str, Tensor] | None:
    """Return the weights to start from, None where they are random or those of a checkpoint.

    Raises:
        WeightsError: they cannot be read, or are no transfer network's.
        UsageError: they are of another network.
    """
    opened = run.open_start("a transfer network", KIND)
    if opened is None:
        return None
    record, tensors = opened
    build_aipgan(record, tensors)
    other, own = TransferSettings.from_json(record.settings).network, run.training.network
    if other is None or replace(other, size=own.size) != own:
        raise UsageError(f"--start {run.start}: holds {other}, asked for is {own}")
    # Heads that only training needs are not in the file and start from random weights.
    state = AipganNetwork(own).state_dict()
    for name, tensor in tensors.items():
        if name.startswith("network."):
            state[name.removeprefix("network.")] = tensor.float()
    return state


def random_bank(size: int) -> TransferBank:
    """Return random pictures to time a step with: triples of two people, crops of ``size`` pixels."""
    count = len(LABELS)
    order = np.arange(count)
    crops = random_crops(size)
    return TransferBank(
        template=affine_template(size),
        images=crops,
        landmarks=np.random.default_rng(0).uniform(0, size, (count, 68, 2)).astype(np.float32),
        labels=order,
        persons=(order % 2).astype(np.str_),
        neutral=np.zeros(count, np.int64),
        triples=np.stack([order, np.roll(order, 1), np.roll(order, 2)], 1),
        moved=crops,
    )


def _from_neutral(samples: Sequence[Sample], folder: Path) -> list[Pair]:
    chosen = [pair for pair in pairs(samples) if pair.source.expression is Expression.NEUTRAL]
    if not chosen:
        raise DataError(f"{folder}: no person with a neutral photo and one of another expression")
    return chosen
