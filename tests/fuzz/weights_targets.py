"""Weights, their index and imported checkpoints as fuzz targets."""

from __future__ import annotations

import contextlib
import io
import json
import random
from functools import cache
from pathlib import Path

from mutation import mutated, mutated_json


@cache
def weights() -> list[bytes]:
    from safetensors.torch import save

    from sargan_core.weights import HEADER, find_record, load_tensors

    found = []
    for name in ("pixel-plain", "pixel"):
        record = find_record(name)
        tensors = load_tensors(record)
        values = {"name": name, "kind": record.kind, "description": "", "template": record.template}
        values |= {"settings": record.settings}
        found.append(save(tensors, {HEADER: json.dumps(values)}))
    return [*found, _generator()]


def _generator() -> bytes:
    from safetensors.torch import save

    from sargan_core.faces.face import Template
    from sargan_core.models.sargan.generator import Generator, GeneratorSettings
    from sargan_core.weights import HEADER

    settings = {"arch": "sargan", "width": 4, "downs": 1, "blocks": 1, "size": 32}
    tensors = Generator(GeneratorSettings(**settings)).state_dict()
    template = Template(32, "similarity", (0.3, 0.35), (0.7, 0.35), (0.5, 0.7)).to_json()
    values = {"name": "g", "kind": "generator", "description": "", "template": template, "settings": settings}
    return save(tensors, {HEADER: json.dumps(values)})


def change_weights(data: bytes, random: random.Random) -> bytes:
    """Change the header as JSON (with the record inside), or the bytes."""
    length = int.from_bytes(data[:8], "little")
    if random.random() < 0.15:
        return mutated(data[: 8 + length], random) + data[8 + length :]
    header = json.loads(data[8 : 8 + length])
    if random.random() < 0.75:
        record = mutated_json(json.loads(header["__metadata__"]["sargan"]), random)
        header["__metadata__"]["sargan"] = json.dumps(record)
    else:
        header = mutated_json(header, random, 2)
    content = json.dumps(header).encode()
    return len(content).to_bytes(8, "little") + content + data[8 + length :]


def check_weights(data: bytes, folder: Path) -> None:
    import torch

    from sargan_core.errors import UsageError, WeightsError
    from sargan_core.expressions import parse_mix
    from sargan_core.faces.face import FaceCrops
    from sargan_core.models.registry import load_model

    path = folder / "w.safetensors"
    path.write_bytes(data)
    try:
        model = load_model("", path)
    except WeightsError:
        return
    side = model.template.size
    crops = FaceCrops(torch.full((1, 3, side, side), 0.5), torch.full((1, 68, 2), torch.nan))
    try:
        edited = model.edit(crops, [parse_mix("happy")])
    except UsageError:
        return
    assert edited.image.shape == crops.image.shape
    assert bool(torch.isfinite(edited.image).all())


@cache
def indices() -> list[bytes]:
    from sargan_core.weights import INDEX, weights_folder

    return [(weights_folder() / INDEX).read_bytes()]


def check_index(data: bytes, folder: Path) -> None:
    from sargan_core.errors import WeightsError
    from sargan_core.weights import INDEX, read_index, verify

    (folder / INDEX).write_bytes(data)
    try:
        records = read_index(folder)
    except WeightsError:
        return
    for record in records:
        try:
            assert verify(record, folder).parent == folder
        except WeightsError:
            continue


@cache
def checkpoints() -> list[bytes]:
    import torch

    from sargan_core.models.sargan.generator import Generator, preset

    file = io.BytesIO()
    torch.save(Generator(preset("usgan", width=4)).state_dict(), file)
    return [file.getvalue()]


def check_checkpoint(data: bytes, folder: Path) -> None:
    from sargan_core.errors import WeightsError
    from sargan_core.models.sargan.file import import_checkpoint

    path = folder / "c.ckpt"
    path.write_bytes(data)
    with contextlib.suppress(WeightsError):
        import_checkpoint(path)
