"""The data types of faces: a face that was found, a template, crops and edited crops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Face:
    """One face of a photo; all coordinates in photo pixels, (x, y), pixel centres at integers.

    Attributes:
        box: x, y, width, height.
        score: the detector's confidence in [0, 1].
        points: (5, 2) float32: eye on the picture's left, eye on the right, nose tip, mouth corner on the left, on the
            right.
        landmarks: (68, 2) float32 in iBUG-68 order, or None.
        number: 1, 2, … from left to right.
        warnings: sentences about what is likely to spoil an edit: too small, profile view.
    """

    box: tuple[float, float, float, float]
    score: float
    points: npt.NDArray[np.float32]
    landmarks: npt.NDArray[np.float32] | None = None
    number: int = 1
    warnings: tuple[str, ...] = ()

    @property
    def eye_distance(self) -> float:
        """Distance between the two eyes in photo pixels."""
        return float(np.linalg.norm(self.points[1] - self.points[0]))

    def scaled(self, factor: float, corner: tuple[float, float] = (0.0, 0.0)) -> Face:
        """Return the face in a picture ``factor`` times as large, in which this picture begins at ``corner`` (x, y)."""

        # Pixel centres are at integers, so scaling is about (-0.5, -0.5).
        def moved(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            return ((points + 0.5) * factor - 0.5 + np.array(corner)).astype(np.float32)

        x, y, width, height = self.box
        left, top = (x + 0.5) * factor - 0.5 + corner[0], (y + 0.5) * factor - 0.5 + corner[1]
        return replace(
            self,
            box=(left, top, width * factor, height * factor),
            points=moved(self.points),
            landmarks=None if self.landmarks is None else moved(self.landmarks),
        )


@dataclass(frozen=True)
class Template:
    """Where the parts of a face lie in a model's crop.

    Attributes:
        size: side S of the square crop in pixels.
        kind: ``similarity`` (least squares on eyes and mouth), ``affine`` (eyes and mouth centre exactly on the
            template, with a free vertical scale) or ``spline`` (affine, then a thin-plate spline that puts all 68
            landmarks on ``shape``; without landmarks it is affine).
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

    def pixels(self) -> npt.NDArray[np.float64]:
        """Return left eye, right eye and mouth as (3, 2) crop pixels."""
        return np.array([self.left_eye, self.right_eye, self.mouth]) * self.size - 0.5

    def inset(self, left: int, top: int, size: int) -> Template:
        """Return the template of the ``size`` x ``size`` part of these crops that begins at (left, top)."""

        def moved(point: tuple[float, float]) -> tuple[float, float]:
            return (point[0] * self.size - left) / size, (point[1] * self.size - top) / size

        shape = tuple(moved(point) for point in self.shape) if self.shape else None
        places = moved(self.left_eye), moved(self.right_eye), moved(self.mouth)
        return Template(size, self.kind, *places, shape)

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


# Estimates the neutral landmarks: (68, 2) crop pixels -> (68, 2) crop pixels.
NeutralEstimate = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class FaceCrops:
    """Aligned crops as a model sees them.

    Attributes:
        image: (B, 3, S, S) float32 RGB in [0, 1], in the model's own template.
        landmarks: (B, 68, 2) float32 crop pixels, (x, y), x to the right, y down, pixel centres at integers,
            iBUG-68 order; NaN for a face with only the detector's five points.
        neutral: neutral landmarks, as ``landmarks``; None = the same as ``landmarks``.
    """

    image: Tensor
    landmarks: Tensor
    neutral: Tensor | None = None

    @classmethod
    def concatenate(cls, parts: Sequence[FaceCrops]) -> FaceCrops:
        """Return the crops of all parts as one batch; either all parts have ``neutral`` or none has."""
        neutral = [part.neutral for part in parts if part.neutral is not None]
        return cls(
            torch.cat([part.image for part in parts]),
            torch.cat([part.landmarks for part in parts]),
            torch.cat(neutral) if neutral else None,
        )


@dataclass(frozen=True)
class EditedCrops:
    """What a model answers.

    Attributes:
        image: (B, 3, S, S) float32 RGB; it may leave [0, 1] a little, since the paste clips.
        flow: (B, 2, S, S) float32 crop pixels, channel 0 = x, 1 = y: the content of pixel ``p`` came from
            ``p + flow(p)``, so that the photo's fine detail can follow. None = nothing moved.
        keep: (B, 1, S, S) in [0, 1]: how much of the photo's own fine detail (too fine for the crop) each pixel keeps.
            None = the paste decides, by the size of the change.
        lips: (B, 20, 2) crop pixels: landmarks 48 to 67 of the edited face, whose opening is filled with teeth at photo
            resolution (``faces/inner_mouth.py``); NaN for a mouth that stays as in ``image``. None = all stay.
        parted: (B,) in [0, 1]: opacity of what is filled in. None = 1.
    """

    image: Tensor
    flow: Tensor | None = None
    keep: Tensor | None = None
    lips: Tensor | None = None
    parted: Tensor | None = None

    def part(self, start: int, end: int) -> EditedCrops:
        """Return the edited crops from ``start`` to ``end`` (exclusive)."""
        parts = (self.flow, self.keep, self.lips, self.parted)
        return EditedCrops(
            self.image[start:end], *(None if part is None else part[start:end] for part in parts)
        )
