"""From the name of a model to the model: finds its weights and builds what they are for."""

from __future__ import annotations

from pathlib import Path

from sargan_core.errors import WeightsError
from sargan_core.faces.align import Template
from sargan_core.models import aipgan_file, generator_file, pixel_file
from sargan_core.models.base import ExpressionModel
from sargan_core.models.sargan import SarganModel
from sargan_core.models.weights import find_record, load_tensors, open_weights


def load_model(
    name: str, weights: Path | None = None, device: str = "cpu", precision: str = "auto"
) -> ExpressionModel:
    """Return an expression model in evaluation mode on ``device``.

    Args:
        name: a name of ``sargan models list``; not looked at when ``weights`` is given.
        weights: a file written by ``sargan train`` or ``sargan models import``.
        device: torch device.
        precision: ``auto``, ``fp32`` or ``bf16``; the pixel model always computes in float32.

    Raises:
        WeightsError: unknown name; file missing, damaged, or not of an expression model.
    """
    if weights is not None:
        record, tensors = open_weights(weights)
    else:
        record = find_record(name)
        tensors = load_tensors(record)
    if record.template is None:
        raise WeightsError(
            f"{record.file}: '{record.name}' is not an expression model; see sargan models list"
        )
    model: ExpressionModel
    if record.kind == pixel_file.KIND:
        model = pixel_file.build_pixel(record, tensors)
    elif record.kind == generator_file.KIND:
        template = Template.from_json(record.template)
        model = SarganModel(generator_file.build_generator(record, tensors), template, precision)
    elif record.kind == aipgan_file.KIND:
        model = aipgan_file.build_aipgan(record, tensors)
    else:
        raise WeightsError(f"{record.file}: this version of sargan has no architecture '{record.kind}'")
    model.name = record.name
    return model.to(device).eval()
