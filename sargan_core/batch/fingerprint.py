"""What decides how a result looks, as one checksum; a result with another one is done again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from sargan_core.batch.engine import BatchSettings
from sargan_core.batch.plan import Like, Variant
from sargan_core.errors import WeightsError
from sargan_core.files import shown
from sargan_core.models.weights import checksum, find_record

if TYPE_CHECKING:
    from sargan_core.editor import EditSettings


def options_sha256(variants: tuple[Variant, ...], settings: BatchSettings) -> dict[Variant, str]:
    """Return the checksum of each variant's options.

    The weights count by their content. What only says where and how fast things are computed does not count (device,
    workers, batch size), nor does the version of sargan: a newer one does not do everything again by itself.

    Raises:
        WeightsError: the weights are unknown or missing.
    """
    common = {
        "weights": _weights_sha256(settings.edit),
        "points": find_record("landmarks").sha256,
        "faces": settings.edit.faces,
        "landmarks": "builtin" if settings.edit.landmarks == "auto" else settings.edit.landmarks,
        "precision": settings.edit.precision,
        "metadata": settings.metadata,
        "provenance": settings.provenance,
    }
    return {variant: _checksum({**common, **_of_variant(variant)}) for variant in variants}


def _of_variant(variant: Variant) -> dict[str, object]:
    mix = variant.mix
    if isinstance(mix, Like):
        return {"like": mix.sha256, "face": mix.face, "strength": variant.strength}
    return {"expression": [[str(name), weight] for name, weight in mix.parts], "strength": variant.strength}


def _weights_sha256(edit: EditSettings) -> str:
    if edit.weights is None:
        record = find_record(edit.model)
        base = record.settings.get("base")
        return record.sha256 + (find_record(str(base)).sha256 if base else "")
    path = Path(edit.weights)
    if path.is_fifo():
        raise WeightsError(f"{shown(path)}: is no file but a pipe; check --weights")
    try:
        return checksum(path)
    except OSError as error:
        raise WeightsError(
            f"{shown(path)}: cannot be read ({error.strerror or error}); check --weights"
        ) from error


def _checksum(value: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
