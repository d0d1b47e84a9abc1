"""Alignment: from a face in a photo to the crop that a model expects, and back.

Convention for every transform here: points are (x, y), x to the right, y down, in pixels whose *centres* lie
at integer coordinates (the top left pixel's centre is (0, 0)), in a photo as in a crop. Matrices map
crop -> photo, because both the crop (sampling the photo at crop pixels) and the paste need that direction
exactly; the other direction is its inverse. Sampling grids are built for ``align_corners=True``, where
normalised -1 and +1 are the centres of the first and last pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Template:
    """Where the parts of a face lie in a model's crop.

    Attributes:
        size: side S of the square crop in pixels.
        kind: ``similarity`` (least squares on eyes and mouth), ``affine`` (eyes and mouth centre exactly on the
            template, so that the vertical scale is free) or ``spline`` (affine, then a thin-plate spline that
            puts all 68 landmarks on ``shape``; falls back to affine without landmarks).
        left_eye: (x, y) of the eye on the left of the picture, as fractions of S.
        right_eye: (x, y) of the eye on the right of the picture, as fractions of S.
        mouth: (x, y) of the mouth's centre, as fractions of S.
        shape: 68 (x, y) points as fractions of S for ``spline``, else None.
    """

    size: int
    kind: str
    left_eye: tuple[float, float]
    right_eye: tuple[float, float]
    mouth: tuple[float, float]
    shape: tuple[tuple[float, float], ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the template as plain values for a weights record."""
        return {
            "size": self.size,
            "kind": self.kind,
            "left_eye": list(self.left_eye),
            "right_eye": list(self.right_eye),
            "mouth": list(self.mouth),
            "shape": [list(point) for point in self.shape] if self.shape else None,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Template:
        """Build a template from what ``to_json`` returned."""
        shape = values.get("shape")
        return cls(
            size=int(values["size"]),
            kind=str(values["kind"]),
            left_eye=(float(values["left_eye"][0]), float(values["left_eye"][1])),
            right_eye=(float(values["right_eye"][0]), float(values["right_eye"][1])),
            mouth=(float(values["mouth"][0]), float(values["mouth"][1])),
            shape=tuple((float(x), float(y)) for x, y in shape) if shape else None,
        )
