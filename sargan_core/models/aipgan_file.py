"""Expression transfer on disk: safetensors in half precision with their record, loaded strictly."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from sargan_core.errors import WeightsError
from sargan_core.faces.align import Template
from sargan_core.models.aipgan import AipganNetwork
from sargan_core.models.aipgan_model import FORMS, AipganModel, TransferSettings
from sargan_core.models.lids import LidsNetwork
from sargan_core.models.neutral import NeutralNetwork
from sargan_core.models.shading import Shading
from sargan_core.models.state import halved, misfits, without
from sargan_core.models.weights import WeightsRecord, save_weights

KIND = "aipgan"
# Counters of batch normalisation that serve training only, and heads that only training reads.
LEFT_OUT = ("num_batches_tracked", "network.landmarks.", "network.intrinsic.")


def save_aipgan(model: AipganModel, path: Path, *, name: str = "", data: str = "") -> WeightsRecord:
    """Write a model with its settings and template; return the record for the index.

    Args:
        model: the trained model.
        path: a ``.safetensors`` file.
        name: name on the command line; empty = the file's name.
        data: what it was trained on, with licence and attribution.
    """
    return save_weights(
        path,
        halved(without(model.state_dict(), LEFT_OUT)),
        kind=KIND,
        name=name,
        description=f"expression of one photo on another face, {model.settings.form} form",
        template=model.template,
        settings=model.settings.to_json(),
        data=data,
    )


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
        found = misfits(_parts(settings, template, tensors), tensors, LEFT_OUT)
    wrong = [*sorted(found["missing"] + found["unexpected"]), *found["of another shape"]]
    if wrong:
        raise WeightsError(
            f"{record.file}: tensors missing, unexpected or of another shape: {', '.join(wrong[:6])}"
        )
    model = _parts(settings, template, tensors)
    # Not strict: what is left out of the file is not there to be loaded.
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, strict=False)
    return model


def _parts(settings: TransferSettings, template: Template, tensors: dict[str, Tensor]) -> AipganModel:
    shading = None
    if "shading.basis" in tensors and "shading.pictures" in tensors:
        shading = Shading(tensors["shading.basis"], tensors["shading.pictures"])
    network = AipganNetwork(settings.network) if settings.network else None
    return AipganModel(settings, template, NeutralNetwork(), LidsNetwork(), shading, network)
