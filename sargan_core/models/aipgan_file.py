"""Expression transfer on disk: safetensors in half precision with their record, loaded strictly."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from sargan_core.errors import WeightsError
from sargan_core.faces.align import Template
from sargan_core.models.aipgan import AipganNetwork
from sargan_core.models.aipgan_model import FORMS, AipganModel, TransferSettings
from sargan_core.models.lids import LidsNetwork
from sargan_core.models.neutral import NeutralNetwork
from sargan_core.models.shading import Shading
from sargan_core.models.weights import WeightsRecord, save_weights

KIND = "aipgan"
# Counters of batch normalisation that serve training only, and heads that only training reads.
LEFT_OUT = ("num_batches_tracked", "network.landmarks.", "network.intrinsic.")


def save_aipgan(
    model: AipganModel,
    path: Path,
    *,
    name: str = "",
    description: str = "",
    data: str = "",
    weights_licence: str = "CC BY 4.0",
) -> WeightsRecord:
    """Write a model with its settings and template; return the record for the index.

    Args:
        model: the trained model.
        path: a ``.safetensors`` file.
        name: name on the command line; empty = the file's name.
        description: one line for people.
        data: what it was trained on, with licence and attribution.
        weights_licence: licence of the numbers.
    """
    tensors = {
        key: value.detach().to("cpu", torch.float16, memory_format=torch.contiguous_format)
        for key, value in model.state_dict().items()
        if not any(part in key for part in LEFT_OUT)
    }
    record = WeightsRecord(
        name=name or path.stem,
        file=path.name,
        kind=KIND,
        sha256="",
        bytes=0,
        description=description or f"expression of one photo on another face, {model.settings.form} form",
        template=model.template.to_json(),
        settings=model.settings.to_json(),
        weights_licence=weights_licence,
        data=data,
    )
    return save_weights(path, tensors, record)


def build_aipgan(record: WeightsRecord, tensors: dict[str, Tensor]) -> AipganModel:
    """Return the model of a record with its weights in float32.

    Raises:
        WeightsError: settings or tensors are not those of such a model.
    """
    try:
        settings = TransferSettings.from_json(record.settings)
        template = Template.from_json(record.template or {})
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{record.file}: settings not understood ({error}); train it again") from error
    if settings.form not in FORMS or (settings.form == "painted" and settings.network is None):
        raise WeightsError(f"{record.file}: no form '{settings.form}' of this model; train it again")
    # Compared without memory first: settings may ask for any size, tensors are no larger than their file.
    with torch.device("meta"):
        _check_fit(_parts(settings, template, tensors), tensors, record.file)
    model = _parts(settings, template, tensors)
    load_parts(model, tensors, record.file)
    return model


def _parts(settings: TransferSettings, template: Template, tensors: dict[str, Tensor]) -> AipganModel:
    shading = None
    if "shading.basis" in tensors and "shading.pictures" in tensors:
        shading = Shading(tensors["shading.basis"], tensors["shading.pictures"])
    network = AipganNetwork(settings.network) if settings.network else None
    return AipganModel(settings, template, NeutralNetwork(), LidsNetwork(), shading, network)


def load_parts(model: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Load ``tensors`` into a model, strictly but for what is never stored.

    Raises:
        WeightsError: missing, unexpected or differently shaped tensors.
    """
    _check_fit(model, tensors, source)
    model.load_state_dict({key: value.float() for key, value in tensors.items()}, strict=False)


def _check_fit(model: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    own = {key: value for key, value in model.state_dict().items() if not any(p in key for p in LEFT_OUT)}
    wrong = sorted(own.keys() ^ tensors.keys())
    wrong += sorted(key for key in own.keys() & tensors.keys() if own[key].shape != tensors[key].shape)
    if wrong:
        raise WeightsError(
            f"{source}: tensors missing, unexpected or of another shape: {', '.join(wrong[:6])}"
        )
