"""Edited faces as plain values, for JSON lines and manifests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sargan_core.check import FaceCheck
    from sargan_core.editor import FaceEdit


def face_json(edit: FaceEdit) -> dict[str, Any]:
    """Return one edited face as plain values."""
    values = {
        "number": edit.face.number,
        "box": [round(value, 1) for value in edit.face.box],
        "points": rounded(edit.face.points),
        "seam": round(edit.seam, 5),
        "change": round(edit.change, 5),
        "warnings": list(edit.warnings),
    }
    if edit.check is not None:
        values["check"] = check_json(edit.check)
    return values


def check_json(check: FaceCheck) -> dict[str, Any]:
    """Return the check of a face as plain values."""
    return {
        "expression": check.expression,
        "reached": round(check.reached, 3),
        "before": round(check.before, 3),
        "identity": round(check.identity, 3),
    }


def worst_face_json(edits: Iterable[FaceEdit]) -> dict[str, Any]:
    """Return one face of several edits as plain values: the worst figures and every warning once."""
    values = [face_json(edit) for edit in edits]
    checks = [value["check"] for value in values if "check" in value]
    if checks:
        least = min(checks, key=lambda check: check["reached"])
        checked = {"check": {**least, "identity": min(check["identity"] for check in checks)}}
    else:
        checked = {}
    return {
        **values[0],
        **checked,
        "seam": max(value["seam"] for value in values),
        "change": max(value["change"] for value in values),
        "warnings": list(dict.fromkeys(warning for value in values for warning in value["warnings"])),
    }


def rounded(points: Iterable[Iterable[float]]) -> list[list[float]]:
    """Return (N, 2) pixel coordinates as plain numbers, to a tenth of a pixel."""
    return [[round(float(value), 1) for value in point] for point in points]
