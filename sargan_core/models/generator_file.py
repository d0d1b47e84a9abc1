"""Generators on disk: safetensors in half precision with their record, loaded strictly."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from sargan_core.errors import WeightsError
from sargan_core.faces.align import Template
from sargan_core.models.generator import Generator, GeneratorSettings
from sargan_core.models.state import halved, misfits
from sargan_core.models.weights import WeightsRecord, save_weights

KIND = "generator"
# A generator that works on another model's picture; its settings name that model as ``base``.
REFINER = "refiner"


def save_generator(
    generator: Generator,
    template: Template,
    path: Path,
    *,
    name: str = "",
    description: str = "",
    data: str = "",
    weights_licence: str = "CC BY 4.0",
    base: str = "",
) -> WeightsRecord:
    """Write a generator as float16 with its settings and template; return the record for the index.

    Args:
        generator: the network, on any device.
        template: the alignment of the crops it was trained on.
        path: a ``.safetensors`` file.
        name: name on the command line; empty = the file's name.
        description: one line for people.
        data: what it was trained on, with licence and attribution.
        weights_licence: licence of the numbers.
        base: for a refiner the name of the shipped model whose picture it refines, and ``template`` is that model's.
    """
    settings = generator.settings
    known = f"{settings.arch} generator, {settings.size} px" + (f", refines {base}" if base else "")
    return save_weights(
        path,
        halved(generator.state_dict()),
        kind=REFINER if base else KIND,
        name=name,
        description=description or known,
        template=template,
        settings={**asdict(settings), **({"base": base} if base else {})},
        data=data,
        weights_licence=weights_licence,
    )


def build_generator(record: WeightsRecord, tensors: dict[str, Tensor]) -> Generator:
    """Return the generator of a record with its weights in float32, in evaluation mode.

    Raises:
        WeightsError: the record is of something else, or the tensors do not fit its settings.
    """
    if record.kind not in (KIND, REFINER):
        raise WeightsError(f"{record.file}: holds a {record.kind}, not a generator; see sargan models list")
    try:
        settings = GeneratorSettings(
            **{name: value for name, value in record.settings.items() if name != "base"}
        )
    except TypeError as error:
        raise WeightsError(f"{record.file}: settings not understood ({error}); export it again") from error
    if settings.blocks + settings.downs > len(tensors):
        raise WeightsError(f"{record.file}: its settings ask for more layers than it holds; export it again")
    # Compared without memory first: settings may ask for any size, tensors are no larger than their file.
    with torch.device("meta"):
        _check_fit(Generator(settings), tensors, record.file)
    generator = Generator(settings)
    load_strictly(generator, {name: tensor.float() for name, tensor in tensors.items()}, record.file)
    return generator.eval()


def load_strictly(generator: Generator, state: dict[str, Tensor], source: str) -> None:
    """Load ``state`` into ``generator``.

    Raises:
        WeightsError: missing, unexpected or differently shaped tensors; the message names source and keys.
    """
    _check_fit(generator, state, source)
    generator.load_state_dict(state)


def _check_fit(generator: Generator, state: dict[str, Tensor], source: str) -> None:
    found = misfits(generator, state)
    listed = [f"{kind}: {', '.join(names)}" for kind, names in found.items() if names]
    if listed:
        arch = generator.settings.arch
        raise WeightsError(f"{source}: the weights do not fit {arch} ({'; '.join(listed)})")
