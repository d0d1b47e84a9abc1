"""Pixel models on disk: safetensors in half precision with their record, loaded strictly."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from sargan_core.errors import WeightsError
from sargan_core.faces.face import Template
from sargan_core.models.pixel.model import CURVE, PixelModel, PixelSettings
from sargan_core.weights import WeightsRecord, save_weights

KIND = "pixel"
# What each form needs; landmarks and their regression stay in single precision, half is too coarse for them.
TENSORS = {
    "plain": ("weight", "bias"),
    "kernel": ("curves",),
    "displaced": ("flow", "weight", "bias", "inside", "goals", "eye_white", "rest", "rest_noise"),
}
# One for the model, not one an expression.
SHARED = ("eye_white", "rest", "rest_noise")
SINGLE = ("goals", *SHARED)


def save_pixel(model: PixelModel, path: Path, *, name: str = "", data: str = "") -> WeightsRecord:
    """Write a pixel model with its settings and template; return the record for the index.

    Args:
        model: the fitted model.
        path: a ``.safetensors`` file.
        name: name on the command line; empty = the file's name.
        data: what it was trained on, with licence and attribution.
    """
    tensors = {
        key: model.get_buffer(key).detach().cpu().to(torch.float32 if key in SINGLE else torch.float16)
        for key in TENSORS[model.settings.form]
    }
    return save_weights(
        path,
        tensors,
        kind=KIND,
        name=name,
        description=f"pixel model, {model.settings.form} form, {model.template.size} px",
        template=model.template,
        settings=model.settings.to_json(),
        data=data,
    )


def build_pixel(record: WeightsRecord, tensors: dict[str, Tensor]) -> PixelModel:
    """Return the pixel model of a record.

    Raises:
        WeightsError: settings or tensors are not those of a pixel model.
    """
    try:
        settings = PixelSettings.from_json(record.settings)
        template = Template.from_json(record.template or {})
        wanted = TENSORS[settings.form]
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{record.file}: settings not understood ({error}); train it again") from error
    if set(tensors) != set(wanted):
        raise WeightsError(
            f"{record.file}: a pixel model of form {settings.form} holds {', '.join(wanted)}, "
            f"this file holds {', '.join(sorted(tensors))}; train it again"
        )
    if settings.form == "displaced" and template.shape is None:
        raise WeightsError(
            f"{record.file}: moves a face, but has no landmarks to align it by; train it again"
        )
    odd = [name for name, tensor in tensors.items() if not _fits(name, tensor, settings, template)]
    if odd:
        raise WeightsError(
            f"{record.file}: tensors do not match the {len(settings.expressions)} expressions or the "
            f"{template.size} px: {', '.join(odd)}; train it again"
        )
    return PixelModel(settings, template, tensors)


def _fits(name: str, tensor: Tensor, settings: PixelSettings, template: Template) -> bool:
    """Return whether a tensor has the shape that ``PixelModel`` names for it; 0 stands for any length."""
    expressions, side = len(settings.expressions), template.size
    wanted: dict[str, tuple[tuple[int, ...], ...]] = {
        "curves": tuple((expressions, channels, CURVE, side, side) for channels in (1, 3)),
        "flow": ((expressions, 2, 0, 0),),
        "goals": ((expressions, 68, 2),),
        "eye_white": ((3,),),
        "rest": ((137, 136),),
        "rest_noise": ((),),
    }
    pictures = tuple((expressions, channels, side, side) for channels in (1, 3))
    return any(
        tensor.ndim == len(shape) and all(b in (0, a) for a, b in zip(tensor.shape, shape, strict=True))
        for shape in wanted.get(name, pictures)
    )
