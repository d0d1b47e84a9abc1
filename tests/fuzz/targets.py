"""What is fuzzed: each target takes a random generator and gives bytes, and a check of what is made of them.

A check passes when the input is accepted or refused with an error of this project, and neither hangs, nor writes to
the process's standard error, nor leaves anything behind. It raises whatever else happens.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from mutation import mutated, mutated_json, with_checksums
from PIL import Image

Check = Callable[[bytes, Path], None]
MOST_PIXELS = 1_000_000


@dataclass(frozen=True)
class Target:
    """One kind of input.

    Attributes:
        seeds: good inputs, made when asked for.
        check: reads an input; the path is a folder for files.
        change: makes an input from a seed.
    """

    seeds: Callable[[], list[bytes]]
    check: Check
    change: Callable[[bytes, random.Random], bytes] = field(default=mutated)


@cache
def photos() -> list[bytes]:
    from photo_samples import SAMPLES, noise, pillow, png, png_chunk, rgb_profile

    small = [sample.data for sample in SAMPLES if len(sample.data) < 9000]
    block = Image.Exif()
    block[0x0112], block[0x010F] = 6, "Camera"
    face = np.full((9, 11, 3), 90, np.uint8)
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'
    more = {"exif": block.tobytes(), "icc_profile": rgb_profile(2.2)}
    small += [pillow(face, kind, **more, xmp=xmp) for kind in ("JPEG", "WEBP", "AVIF")]
    small += [pillow(face, kind, **more) for kind in ("TIFF", "PNG")]
    chunks = [
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
        png_chunk(b"eXIf", block.tobytes()),
        png_chunk(b"pHYs", bytes(9)),
        png_chunk(b"gAMA", bytes(4)),
        png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"text")),
        png_chunk(b"caBX", b"jumb"),
    ]
    return [
        *small,
        png(noise(9, 11, 3), 2, 8, *chunks),
        png(noise(9, 11, 4, dtype=np.uint16), 6, 16, *chunks),
    ]


def change_photo(data: bytes, random: random.Random) -> bytes:
    out = mutated(data, random)
    return with_checksums(out) if random.random() < 0.8 else out


def check_photo(data: bytes, folder: Path) -> None:
    from sargan_core import __version__
    from sargan_core.errors import PhotoError
    from sargan_core.photo import encode_photo, read_photo
    from sargan_core.provenance import Provenance

    try:
        photo = read_photo(data, max_pixels=MOST_PIXELS)
    except PhotoError:
        return
    assert photo.pixels.ndim == 3
    assert photo.pixels.shape[2] == 3
    assert photo.width * photo.height <= MOST_PIXELS
    try:
        written = encode_photo(photo, provenance=Provenance("pixel", "happy", 1.0, __version__))
    except PhotoError:
        return
    again = read_photo(written, max_pixels=MOST_PIXELS)
    assert again.pixels.shape == photo.pixels.shape


@cache
def weights() -> list[bytes]:
    from safetensors.torch import save

    from sargan_core.models.weights import HEADER, find_record, load_tensors

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

    from sargan_core.faces.align import Template
    from sargan_core.models.sargan import Generator, GeneratorSettings
    from sargan_core.models.weights import HEADER

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
    from sargan_core.models.base import FaceCrops
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
    from sargan_core.models.weights import INDEX, weights_folder

    return [(weights_folder() / INDEX).read_bytes()]


def change_json(data: bytes, random: random.Random) -> bytes:
    if random.random() < 0.2:
        return mutated(data, random)
    if random.random() < 0.03:
        return b"[" * 200_000
    return json.dumps(mutated_json(json.loads(data), random)).encode()


def check_index(data: bytes, folder: Path) -> None:
    from sargan_core.errors import WeightsError
    from sargan_core.models.weights import INDEX, read_index, verify

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


def lists() -> list[bytes]:
    return [
        b"path,person,expression,take\na.jpg,anna,happy,1\nb.jpg,anna,neutral,\n../c.jpg,bob,AF,2\n",
        b'\xef\xbb\xbfpath;person;expression\r\n"a.jpg";anna;sad\r\n',
        b"expression\tpath\tperson\nHA\t/etc/passwd\tx\n",
    ]


def change_list(data: bytes, random: random.Random) -> bytes:
    out = mutated(data, random, 8)
    if random.random() < 0.1:
        out += b'"' + b"x" * random.choice((10, 200_000)) + b"\0\n"
    if random.random() < 0.1:
        out = out.replace(b"a.jpg", random.choice((b"n" * 300, b"a\0b", b"../../a", b"/", b".", b"~")))
    return out


def check_list(data: bytes, folder: Path) -> None:
    from sargan_core.data.sources import read_sources
    from sargan_core.errors import DataError

    (folder / "a.jpg").write_bytes(b"x")
    path = folder / "list.csv"
    path.write_bytes(data)
    try:
        found = read_sources([folder])
    except DataError:
        return
    for sample in found.samples:
        assert sample.path.resolve().is_relative_to(folder.resolve())


def manifests() -> list[bytes]:
    face = {
        "number": 1,
        "box": [1.0, 2.0, 30.0, 40.0],
        "points": [[1.0, 2.0]] * 5,
        "seam": 0.1,
        "change": 0.2,
    }
    entry = {
        "format": 1, "input": "../in/a.jpg", "input_sha256": "0" * 64, "output": "a-happy.jpg",
        "options_sha256": "1" * 64, "model": "pixel", "expression": "happy", "strength": 1.0, "outcome": "done",
        "message": "", "faces": [{**face, "warnings": ["small"]}], "seam": 0.1, "seconds": {"read": 0.1},
        "finished": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    line = json.dumps(entry).encode() + b"\n"
    return [line, line * 3, line + line[:40]]


def change_lines(data: bytes, random: random.Random) -> bytes:
    if random.random() < 0.3:
        return mutated(data, random)
    lines = data.splitlines()
    number = random.randrange(len(lines))
    try:
        lines[number] = change_json(lines[number], random)
    except ValueError:
        lines[number] = mutated(lines[number], random)
    return b"\n".join(lines) + b"\n"


def check_manifest(data: bytes, folder: Path) -> None:
    from sargan_core.batch.manifest import manifest_path, read_manifest
    from sargan_core.batch.report import write_report
    from sargan_core.errors import DataError, SarganError

    path = manifest_path(folder)
    path.write_bytes(data)
    try:
        entries = read_manifest(path)
    except DataError:
        return
    for output in entries:
        inside = (folder / output).resolve().is_relative_to(folder.resolve())
        assert inside, output
    try:
        write_report(path, folder / "report.html")
    except SarganError:
        return
    assert "<script>alert(1)" not in (folder / "report.html").read_text(encoding="utf-8")


@cache
def run_files() -> list[bytes]:
    from dataclasses import asdict

    from sargan_core.training.loop import LoopSettings
    from sargan_core.training.recipes import SarganTraining
    from sargan_core.training.session import RunOptions

    options = json.dumps(asdict(RunOptions(("photos",), SarganTraining(), LoopSettings())), default=str)
    split = {"format": "sargan-split", "version": 1, "train": ["a-1"], "test": ["a-2"], "test_fraction": 0.2}
    return [options.encode(), json.dumps(split).encode()]


def check_run_file(data: bytes, folder: Path) -> None:
    from sargan_core.data.split import read_split
    from sargan_core.errors import DataError, TrainingError
    from sargan_core.training.session import read_options

    for name in ("options.json", "split.json"):
        (folder / name).write_bytes(data)
    with contextlib.suppress(TrainingError):
        read_options(folder)
    with contextlib.suppress(DataError):
        read_split(folder / "split.json")


@cache
def checkpoints() -> list[bytes]:
    import torch

    from sargan_core.models.sargan import Generator, preset

    file = io.BytesIO()
    torch.save(Generator(preset("usgan", width=4)).state_dict(), file)
    return [file.getvalue()]


def check_checkpoint(data: bytes, folder: Path) -> None:
    from sargan_core.errors import WeightsError
    from sargan_core.models.checkpoint_import import import_checkpoint

    path = folder / "c.ckpt"
    path.write_bytes(data)
    with contextlib.suppress(WeightsError):
        import_checkpoint(path)


def judges() -> list[bytes]:
    return [
        b'kind = "expression"\nfile = "judge.onnx"\nsize = 64\nlabels = ["happy", "sad"]\nleft_eye = [0.3, 0.4]\n',
        b'kind = "identity"\nfile = "/etc/passwd"\nsize = 112\nmean = [0.5, 0.5, 0.5]\nscale = 255\n',
    ]


def check_judge(data: bytes, folder: Path) -> None:
    from sargan_core.errors import DataError, UsageError
    from sargan_core.evaluation.judges import read_judge

    path = folder / "judge.toml"
    path.write_bytes(data)
    with contextlib.suppress(DataError, UsageError):
        read_judge(path)


def expressions() -> list[bytes]:
    return [b"happy:0.6,surprised:0.4", b"HA", b"joy:1e3", b"neutral:-0"]


def check_expression(data: bytes, folder: Path) -> None:
    from sargan_core.errors import UsageError
    from sargan_core.expressions import parse_mix

    try:
        mix = parse_mix(data.decode("utf-8", "surrogateescape"))
    except UsageError:
        return
    assert all(np.isfinite(weight) and weight >= 0 for _, weight in mix.parts)
    assert str(parse_mix(str(mix))) == str(mix)
    assert "/" not in mix.slug


TARGETS: dict[str, Target] = {
    "photos": Target(photos, check_photo, change_photo),
    "weights": Target(weights, check_weights, change_weights),
    "index": Target(indices, check_index, change_json),
    "lists": Target(lists, check_list, change_list),
    "manifests": Target(manifests, check_manifest, change_lines),
    "run-files": Target(run_files, check_run_file, change_json),
    "checkpoints": Target(checkpoints, check_checkpoint),
    "judges": Target(judges, check_judge),
    "expressions": Target(expressions, check_expression),
}


def inputs(target: Target, seed: int, runs: int) -> Iterator[bytes]:
    """``runs`` inputs of a target; the same for the same seed."""
    seeds = target.seeds()
    for number in range(runs):
        source = random.Random(seed * 1_000_003 + number)
        yield target.change(source.choice(seeds), source)
