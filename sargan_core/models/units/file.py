"""The units model on disk: encoder, face model, appearance and what else it knows, in one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sargan_core.errors import WeightsError
from sargan_core.expressions import LABELS
from sargan_core.models.aipgan.parts import Shading
from sargan_core.models.state import check_fit, halved, without
from sargan_core.models.units.face_model import FaceModel
from sargan_core.models.units.model import TEMPLATE, Knowledge, UnitsModel
from sargan_core.models.units.movement import Appearance, Head
from sargan_core.models.units.network import UnitEncoder
from sargan_core.photo.files import some_names
from sargan_core.units import CODE_NAMES
from sargan_core.weights import WeightsRecord, save_weights

KIND = "units"
# Counters of batch normalisation serve training only.
LEFT_OUT = ("num_batches_tracked",)
# Widths of the encoder that a file may ask for.
WIDTHS = range(8, 129)
# Shapes of the other tensors; lengths with a name may be any, but the same everywhere.
SHAPES: dict[str, tuple[str | int, ...]] = {
    "head.mean": ("vertices", 3),
    "head.modes": ("modes", "vertices", 3),
    "head.offsets": (len(CODE_NAMES), "vertices", 3),
    "head.triangles": ("triangles", 3),
    "head.landmarks": (68,),
    "head.habits": ("habits", 68, 3),
    "head.skin": ("triangles",),
    "appearance.basis": ("ways", 136),
    "appearance.pictures": ("ways", 1, "shade", "shade"),
    "appearance.places": ("vertices", 2),
    "appearance.scale": (2,),
    "knowledge.spread": (len(CODE_NAMES),),
    "knowledge.gain": (len(CODE_NAMES),),
    "knowledge.posed": (len(LABELS), len(CODE_NAMES)),
}
# Upper bound of each of these lengths.
LARGEST_LENGTH = 30_000


def save_units(model: UnitsModel, path: Path, *, name: str = "", data: str = "") -> WeightsRecord:
    """Write a model; return the record for the index.

    Args:
        model: the trained model.
        path: a ``.safetensors`` file.
        name: name on the command line; empty = the file's name.
        data: what it was trained on, with licence and attribution.
    """
    face, appearance = model.head.model, model.head.appearance
    tensors = {
        # Half precision would move landmarks by a tenth of a pixel; for displacements and modes it is fine.
        "head.mean": torch.from_numpy(face.mean).float(),
        "head.modes": torch.from_numpy(face.modes).half(),
        "head.offsets": torch.from_numpy(face.offsets).half(),
        "head.triangles": torch.from_numpy(face.triangles).to(torch.int16),
        "head.landmarks": torch.from_numpy(face.landmarks).to(torch.int16),
        "head.habits": torch.from_numpy(face.habits).float(),
        "head.skin": torch.from_numpy(model.head.skin),
        "appearance.basis": appearance.shading.get_buffer("basis").half(),
        "appearance.pictures": appearance.shading.get_buffer("pictures").half(),
        "appearance.places": torch.from_numpy(appearance.places).float(),
        "appearance.scale": torch.from_numpy(appearance.scale).float(),
        "knowledge.spread": torch.from_numpy(model.knowledge.spread).float(),
        "knowledge.gain": torch.from_numpy(model.knowledge.gain).float(),
        "knowledge.posed": torch.from_numpy(model.knowledge.posed).float(),
    }
    encoder = halved(without(model.encoder.state_dict(), LEFT_OUT))
    return save_weights(
        path,
        {**tensors, **{f"encoder.{key}": value for key, value in encoder.items()}},
        kind=KIND,
        name=name,
        description="expressions as codes of 54 face units, from a photo or by name, on a 3-D face model",
        template=TEMPLATE,
        settings={"width": model.encoder.width},
        data=data,
    )


def build_units(record: WeightsRecord, tensors: Mapping[str, Tensor]) -> UnitsModel:
    """Return the model of a record.

    Raises:
        WeightsError: tensors are missing, unexpected, of another shape or hold what no face has.
    """
    width = record.settings.get("width")
    if not isinstance(width, int) or width not in WIDTHS:
        raise WeightsError(f"{record.file}: an encoder of width {width!r} cannot be used; train it again")
    parts = {name: tensor for name, tensor in tensors.items() if not name.startswith("encoder.")}
    state = {
        name.removeprefix("encoder."): tensor
        for name, tensor in tensors.items()
        if name.startswith("encoder.")
    }
    with torch.device("meta"):
        check_fit(UnitEncoder(width), state, record.file, "the encoder", LEFT_OUT)
    wrong = _misshapen(parts)
    if wrong:
        raise WeightsError(
            f"{record.file}: tensors missing, unexpected or of another shape: {some_names(sorted(wrong))}"
        )
    arrays = {name: tensor.double().numpy() for name, tensor in parts.items()}
    face = FaceModel(
        arrays["head.mean"],
        arrays["head.modes"],
        arrays["head.offsets"],
        arrays["head.triangles"].astype(np.int64),
        arrays["head.landmarks"].astype(np.int64),
        arrays["head.habits"],
    )
    numbers = np.concatenate([face.triangles.ravel(), face.landmarks])
    if numbers.min() < 0 or numbers.max() >= len(face.mean):
        raise WeightsError(f"{record.file}: names vertices that it does not have; train it again")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise WeightsError(f"{record.file}: holds numbers that are not finite; train it again")
    encoder = UnitEncoder(width)
    encoder.load_state_dict({name: tensor.float() for name, tensor in state.items()}, strict=False)
    shading = Shading(parts["appearance.basis"], parts["appearance.pictures"])
    appearance = Appearance(shading, arrays["appearance.places"], arrays["appearance.scale"])
    return UnitsModel(
        encoder,
        Head(face, arrays["head.skin"] > 0, appearance),
        Knowledge(*(arrays[f"knowledge.{name}"] for name in ("spread", "gain", "posed"))),
    )


def _misshapen(parts: Mapping[str, Tensor]) -> list[str]:
    """Return the names of tensors that are missing, unexpected, or whose lengths do not go together."""
    wrong = sorted(SHAPES.keys() ^ parts.keys())
    lengths: dict[str, int] = {}
    for name in SHAPES.keys() & parts.keys():
        shape, wanted = parts[name].shape, SHAPES[name]
        fits = len(shape) == len(wanted) and all(0 < length <= LARGEST_LENGTH for length in shape)
        for length, known in zip(shape, wanted, strict=False):
            fits = fits and length == (lengths.setdefault(known, length) if isinstance(known, str) else known)
        if not fits:
            wrong.append(name)
    return wrong
