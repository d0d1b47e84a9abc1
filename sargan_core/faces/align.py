"""Alignment: from a face in a photo to the crop that a model expects, and back.

Convention for every transform here: points are (x, y), x to the right, y down, in pixels whose *centres* lie at
integer coordinates (the top left pixel's centre is (0, 0)), in photos and crops alike. Matrices map crop -> photo,
because cropping and pasting need that direction exactly; the other direction is its inverse. Sampling grids are for
``align_corners=True``: -1 and +1 are the centres of the first and last pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sargan_core.errors import NoFaceError
from sargan_core.faces.face import Face, FaceCrops, NeutralEstimate, Template
from sargan_core.faces.mouth import with_lip_line
from sargan_core.faces.warp import displaced, invert, positions, sample, smallest_area, spline_field

# Indices into the 68 iBUG points.
LEFT_EYE = tuple(range(36, 42))
RIGHT_EYE = tuple(range(42, 48))
MOUTH_CORNERS = (48, 54)
# Smoothing of the thin-plate spline, tried in this order until it does not fold; more lets it miss the landmarks.
SPLINE_SMOOTHINGS = (0.5, 5.0, 50.0, 500.0, 5000.0)
# Smallest area that a crop pixel may keep under the spline, as a fraction of its own.
LEAST_AREA = 0.3
# Largest error of a spline's inverse in crop pixels; above it, more and smaller steps are taken.
MISSED = 0.25
DAMPED_STEPS, DAMPING = 32, 0.45
# Largest believable distance of a landmark from the template, as a fraction of the crop's side.
MAX_SPLINE_REACH = 0.2


@dataclass(frozen=True)
class Alignment:
    """A template fitted to one face: ``photo = matrix @ (u + residual(u), 1)`` for a crop pixel ``u``.

    Attributes:
        template: the template that was fitted.
        matrix: (2, 3) float64, crop pixels -> photo pixels, before the spline.
        residual: (2, S, S) float32 crop pixels, channel 0 = x, 1 = y, the spline's part; None for the other kinds.
        landmarks: (68, 2) float32 crop pixels of the face itself; None without landmarks.
        neutral: (68, 2) float32 crop pixels, the neutral landmarks; None without landmarks.
        known_inverse: (1, 2, S, S) float32 crop pixels, the inverse of ``residual``; None = computed when needed.
    """

    template: Template
    matrix: npt.NDArray[np.float64]
    residual: npt.NDArray[np.float32] | None = None
    landmarks: npt.NDArray[np.float32] | None = None
    neutral: npt.NDArray[np.float32] | None = None
    known_inverse: Tensor | None = None

    @property
    def scale(self) -> float:
        """Photo pixels per crop pixel (square root of the matrix's area factor)."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))

    def to_photo(self, where: Tensor) -> Tensor:
        """Map crop positions (B, 2, H, W) to photo positions (B, 2, H, W), both (x, y)."""
        if self.residual is not None:
            where = where + sample(torch.from_numpy(self.residual).to(where)[None], where)
        return _affine(torch.from_numpy(self.matrix).to(where), where)

    def pixels_in_photo(self, device: torch.device | str = "cpu") -> Tensor:
        """Return the photo position of every crop pixel, (1, 2, S, S) float32, as ``to_photo`` does."""
        size = self.template.size
        moved = torch.zeros(2, size, size) if self.residual is None else torch.from_numpy(self.residual)
        return _affine(torch.from_numpy(self.matrix).to(device).float(), positions(moved[None].to(device)))

    def to_crop(self, where: Tensor) -> Tensor:
        """Map photo positions (B, 2, H, W) to crop positions (B, 2, H, W), the inverse of ``to_photo``."""
        inverse = np.linalg.inv(to_square(self.matrix))[:2]
        where = _affine(torch.from_numpy(inverse).to(where), where)
        if self.inverse is not None:
            where = where + sample(self.inverse.to(where), where)
        return where

    @cached_property
    def inverse(self) -> Tensor | None:
        """The inverse of ``residual``, (1, 2, S, S) float32 crop pixels; None without a residual."""
        if self.known_inverse is not None or self.residual is None:
            return self.known_inverse
        residual = torch.from_numpy(self.residual)[None]
        inverse = invert(residual)
        missed = (inverse + displaced(residual, inverse)).abs().amax()
        if float(missed) > MISSED:
            # Where the spline more than doubles a length, as on full lips, undamped steps diverge.
            inverse = invert(residual, DAMPED_STEPS, DAMPING)
        return inverse


def face_crops(images: Tensor, alignments: Sequence[Alignment]) -> FaceCrops:
    """Return extracted crops (B, 3, S, S) with the landmarks of their alignments, NaN where there are none."""
    points = images.new_full((2, len(alignments), 68, 2), torch.nan)
    for index, alignment in enumerate(alignments):
        for row, known in zip(points, (alignment.landmarks, alignment.neutral), strict=True):
            if known is not None:
                row[index] = torch.from_numpy(known)
    return FaceCrops(images, *points)


def _affine(matrix: Tensor, where: Tensor) -> Tensor:
    return torch.einsum("ij,bjhw->bihw", matrix[:, :2], where) + matrix[:, 2].view(1, 2, 1, 1)


def anchors(face: Face) -> npt.NDArray[np.float64]:
    """Return the three points that a template is fitted to, (3, 2) photo pixels.

    Eye on the picture's left, eye on the right, mouth centre: from the 68 landmarks if there are any (means of the
    six lid points; middle of the mouth corners), else from the detector's five points.
    """
    if face.landmarks is not None:
        points = np.asarray(face.landmarks, dtype=np.float64)
        return np.stack(
            [
                points[list(LEFT_EYE)].mean(0),
                points[list(RIGHT_EYE)].mean(0),
                points[list(MOUTH_CORNERS)].mean(0),
            ]
        )
    points = np.asarray(face.points, dtype=np.float64)
    return np.stack([points[0], points[1], (points[3] + points[4]) / 2])


def align(face: Face, template: Template, estimate: NeutralEstimate | None = None) -> Alignment:
    """Fit ``template`` to ``face``.

    Args:
        face: a found face, in photo pixels.
        template: where the parts of the face belong in the crop.
        estimate: for ``spline`` templates, estimates the neutral landmarks, so that the spline removes the shape of the
            person but not the expression. None = the face's own landmarks.

    Returns:
        The alignment, crop -> photo; a ``spline`` template without landmarks is fitted as ``affine``.

    Raises:
        NoFaceError: the face's points do not span a plane (they coincide).
    """
    targets = template.pixels()
    points = anchors(face)
    if template.kind == "similarity":
        matrix = similarity(targets, points)
    else:
        homogeneous = np.concatenate([targets, np.ones((3, 1))], axis=1)
        matrix = np.linalg.solve(homogeneous, points).T
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:, :2])) < 1e-6:
        raise NoFaceError("the face's points coincide, it cannot be aligned; leave it out with --faces")
    if face.landmarks is None:
        return Alignment(template, matrix)
    inverse = np.linalg.inv(to_square(matrix))[:2].astype(np.float64)
    landmarks = apply_matrix(inverse, face.landmarks)
    if template.kind != "spline" or template.shape is None:
        return Alignment(template, matrix, None, landmarks.astype(np.float32))
    shape = np.asarray(template.shape, dtype=np.float64) * template.size - 0.5
    still = estimate(landmarks) if estimate is not None else landmarks
    if np.abs(still - shape).max() > MAX_SPLINE_REACH * template.size:
        # No face differs so much from the mean: the landmarks are wrong, so the affine fit is safer.
        return Alignment(template, matrix)
    straight = Alignment(template, matrix, _unfolded_spline(shape, still, template.size))
    own = straight.to_crop(_as_positions(face.landmarks))
    neutral = straight.to_crop(_as_positions(apply_matrix(matrix, still)))
    own, neutral = own[0, :, :, 0].T, neutral[0, :, :, 0].T
    return replace(straight, landmarks=own.numpy(), neutral=neutral.numpy(), known_inverse=straight.inverse)


def _unfolded_spline(
    shape: npt.NDArray[np.float64], landmarks: npt.NDArray[np.float64], size: int
) -> npt.NDArray[np.float32] | None:
    """Return the spline from template to landmarks that follows them most closely without folding.

    Brows on the lids, or wrong landmarks, would fold a close spline, so a smoother one is taken. None if even the
    smoothest folds.
    """
    points = with_lip_line(shape)
    values = with_lip_line(landmarks) - points
    for smoothing in SPLINE_SMOOTHINGS:
        residual = spline_field(points, values, size, smoothing)
        if smallest_area(residual) > LEAST_AREA:
            return residual
    return None


def _as_positions(points: npt.ArrayLike) -> Tensor:
    """Return (N, 2) points as positions (1, 2, N, 1)."""
    return torch.from_numpy(np.asarray(points, dtype=np.float32).T.copy())[None, :, :, None]


def similarity(sources: npt.NDArray[np.float64], targets: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the (2, 3) rotation, scale and shift that takes ``sources`` to ``targets`` with least squared error.

    Both are (N, 2) points (x, y), N >= 2; no reflection. Closed form with complex numbers.
    """
    source = sources[:, 0] + 1j * sources[:, 1]
    target = targets[:, 0] + 1j * targets[:, 1]
    centred = source - source.mean()
    factor = np.vdot(centred, target - target.mean()) / max(np.vdot(centred, centred).real, 1e-12)
    shift = target.mean() - factor * source.mean()
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def to_square(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a (2, 3) affine matrix as (3, 3)."""
    return np.concatenate([matrix, [[0.0, 0.0, 1.0]]])


def apply_matrix(matrix: npt.NDArray[np.float64], points: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return (N, 2) points (x, y) mapped by a (2, 3) matrix."""
    return np.asarray(points, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2]


def extract(
    pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    alignment: Alignment,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Sample the crop of an aligned face.

    A photo finer than the crop is first reduced by area averaging against aliasing, then sampled bilinearly. Outside
    the photo its border pixels are repeated.

    Args:
        pixels: (H, W, 3) uint8 or uint16 RGB photo.
        alignment: crop -> photo.
        device: where the crop is made and stays.

    Returns:
        (1, 3, S, S) float32 RGB in [0, 1].
    """
    where = alignment.pixels_in_photo(device)
    height, width = pixels.shape[:2]
    low, high = where.amin((0, 2, 3)).cpu().numpy(), where.amax((0, 2, 3)).cpu().numpy()
    x0, y0 = np.clip(np.floor(low).astype(int) - 2, 0, [width - 1, height - 1])
    x1, y1 = np.clip(np.ceil(high).astype(int) + 3, [x0 + 1, y0 + 1], [width, height])
    factor = max(1, int(alignment.scale))
    # Whole cells are averaged in a third of the time.
    x1, y1 = (
        min(start + -(-(end - start) // factor) * factor, side)
        for start, end, side in ((x0, x1, width), (y0, y1, height))
    )
    window = pixels[y0:y1, x0:x1]
    if factor > 1:
        reduced = (max(1, (x1 - x0) // factor), max(1, (y1 - y0) // factor))
        window = cv2.resize(window, reduced, interpolation=cv2.INTER_AREA)
    ratio = where.new_tensor([window.shape[1] / (x1 - x0), window.shape[0] / (y1 - y0)]).view(1, 2, 1, 1)
    corner = where.new_tensor([float(x0), float(y0)]).view(1, 2, 1, 1)
    image = torch.from_numpy(window.astype(np.float32) / np.iinfo(pixels.dtype).max)
    return sample(image.permute(2, 0, 1)[None].to(device), (where - corner + 0.5) * ratio - 0.5)
