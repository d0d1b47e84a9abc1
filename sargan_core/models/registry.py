"""From the name of a model to the model: finds its weights and builds what they are for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from sargan_core.device import choose_precision
from sargan_core.errors import WeightsError
from sargan_core.faces.face import Template
from sargan_core.models.aipgan import model as aipgan_file
from sargan_core.models.base import ExpressionModel
from sargan_core.models.judge.network import KIND as JUDGE
from sargan_core.models.layers import lay_out
from sargan_core.models.pixel import file as pixel_file
from sargan_core.models.pixel.model import PixelModel
from sargan_core.models.sargan import file as generator_file
from sargan_core.models.sargan.model import RefinedModel, SarganModel
from sargan_core.models.units import file as units_file
from sargan_core.weights import WeightsRecord, find_record, load_tensors, open_weights

# Sides of a crop and kinds of fit that an alignment may have.
SIDES = range(16, 1025)
KINDS = ("similarity", "affine", "spline")


def load_model(
    name: str, weights: Path | None = None, device: str = "cpu", precision: str = "auto"
) -> ExpressionModel:
    """Return an expression model in evaluation mode on ``device``.

    Args:
        name: a name of ``sargan models list``; not looked at when ``weights`` is given.
        weights: a file written by ``sargan train`` or ``sargan models import``.
        device: torch device.
        precision: ``auto``, ``fp32`` or ``bf16``, see ``used_precision``.

    Raises:
        UsageError: unknown precision.
        WeightsError: unknown name; file missing, damaged, or not of an expression model.
    """
    if weights is not None:
        record, tensors = open_weights(weights)
    else:
        record = find_record(name)
        tensors = load_tensors(record)
    if record.template is None or record.kind == JUDGE:
        raise WeightsError(
            f"{record.file}: '{record.name}' is not an expression model; see sargan models list"
        )
    try:
        model = _build(record, tensors, _precision_of(record, precision, device))
    except (LookupError, TypeError, ValueError, RuntimeError, OverflowError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{record.file}: cannot be built ({reason}); train or import it again") from error
    model.name = record.name
    model.to(device)
    if device != "cpu":
        lay_out(model, device)
    return model.eval()


def used_precision(name: str, weights: Path | None, device: str, precision: str) -> str:
    """Return what a model computes in, ``fp32`` or ``bf16``: only generators know another format than float32.

    Args: as for ``load_model``; a file of weights is read only where it matters.

    Raises:
        WeightsError: unknown name; file missing or damaged.
        UsageError: unknown precision.
    """
    if choose_precision(precision, device) == "fp32":
        return "fp32"
    record = find_record(name) if weights is None else open_weights(weights)[0]
    return _precision_of(record, precision, device)


def _precision_of(record: WeightsRecord, precision: str, device: str) -> str:
    chosen = choose_precision(precision, device)
    return chosen if record.kind in (generator_file.KIND, generator_file.REFINER) else "fp32"


def _build(record: WeightsRecord, tensors: dict[str, Tensor], precision: str) -> ExpressionModel:
    template = _template(record)
    if record.kind == pixel_file.KIND:
        return pixel_file.build_pixel(record, tensors)
    if record.kind == generator_file.KIND:
        return SarganModel(generator_file.build_generator(record, tensors), template, precision)
    if record.kind == generator_file.REFINER:
        base = _load_base(record, template=template)
        return RefinedModel(base, generator_file.build_generator(record, tensors), precision)
    if record.kind == aipgan_file.KIND:
        return aipgan_file.build_aipgan(record, tensors)
    if record.kind == units_file.KIND:
        return units_file.build_units(record, tensors)
    raise WeightsError(f"{record.file}: this version of sargan has no architecture '{record.kind}'")


def _template(record: WeightsRecord) -> Template:
    """Return the record's alignment.

    Raises:
        ValueError: one that no face could be put on.
    """
    return check_template(Template.from_json(record.template or {}))


def check_template(template: Template) -> Template:
    """Return an alignment that a file brought along.

    Raises:
        ValueError: one that no face could be put on.
    """
    known = template.size in SIDES and template.kind in KINDS
    points = 0 if template.shape is None else len(template.shape)
    area = abs(np.linalg.det(np.insert(template.pixels(), 2, 1, axis=1)))
    bare = template.kind == "spline" and not points
    if not known or points not in (0, 68) or bare or not area > 1:
        raise ValueError("an alignment that no face can be put on")
    return template


def _load_base(record: WeightsRecord, template: Template) -> PixelModel:
    """Return the shipped model whose picture a refiner refines.

    Raises:
        WeightsError: it is missing or damaged, or is not the model that the refiner was trained on.
    """
    name = str(record.settings.get("base", ""))
    try:
        base = load_model(name)
    except WeightsError as error:
        raise WeightsError(
            f"{record.file}: refines the model '{name}', which cannot be loaded: {error}"
        ) from error
    if not isinstance(base, PixelModel) or base.template != template:
        raise WeightsError(
            f"{record.file}: was trained on another model '{name}' than the one here; train it again with --refine"
        )
    return base
