"""Weights of strangers: what could not be edited with, or only in endless memory, is refused when it is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from limits import bounded
from safetensors.torch import save

from sargan_core.errors import WeightsError
from sargan_core.expressions import parse_mix
from sargan_core.faces.face import FaceCrops, Template
from sargan_core.models.aipgan.model import HALVINGS
from sargan_core.models.registry import load_model
from sargan_core.models.sargan.generator import Generator, GeneratorSettings
from sargan_core.models.state import check_size
from sargan_core.weights import HEADER, LARGEST_FILE, find_record, load_tensors

POINTS = ((0.3, 0.35), (0.7, 0.35), (0.5, 0.7))


def weights(path: Path, tensors: dict[str, torch.Tensor], **record: object) -> Path:
    values = {"name": "g", "kind": "generator", "description": "", **record}
    path.write_bytes(
        save({name: tensor.half() for name, tensor in tensors.items()}, {HEADER: json.dumps(values)})
    )
    return path


def generator(path: Path, side: int, size: int | None = None, **settings: object) -> Path:
    known = {"arch": "x", "width": 4, "downs": 1, "blocks": 1, "size": size or side, **settings}
    tensors = Generator(GeneratorSettings(**known)).state_dict()
    template = Template(side, "similarity", *POINTS).to_json()
    return weights(path, tensors, template=template, settings=known)


def edits(path: Path) -> bool:
    model = load_model("", path)
    side = model.template.size
    crops = FaceCrops(torch.rand(1, 3, side, side), torch.full((1, 68, 2), torch.nan))
    image = model.edit(crops, [parse_mix("surprised")]).image
    return image.shape == crops.image.shape and bool(image.isfinite().all())


def runs(side: int, **settings: object) -> bool:
    """Whether a network of these settings answers a crop with a crop."""
    network, crop = Generator(GeneratorSettings(width=4, **settings)), torch.zeros(1, 3, side, side)
    try:
        with torch.inference_mode():
            return network(crop, torch.eye(7)[:1]).shape == crop.shape
    except (RuntimeError, ValueError):
        return False


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("downs", [0, 1, 2, 3])
def test_what_can_be_loaded_can_edit(tmp_path: Path, attention: bool, downs: int):
    for side in (16, 18, 20, 24, 32, 36, 40, 63):
        file = generator(tmp_path / "g.safetensors", side, downs=downs, attention=attention)
        if runs(side, downs=downs, attention=attention):
            assert edits(file)
            continue
        with pytest.raises(WeightsError, match=f"crops of {side} px cannot be halved {downs} times"):
            load_model("", file)


@pytest.mark.parametrize("labels", [1, 6, 7, 8])
def test_a_network_knows_all_seven_expressions(tmp_path: Path, labels: int):
    file = generator(tmp_path / "g.safetensors", 32, labels=labels)
    if labels >= 7:
        assert edits(file)
        return
    with pytest.raises(WeightsError, match=f"made for {labels} expressions"):
        load_model("", file)


def test_a_wide_network_on_large_crops_is_refused(tmp_path: Path):
    # 1.4 MB on the disk, and 4 GB for each of its layers.
    file = generator(tmp_path / "g.safetensors", 1024, width=1000, downs=0, blocks=0)
    with bounded(), pytest.raises(WeightsError, match="too large a network"):
        load_model("", file)
    network = Generator(GeneratorSettings(width=4))
    check_size(network, 128, channels=4, halvings=2)
    with pytest.raises(ValueError, match="too large a network"):
        check_size(torch.nn.Linear(2**12, 2**12), 1024, channels=1, halvings=0)


def test_a_refiner_sees_a_part_of_its_base(tmp_path: Path):
    base = find_record("pixel")
    settings = {"arch": "x", "width": 4, "downs": 1, "blocks": 1}
    for changes in ({"size": base.template["size"] + 2}, {"size": 63}, {"size": 64, "labels": 8}):
        known = {**settings, **changes}
        tensors = Generator(GeneratorSettings(**known)).state_dict()
        file = weights(
            tmp_path / "r.safetensors",
            tensors,
            kind="refiner",
            template=base.template,
            settings={**known, "base": "pixel"},
        )
        with pytest.raises(WeightsError, match="crops of"):
            load_model("", file)


def test_a_transfer_network_of_another_size_is_refused(tmp_path: Path):
    record = find_record("aipgan")
    network = record.settings["network"]
    assert network["size"] % 2**HALVINGS == 0
    file = tmp_path / "a.safetensors"
    tensors = load_tensors(record)
    for changed in (network["size"] + 8, 2048, 16, 8):
        settings = {**record.settings, "network": {**network, "size": changed}}
        weights(file, tensors, kind="aipgan", template=record.template, settings=settings)
        with pytest.raises(WeightsError, match=f"crops of {changed} px"):
            load_model("", file)


def test_shading_of_another_shape_is_refused(tmp_path: Path):
    record, file = find_record("aipgan"), tmp_path / "a.safetensors"
    tensors = load_tensors(record)
    tensors["shading.basis"] = tensors["shading.basis"][:, :100].contiguous()
    weights(file, tensors, kind="aipgan", template=record.template, settings=record.settings)
    with pytest.raises(WeightsError, match="shading of another shape"):
        load_model("", file)


def test_a_model_that_moves_faces_needs_landmarks(tmp_path: Path):
    record, file = find_record("pixel"), tmp_path / "p.safetensors"
    for template in (
        {**record.template, "shape": None},
        {**record.template, "shape": None, "kind": "affine"},
    ):
        weights(file, load_tensors(record), kind="pixel", template=template, settings=record.settings)
        with pytest.raises(WeightsError, match=r"p\.safetensors"):
            load_model("", file)


@pytest.mark.parametrize("length", [2**22 + 8, 2**27, 2**62])
def test_a_long_header_is_not_parsed(tmp_path: Path, length: int):
    file = tmp_path / "h.safetensors"
    file.write_bytes(length.to_bytes(8, "little") + b'{"' + b"[" * 2**23)
    with bounded(), pytest.raises(WeightsError, match="header"):
        load_model("", file)


def test_a_huge_file_is_not_read(tmp_path: Path):
    file = tmp_path / "h.safetensors"
    with file.open("wb") as stream:
        stream.truncate(LARGEST_FILE + 1)
    with bounded(megabytes=100), pytest.raises(WeightsError, match="larger than"):
        load_model("", file)


def test_a_message_does_not_list_thousands_of_tensors(tmp_path: Path):
    file = generator(tmp_path / "g.safetensors", 32)
    tensors = {f"{'x' * 200}{index}": torch.zeros(1) for index in range(2000)}
    template = Template(32, "similarity", *POINTS).to_json()
    weights(file, tensors, template=template, settings={"width": 4})
    with pytest.raises(WeightsError) as refused:
        load_model("", file)
    assert len(str(refused.value)) < 3000
