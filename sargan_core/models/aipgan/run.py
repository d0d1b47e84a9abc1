"""One training run of the expression transfer, from photos to weights; what ``sargan train --model aipgan`` calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from sargan_core.data.crops import Cropper
from sargan_core.data.samples import Sample, Skipped
from sargan_core.data.sources import read_sources
from sargan_core.data.split import SPLIT, split_by_person, write_split
from sargan_core.errors import NoFaceError, PhotoError, UsageError, WeightsError
from sargan_core.models.aipgan.bank import TransferBank, make_bank
from sargan_core.models.aipgan.data import draw_triples, expression_crops, shape_template
from sargan_core.models.aipgan.model import KIND, AipganModel, TransferSettings, build_aipgan, save_aipgan
from sargan_core.models.aipgan.network import AipganNetwork
from sargan_core.models.aipgan.recipe import AipganTraining
from sargan_core.models.aipgan.task import AipganTask
from sargan_core.models.aipgan.train_parts import (
    NeutralOptions,
    fit_shading,
    lid_patches,
    neutral_crops,
    start_neutral,
    train_lids,
    train_neutral,
)
from sargan_core.photo.photo import MAX_PIXELS
from sargan_core.progress import Progress
from sargan_core.training.checks import check_aipgan, check_test_fraction
from sargan_core.training.loop import LoopSettings, make_fabric, train
from sargan_core.training.run_folder import RunFolder, finished_steps, read_run_options
from sargan_core.weights import open_weights

# What is prepared once for a run and read again by it: neutral network and shading, triples of both sides.
PARTS, BANK, HELD_OUT = "parts.safetensors", "bank.safetensors", "held-out.safetensors"


# Side of the crops in use; the network sees them reduced to its own size.
CROP = 256


# Least side of the crops that are prepared.
LEAST_SIZE = 128


# Triples of people left out.
HELD_OUT_TRIPLES = 64


@dataclass(frozen=True)
class TransferOptions:
    """Everything that decides a run; kept as ``options.json`` and read again when it is resumed.

    Attributes:
        data: folders.
        training: recipe and networks.
        loop: length and what is written how often.
        triples: how many triples are drawn and prepared.
        neutral: training of the neutral network.
        test_fraction: part of the people held out.
        landmarks: what finds landmarks where the data bring none.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        start: a weights file whose network to start from, of any crop size; empty = none.
        max_pixels: photos of more pixels are left out.
    """

    data: tuple[str, ...]
    training: AipganTraining
    loop: LoopSettings
    triples: int = 4000
    neutral: NeutralOptions = field(default_factory=NeutralOptions)
    test_fraction: float = 0.2
    landmarks: str = "auto"
    device: str = "auto"
    start: str = ""
    max_pixels: int = MAX_PIXELS

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TransferOptions:
        """Build options from ``dataclasses.asdict`` of options."""
        nested = {
            "data": tuple(values["data"]),
            "training": AipganTraining.from_json(values["training"]),
            "loop": LoopSettings(**values["loop"]),
            "neutral": NeutralOptions(**values["neutral"]),
        }
        return cls(**{**values, **nested})


def read_transfer_options(folder: Path) -> TransferOptions:
    """Return the options of a run folder.

    Raises:
        TrainingError: there are none, or they are not readable.
    """
    return read_run_options(folder, TransferOptions.from_json)


class TransferSession:
    """A run that is ready to go.

    What is prepared (parts and triples) stays in the run folder; a folder that holds it already is not prepared
    again.

    Args:
        options: what to do; with ``loop.resume`` the networks are taken from the folder's checkpoint.
        out: the run folder.
        cache: the crop cache; None = the user's.
        progress: called with (done, total) while crops are cut and parts are fitted.

    Raises:
        DataError: the data does not hold what training needs.
        TrainingError: there is nothing to resume.
        UsageError: the sizes do not fit the network, the device is not there, the weights to start from do not fit, or
            the run to resume has gone further than asked.
        WeightsError: the weights to start from cannot be read.
    """

    def __init__(
        self,
        options: TransferOptions,
        out: Path,
        cache: Path | None = None,
        progress: Progress = lambda done, total: None,
    ) -> None:
        self.options = options
        self.out = out
        self.skipped: tuple[Skipped, ...] = ()
        check_options(options)
        self.fabric = make_fabric(options.device, "fp32")
        if options.loop.resume:
            finished_steps(out, options.loop.steps)
        start = load_start(options)
        out.mkdir(parents=True, exist_ok=True)
        if not (out / HELD_OUT).is_file():
            self.skipped = tuple(self._prepare(cache, progress))
        self.parts = build_aipgan(*open_weights(out / PARTS))
        self.bank = TransferBank.load(out / BANK)
        self.task = AipganTask(
            options.training,
            self.bank,
            TransferBank.load(out / HELD_OUT),
            self.fabric,
            self._export,
            start,
        )

    def _prepare(self, cache: Path | None, progress: Progress) -> list[Skipped]:
        """Read, split and cut the photos; fit neutral network and shading; draw and prepare triples."""
        options = self.options
        sources = read_sources([Path(folder) for folder in options.data])
        split = split_by_person(sources.samples, options.test_fraction)
        train_samples, test_samples = split.apply(sources.samples)

        def cropper_of(template: Any) -> Cropper:
            return Cropper(
                template,
                landmarks=options.landmarks,
                known_first=True,
                cache=cache,
                max_pixels=options.max_pixels,
            )

        template = shape_template(max(LEAST_SIZE, options.training.network.size), train_samples, cropper_of)
        crops, skipped = expression_crops(train_samples, cropper_of(template), progress)
        finder = cropper_of(template)

        def find(sample: Sample) -> npt.NDArray[np.float32] | None:
            try:
                return finder.face(sample).landmarks
            except (PhotoError, NoFaceError):
                return None

        known, missed = neutral_crops(train_samples, find, options.max_pixels)
        neutral = train_neutral(
            known, options.neutral, start_neutral(), lambda step, _: progress(step, options.neutral.steps)
        )
        lids = train_lids(*lid_patches(crops, options.training.seed, progress), options.training.seed)
        shading = fit_shading(crops, progress)
        residual = options.training.network.residual
        triples = draw_triples(crops, options.triples, options.training.seed)
        bank = make_bank(crops, triples, shading if residual else None, progress)
        held_out = bank
        if len(split.test) > 1:
            tested, more = expression_crops(test_samples, cropper_of(template), progress)
            chosen = draw_triples(tested, HELD_OUT_TRIPLES, options.training.seed)
            held_out = make_bank(tested, chosen, shading if residual else None)
            skipped += more
        settings = TransferSettings("displaced", None)
        parts = AipganModel(settings, replace(template, size=CROP), neutral, lids, shading, None)
        save_aipgan(parts, self.out / PARTS, data=", ".join(sorted({str(name) for name in crops.sources})))
        write_split(split, self.out / SPLIT)
        bank.save(self.out / BANK)
        held_out.save(self.out / HELD_OUT)
        return [*sources.skipped, *skipped, *missed]

    def _export(self, network: AipganNetwork, path: Path) -> None:
        form = "displaced" if network.settings.residual else "painted"
        parts = self.parts
        settings = TransferSettings(form, network.settings)
        shading = parts.shading if form == "displaced" else None
        record, _ = open_weights(self.out / PARTS)
        model = AipganModel(settings, parts.template, parts.neutral, parts.lids, shading, network)
        save_aipgan(model, path, name="aipgan", data=record.data)

    def run(self, on_step: Callable[[int, dict[str, float]], None] | None = None) -> int:
        """Train; see ``loop.train``."""
        folder = RunFolder(self.out, self.fabric.is_global_zero)
        folder.write_options(replace(self.options, loop=replace(self.options.loop, resume=False)))
        return train(self.task, self.options.loop, folder, on_step)


def check_options(options: TransferOptions) -> None:
    """Raise UsageError for options that cannot be trained with, before any photo is read."""
    check_aipgan(options.training.network)
    check_test_fraction(options.test_fraction)


def load_start(options: TransferOptions) -> dict[str, Tensor] | None:
    """Return the weights to start from, None where they are random or those of a checkpoint.

    Raises:
        WeightsError: they cannot be read, or are no transfer network's.
        UsageError: they are of another network.
    """
    if not options.start or options.loop.resume:
        return None
    record, tensors = open_weights(Path(options.start))
    if record.kind != KIND:
        raise WeightsError(
            f"{options.start}: holds a {record.kind}, not a transfer network; see sargan models list"
        )
    build_aipgan(record, tensors)
    other, own = TransferSettings.from_json(record.settings).network, options.training.network
    if other is None or replace(other, size=own.size) != own:
        raise UsageError(f"--start {options.start}: holds {other}, asked for is {own}")
    # What only training reads is not in the file and starts anew.
    state = AipganNetwork(own).state_dict()
    for name, tensor in tensors.items():
        if name.startswith("network."):
            state[name.removeprefix("network.")] = tensor.float()
    return state
