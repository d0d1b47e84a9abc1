"""Generators on disk: half precision safetensors with a record; import of official checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from sargan_core.errors import WeightsError
from sargan_core.expressions import LABELS
from sargan_core.faces.face import Template
from sargan_core.models.sargan.checkpoint_file import read_state
from sargan_core.models.sargan.generator import Generator, GeneratorSettings, preset
from sargan_core.models.state import check_fit, check_size, halved
from sargan_core.photo.files import some_names
from sargan_core.weights import WeightsRecord, save_weights

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
    # Compared on the meta device first: settings may ask for any size, while tensors are no larger than their file.
    with torch.device("meta"):
        empty = Generator(settings)
    check_fit(empty, tensors, record.file, settings.arch)
    _check_sizes(record, empty)
    generator = Generator(settings)
    load_strictly(generator, {name: tensor.float() for name, tensor in tensors.items()}, record.file)
    return generator.eval()


def _check_sizes(record: WeightsRecord, empty: Generator) -> None:
    """Check that a generator fits the crops it will be given and the seven expressions.

    Raises:
        WeightsError: it does not.
    """
    settings, side = empty.settings, int((record.template or {})["size"])
    refines = record.kind == REFINER
    labels = len(LABELS) if refines else max(len(LABELS), settings.labels)
    if settings.labels != labels or (refines and settings.size > side):
        raise WeightsError(
            f"{record.file}: made for {settings.labels} expressions and {settings.size} px, "
            f"which do not fit the {len(LABELS)} here and crops of {side} px; train it again"
        )
    side = settings.size if refines else side
    try:
        # An attention unit halves twice more, and its borders reflect two pixels of what is left.
        least = 5 if settings.attention else 2
        check_size(empty, side, channels=settings.width, halvings=settings.downs, least=least)
    except ValueError as error:
        raise WeightsError(f"{record.file}: cannot be used ({error}); train or import it again") from error


def load_strictly(generator: Generator, state: dict[str, Tensor], source: str) -> None:
    """Load ``state`` into ``generator``.

    Raises:
        WeightsError: missing, unexpected or differently shaped tensors; the message names source and keys.
    """
    check_fit(generator, state, source, generator.settings.arch)
    generator.load_state_dict(state)


# The crops that the authors' samples show: eyes and mouth as fractions of the side (docs/papers.md 2.4).
OFFICIAL_TEMPLATE = Template(128, "affine", (0.263, 0.353), (0.732, 0.354), (0.496, 0.71))
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
# Layers of one attention unit, and the input channels of the one that is never called.
UNIT_LAYERS = 8
UNUSED_INPUTS = 3


@dataclass(eq=False)
class _Layer:
    """One convolution of a state dict and the vectors after it: its bias, or its norm's scale and shift."""

    key: str
    weight: Tensor
    vectors: list[tuple[str, Tensor]]


def import_checkpoint(path: Path, arch: str | None = None) -> Generator:
    """Read an official generator checkpoint.

    Args:
        path: a file written by ``torch.save``; only tensors are read from it, no code is run.
        arch: ``sargan``, ``usgan`` or ``stargan``; None = guessed from the layers.

    Returns:
        The generator, 128 px, with the file's weights in float32.

    Raises:
        WeightsError: not a state dict of a generator, or a tensor is left over, missing or of another shape;
            the message names the keys.
    """
    layers = _without_unused_unit(_layers(_wanted(read_state(path)), path))
    settings = preset(arch or _guess(layers), labels=max(1, layers[0].weight.shape[1] - 3))
    settings = replace(settings, width=layers[0].weight.shape[0])
    odd = [layer.key for layer in layers if not bool(layer.weight.half().isfinite().all())]
    if odd:
        raise WeightsError(
            f"{path}: holds numbers that are not finite, or not as float16, which weights are written in: "
            f"{some_names(odd)}"
        )
    # Compared on the meta device first: a small file may ask for any width.
    with torch.device("meta"):
        state = _renamed(Generator(settings), layers, path)
    generator = Generator(settings)
    load_strictly(generator, state, str(path))
    return generator.eval()


def _wanted(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.float() for name, value in state.items() if not name.endswith(STATISTICS)}


def _layers(state: dict[str, Tensor], path: Path) -> list[_Layer]:
    layers: list[_Layer] = []
    for key, tensor in state.items():
        if tensor.ndim == 4 and tensor.numel():
            layers.append(_Layer(key, tensor, []))
        elif tensor.ndim == 1 and layers:
            layers[-1].vectors.append((key, tensor))
        else:
            raise WeightsError(
                f"{path}: the tensor {some_names([key])} of shape {tuple(tensor.shape)} fits nowhere"
            )
    if not layers:
        raise WeightsError(f"{path}: holds no convolution; give the generator's checkpoint")
    return layers


def _without_unused_unit(layers: list[_Layer]) -> list[_Layer]:
    for start in range(1, len(layers) - UNIT_LAYERS + 1):
        if all(layer.weight.shape[1:] == (UNUSED_INPUTS, 3, 3) for layer in layers[start : start + 2]):
            return layers[:start] + layers[start + UNIT_LAYERS :]
    return layers


def _guess(layers: list[_Layer]) -> str:
    if any(layer.weight.shape[0] == 1 for layer in layers):
        return "sargan"
    square = sum(layer.weight.shape[2] == 3 for layer in layers)
    return "stargan" if square > 2 else "usgan"


def _renamed(generator: Generator, layers: list[_Layer], path: Path) -> dict[str, Tensor]:
    """Return the file's tensors under our names: each of our layers takes the next unused one of its shape."""
    left = list(layers)
    state: dict[str, Tensor] = {}
    for layer in _layers(generator.state_dict(), path):
        match = next((other for other in left if _shapes(other) == _shapes(layer)), None)
        if match is None:
            unused = some_names([other.key for other in left])
            shape = tuple(layer.weight.shape)
            raise WeightsError(
                f"{path}: no layer of shape {shape} for {layer.key}; unused in the file: {unused or 'none'}"
            )
        left.remove(match)
        state[layer.key] = match.weight
        for (name, _), (_, tensor) in zip(layer.vectors, match.vectors, strict=True):
            state[name] = tensor
    if left:
        keys = [key for layer in left for key in (layer.key, *(name for name, _ in layer.vectors))]
        raise WeightsError(
            f"{path}: tensors that {generator.settings.arch} does not have: {some_names(keys)}"
        )
    return state


def _shapes(layer: _Layer) -> list[torch.Size]:
    return [layer.weight.shape, *(tensor.shape for _, tensor in layer.vectors)]
