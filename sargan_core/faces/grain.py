"""Softness and grain of a photo's face, so that what is put into it looks as if the same camera had taken it.

Teeth from elsewhere are sharp and clean: in a blurred photo they shine out, in a grainy one they look painted. So they
are blurred as the face is, and get the grain of a smooth piece of its skin, JPEG's traces included.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sargan_core.faces.align import Alignment
from sargan_core.faces.blur import gaussian_blur
from sargan_core.faces.face import Pixels

# Share of the photo's own detail at which a pixel begins to count as put in; at 0 it counts in full.
OWN_DETAIL = 0.5
# Two neighbouring octaves of detail, as the scales in crop pixels of 256 between which they lie.
OCTAVES = (0.7, 1.4, 2.8)
# The finer octave's share of the coarser one's energy on sharp faces, and on such faces blurred by so many crop pixels
# (medians of 88 portraits; the quartiles lie within a tenth of them).
SHARPNESS = (0.085, 0.097, 0.13, 0.167, 0.23, 0.277, 0.34)
BLUR = (4.0, 3.0, 2.0, 1.5, 1.0, 0.75, 0.0)
# The quietest share of a face, whose energy is grain, and the scale that it is told at.
QUIET = 0.1
QUIET_SCALE = 5.0
# Places of skin that is often smooth, as fractions of a crop's side: forehead, cheeks, nose; the side of a piece there
# in crop pixels, and its limits in photo pixels.
PLACES = (
    (0.38, 0.2),
    (0.5, 0.17),
    (0.62, 0.2),
    (0.22, 0.55),
    (0.27, 0.65),
    (0.78, 0.55),
    (0.73, 0.65),
    (0.5, 0.5),
)
SIDE = 32
SIDES = (8, 96)
# Scale above which it is skin and not grain, in photo pixels; the grain that clean skin seems to have, and the least
# that counts, in 0..1.
GRAIN_SCALE = 1.5
CLEAN = 1.0 / 255
LEAST = 0.5 / 255
# What is louder, as a multiple of the grain's spread, is an edge.
LOUDEST = 3.0


@dataclass(frozen=True)
class Grain:
    """What makes up a photo's grain.

    Attributes:
        piece: (3, N, N) float32 in units of 0..1, mean 0; beyond it goes on mirrored.
    """

    piece: Tensor

    def at(self, x: int, y: int, width: int, height: int) -> Tensor:
        """Return the grain of the photo pixels from (x, y) on, (1, 3, height, width)."""
        rows, columns = (self._mirrored(start, count) for start, count in ((y, height), (x, width)))
        return self.piece[:, rows][:, :, columns][None]

    def _mirrored(self, start: int, count: int) -> Tensor:
        side = self.piece.shape[-1]
        place = torch.arange(start, start + count, device=self.piece.device) % (2 * side)
        return torch.minimum(place, 2 * side - 1 - place)


def put_in(keep: Tensor) -> Tensor:
    """Return how much of each pixel is not the photo's own, in [0, 1], from how much of its detail stays."""
    return ((OWN_DETAIL - keep) / OWN_DETAIL).clamp(0, 1)


def blur_of(crop: Tensor, face: Tensor) -> float:
    """Return by how much a face is blurred, as the scale of a Gaussian in crop pixels; 0 for a sharp one.

    Args:
        crop: (1, 3, S, S) in [0, 1].
        face: (S, S) bool, what counts.
    """
    size = crop.shape[-1]
    light = crop[0].detach().cpu().mean(0).numpy()
    scale = size / 256
    levels = [cv2.GaussianBlur(light, (0, 0), octave * scale) for octave in OCTAVES]
    chosen = face.cpu().numpy()
    energies = []
    for finer, coarser in pairwise(levels):
        energy = (finer - coarser) ** 2
        quiet = np.quantile(cv2.GaussianBlur(energy, (0, 0), QUIET_SCALE * scale)[chosen], QUIET)
        energies.append(max(float(energy[chosen].mean() - quiet), 1e-9))
    return scale * float(np.interp(energies[0] / energies[1], SHARPNESS, BLUR))


def softened(image: Tensor, where: Tensor, blur: float) -> Tensor:
    """Return a (1, 3, S, S) picture blurred where it is put in, ``where`` (1, 1, S, S) in [0, 1]."""
    if blur < 0.2:
        return image
    window = 2 * int(np.ceil(2.5 * blur)) + 1
    return torch.lerp(image, gaussian_blur(image, window, blur), where)


def grain_of(photo: Pixels, alignment: Alignment, like: Tensor) -> Grain | None:
    """Return the grain of a face, taken from a quiet piece of its skin; None where there is none to speak of.

    Args:
        photo: (H, W, 3) uint8 or uint16.
        alignment: the face's place.
        like: a tensor of the wanted device and type.
    """
    side = int(np.clip(round(SIDE * alignment.scale), *SIDES))
    size = alignment.template.size
    places = torch.tensor(PLACES, dtype=torch.float32).T[None, :, :, None] * size - 0.5
    centres = alignment.to_photo(places)[0, :, :, 0].T.numpy()
    # What is burnt out has no grain, nor what is cut off.
    pieces = [piece for centre in centres if (piece := _piece(photo, centre, side)).spread >= LEAST]
    if not pieces:
        return None
    # Grain is everywhere alike, skin is not: the quietest place tells how much of it there is.
    seen = min(piece.noise for piece in pieces)
    noise = float(np.sqrt(max(0.0, seen**2 - CLEAN**2)))
    if noise < LEAST:
        return None
    # The piece that is the most grain and the least skin. Of pores and hairs in it no more is taken than of grain.
    best = min(pieces, key=lambda piece: piece.spread / max(piece.noise, 1e-6))
    grain = best.pixels * min(1.0, noise / best.spread)
    grain = np.clip(grain, -LOUDEST * noise, LOUDEST * noise)
    return Grain(torch.from_numpy(grain.transpose(2, 0, 1).copy()).to(like))


@dataclass(frozen=True)
class _Piece:
    """A square of a photo without what is coarser than grain.

    Attributes:
        pixels: (side, side, 3) float32 in units of 0..1, mean 0.
        spread: standard deviation; 0 if not all of the square is in the photo.
        noise: spread of what changes from pixel to pixel along both axes, as nothing but grain does.
    """

    pixels: npt.NDArray[np.float32]
    spread: float
    noise: float


def _piece(photo: Pixels, centre: npt.NDArray[np.float32], side: int) -> _Piece:
    margin = int(np.ceil(3 * GRAIN_SCALE))
    left, top = (int(np.floor(at)) - side // 2 - margin for at in centre)
    right, bottom = left + side + 2 * margin, top + side + 2 * margin
    if left < 0 or top < 0 or right > photo.shape[1] or bottom > photo.shape[0]:
        return _Piece(np.empty((0, 0, 3), np.float32), 0.0, 0.0)
    window = photo[top:bottom, left:right].astype(np.float32)
    window *= np.float32(1 / np.iinfo(photo.dtype).max)
    inner = slice(margin, -margin), slice(margin, -margin)
    fine = window[inner] - cv2.GaussianBlur(window, (0, 0), GRAIN_SCALE)[inner]
    mean, deviation = (figures[:, 0] for figures in cv2.meanStdDev(fine))
    variance = float((deviation**2).mean())
    light = cv2.transform(fine, np.full((1, 3), 1 / 3))
    along = light[1:] - light[:-1]
    both = along[:, 1:] - along[:, :-1]
    both *= np.float32(0.5)
    # Of three channels that differ by chance the mean has less grain than each.
    light_variance = float(cv2.meanStdDev(light)[1].item() ** 2)
    single = float(np.sqrt(max(variance, 1e-12) / max(light_variance, 1e-12)))
    change = np.abs(both, out=both).ravel()
    middle = change.size // 2
    noise = float(np.partition(change, middle)[middle]) / 0.6745 * single
    return _Piece(fine - mean.astype(np.float32), float(np.sqrt(variance)), noise)
