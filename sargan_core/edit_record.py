"""Edited faces as plain values, for JSON lines and manifests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sargan_core.editor import FaceEdit


def face_json(edit: FaceEdit) -> dict[str, Any]:
    """Return one edited face as plain values."""
    return {
        "number": edit.face.number,
        "box": [round(value, 1) for value in edit.face.box],
        "points": rounded(edit.face.points),
        "seam": round(edit.seam, 5),
        "change": round(edit.change, 5),
        "warnings": list(edit.warnings),
    }


def worst_face_json(edits: Iterable[FaceEdit]) -> dict[str, Any]:
    """Return one face of several edits as plain values: the largest figures and every warning once."""
    values = [face_json(edit) for edit in edits]
    return {
        **values[0],
        "seam": max(value["seam"] for value in values),
        "change": max(value["change"] for value in values),
        "warnings": list(dict.fromkeys(warning for value in values for warning in value["warnings"])),
    }


def rounded(points: Iterable[Iterable[float]]) -> list[list[float]]:
    """Return (N, 2) pixel coordinates as plain numbers, to a tenth of a pixel."""
    return [[round(float(value), 1) for value in point] for point in points]
