"""Official checkpoints: pickled PyTorch state dicts of SARGAN, US-GAN and StarGAN generators, made ours.

The names inside the official files are not known for certain, but their order is: a state dict lists tensors
in the order in which the layers were made. So tensors are matched by order and shape:

* per layer: convolution weight, (its bias,) norm weight, norm bias, as in the layer table (docs/papers.md 1.2);
* running statistics and batch counters of instance norms are dropped: ours never uses them (docs/papers.md 1.6);
* sargan's second attention network is dropped: the official ``forward`` never calls it. It is told from the
  one in use by its input: 3 channels, where the one in use reads the trunk's 256.

Layers of one shape are taken in the order of the table, which inside the attention unit is the order of the
official layer names known from the table (b1_2, b2_2, b1_1, b2_1, b2_plus_1, b3_1, b3_2, out); layers of
different shapes may be in any order.
"""

from __future__ import annotations

import warnings
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sargan_core.errors import WeightsError
from sargan_core.faces.align import Template
from sargan_core.models.generator import Generator, preset
from sargan_core.models.generator_file import load_strictly

# The crops that the authors' samples show: eyes and mouth as fractions of the side (docs/papers.md 2.4).
OFFICIAL_TEMPLATE = Template(128, "affine", (0.263, 0.353), (0.732, 0.354), (0.496, 0.71))
CONTAINERS = ("generator", "G", "state_dict", "model")
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
        arch: ``sargan``, ``usgan`` or ``stargan``; None = told from the layers.

    Returns:
        The generator, 128 px, with the file's weights in float32.

    Raises:
        WeightsError: not a state dict of a generator, or a tensor is left over, missing or of another shape;
            the message names the keys.
    """
    layers = _layers(_read(path), path)
    layers = _without_unused_unit(layers)
    settings = preset(arch or _guess(layers), labels=max(1, layers[0].weight.shape[1] - 3))
    generator = Generator(replace(settings, width=layers[0].weight.shape[0]))
    load_strictly(generator, _renamed(generator, layers, path), str(path))
    return generator.eval()


def _read(path: Path) -> dict[str, Tensor]:
    if path.exists() and not path.is_file():
        raise WeightsError(f"{path}: is no file; give the generator's checkpoint")
    if _inflates(path):
        raise WeightsError(
            f"{path}: holds compressed parts, as no checkpoint does; give the generator's checkpoint"
        )
    try:
        with warnings.catch_warnings():
            # What is odd in a pickle either stops the reading or does not matter.
            warnings.simplefilter("ignore")
            loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # the interpreter of pickles stops at damage with errors of many types
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path}: not a plain PyTorch checkpoint ({reason})") from error
    if isinstance(loaded, dict):
        loaded = next((loaded[key] for key in CONTAINERS if isinstance(loaded.get(key), dict)), loaded)
    if not isinstance(loaded, dict) or not loaded:
        raise WeightsError(f"{path}: holds no state dict; give the generator's checkpoint")
    others = [str(key) for key, value in loaded.items() if not isinstance(value, Tensor)]
    if others:
        raise WeightsError(f"{path}: not a state dict, these are no tensors: {', '.join(others[:8])}")
    return {str(key): value.float() for key, value in loaded.items() if not str(key).endswith(STATISTICS)}


def _inflates(path: Path) -> bool:
    """Whether a file is an archive of which parts would grow in memory; ``torch.save`` stores them as they are."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(part.file_size > part.compress_size for part in archive.infolist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False  # no archive, or none that can be read: for torch to say


def _layers(state: dict[str, Tensor], path: Path) -> list[_Layer]:
    layers: list[_Layer] = []
    for key, tensor in state.items():
        if tensor.ndim == 4:
            layers.append(_Layer(key, tensor, []))
        elif tensor.ndim == 1 and layers:
            layers[-1].vectors.append((key, tensor))
        else:
            raise WeightsError(f"{path}: unexpected tensor {key} of shape {tuple(tensor.shape)}")
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
    """Give the layers our names: each of ours takes the file's next unused one of its shape."""
    left = list(layers)
    state: dict[str, Tensor] = {}
    for layer in _layers(generator.state_dict(), path):
        match = next((other for other in left if _shapes(other) == _shapes(layer)), None)
        if match is None:
            unused = ", ".join(other.key for other in left[:8])
            shape = tuple(layer.weight.shape)
            raise WeightsError(
                f"{path}: no layer of shape {shape} for {layer.key}; unused in the file: {unused or 'none'}"
            )
        left.remove(match)
        state[layer.key] = match.weight
        for (name, _), (_, tensor) in zip(layer.vectors, match.vectors, strict=True):
            state[name] = tensor
    if left:
        keys = ", ".join(key for layer in left for key in (layer.key, *(name for name, _ in layer.vectors)))
        raise WeightsError(f"{path}: tensors that {generator.settings.arch} does not have: {keys}")
    return state


def _shapes(layer: _Layer) -> list[torch.Size]:
    return [layer.weight.shape, *(tensor.shape for _, tensor in layer.vectors)]
