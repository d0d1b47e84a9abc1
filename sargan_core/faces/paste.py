"""Paste: add the change of an edited crop to the photo at the photo's own resolution.

The photo is split into what the crop can hold and the finer detail. The edited crop replaces the first. The detail
stays the photo's own and moves along with the edit, so skin and hair stay sharp at any size::

    result(P) = edited(v) + keep(v) * (photo(P') - crop(v + flow(v))),    v = to_crop(P),  P' = to_photo(v + flow(v))

and is mixed into the photo with a soft mask. Where nothing moved or changed this is the photo itself.
What is not the photo's own gets the sharpness and the grain of its face (``faces/grain.py``).
In a photo without colour, or of one tone, the change keeps to that tone (``faces/tone.py``).
Conventions of coordinates: see ``faces/align.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sargan_core.faces.align import Alignment
from sargan_core.faces.blur import gaussian_blur, smooth_step
from sargan_core.faces.face import EditedCrops, Pixels
from sargan_core.faces.grain import Grain, blur_of, grain_of, put_in, softened
from sargan_core.faces.inner_mouth import InnerMouth
from sargan_core.faces.lattice import Band, Lattice, Layers, Painted
from sargan_core.faces.masks import crop_mask
from sargan_core.faces.tone import Tone, tone_of
from sargan_core.faces.warp import displaced

# The photo is pasted in bands of about this many pixels, so that the data of one band fit the CPU's cache.
BAND_PIXELS = 64_000
# Mean change (0..1) up to which all of the photo's fine detail is kept, and from which none is.
DETAIL_FADES = (0.06, 0.24)
# Mask value below which a pixel is not touched.
LEAST_MASK = 1e-3
# Mask value from which a pixel counts for the sharpness of the face.
WELL_INSIDE = 0.9
# Blur, in photo pixels, of what is laid over the photo, so that it is no finer than the photo.
COARSER = 0.55
# Mask values that count as the border in the seam figure. And one of so many rows counts for the figures.
SEAM_BAND = (0.0, 0.08)
FIGURES = 4


@dataclass(frozen=True)
class Pasted:
    """A photo with one face edited.

    Attributes:
        pixels: (H, W, 3), dtype of the photo.
        seam: mean absolute change just inside the mask's border, in 8-bit levels, which could be seen as a step.
        change: mean absolute change where the mask is above 0.5, 0..1.
        region: x0, y0, x1, y1 photo pixels; nothing outside was touched.
    """

    pixels: Pixels
    seam: float
    change: float
    region: tuple[int, int, int, int]


def kept_detail(crop: Tensor, edited: Tensor) -> Tensor:
    """Return how much fine detail to keep for a model without ``keep``: all where the change is small.

    Both are (1, 3, S, S); the result is (1, 1, S, S) in [0, 1].
    """
    change = (edited - crop).abs().mean(1, keepdim=True)
    change = gaussian_blur(change, 9, 2.0)
    low, high = DETAIL_FADES
    ramp = ((change - low) / (high - low)).clamp(0, 1)
    return 1 - smooth_step(ramp)


def paste(
    photo: Pixels,
    alignment: Alignment,
    crop: Tensor,
    edited: EditedCrops,
    mouth: InnerMouth | None = None,
) -> Pasted:
    """Return the photo with the change from ``crop`` to ``edited`` pasted in.

    Args:
        photo: (H, W, 3) uint8 or uint16 RGB; not changed.
        alignment: the crop's place in the photo.
        crop: (1, 3, S, S) float32 in [0, 1], as extracted.
        edited: the model's answer for this crop (batch of one), on the same device.
        mouth: the inside of the edited mouth; None = as in ``edited``.

    Returns:
        A new array that differs from ``photo`` only inside ``region``.
    """
    # Most of the work is on the photo's pixels, which are in the memory of the CPU.
    crop, image = crop.cpu(), edited.image.cpu()
    flow = None if edited.flow is None else edited.flow.cpu()
    keep = kept_detail(crop, image) if edited.keep is None else edited.keep.cpu()
    mask = _mask(crop.shape[-1])
    base = crop if flow is None else displaced(crop, flow)
    grain, blur, strange = None, 0.0, put_in(keep) * (mask > 0)
    if mouth is not None or bool((strange > 0).any()):
        face = (mask[0, 0] > WELL_INSIDE) & (strange[0, 0] == 0)
        blur = blur_of(crop, face) if bool(face.any()) else 0.0
        image = softened(image, strange, blur)
        grain = grain_of(photo, alignment, crop)
    peak = float(np.iinfo(photo.dtype).max)
    layers = Layers((image - keep * base) * peak, keep, mask, flow)
    if alignment.scale < 1:
        layers = _coarser(layers, 0.5 / alignment.scale)
    x0, y0, x1, y1 = region = _region(photo, alignment, mask)
    lattice = Lattice.of(layers, alignment, region)
    over = None if mouth is None else _Over.of(mouth, alignment, blur)
    tone = tone_of(crop)
    result = photo.copy()
    totals = np.zeros(4)
    rows = max(1, BAND_PIXELS // max(1, x1 - x0) // lattice.rows) * lattice.rows
    for top in range(y0, y1, rows):
        bottom = min(top + rows, y1)
        totals += _paste_band(result, photo, lattice, (top, bottom), tone, grain, over)
    seam = 255 * totals[0] / peak / max(totals[1], 1.0)
    return Pasted(result, float(seam), float(totals[2] / peak / max(totals[3], 1.0)), region)


def _coarser(layers: Layers, sigma: float) -> Layers:
    """Return layers blurred against aliasing, for a photo that is coarser than the crop."""
    window = 2 * int(2 * sigma) + 1
    flow = None if layers.flow is None else gaussian_blur(layers.flow, window, sigma)
    made, keep, mask = (
        gaussian_blur(layer, window, sigma) for layer in (layers.made, layers.keep, layers.mask)
    )
    return Layers(made, keep, mask, flow)


@lru_cache(maxsize=4)
def _mask(size: int) -> Tensor:
    """Return ``crop_mask`` with 0 on the crop's outermost pixels, which are repeated outside the crop."""
    inner = torch.nn.functional.pad(torch.ones(1, 1, size - 2, size - 2), (1, 1, 1, 1))
    return crop_mask(size) * inner


@lru_cache(maxsize=4)
def _rim(size: int) -> Tensor:
    """Return the positions (1, 2, N, 1) of a crop's outermost pixels with a mask above 0."""
    inside = (_mask(size)[0, 0] > 0).numpy().astype(np.uint8)
    rows, columns = np.nonzero(inside - cv2.erode(inside, np.ones((3, 3), np.uint8)))
    return torch.from_numpy(np.stack([columns, rows]).astype(np.float32))[None, :, :, None]


def _region(photo: Pixels, alignment: Alignment, mask: Tensor) -> tuple[int, int, int, int]:
    """Return the photo rectangle that holds every pixel with a mask above 0."""
    # The mapping has no folds, so the outermost photo pixels belong to the rim.
    where = alignment.to_photo(_rim(mask.shape[-1]))[0, :, :, 0]
    height, width = photo.shape[:2]
    low = torch.floor(where.amin(1)).long().tolist()
    high = (torch.ceil(where.amax(1)).long() + 1).tolist()
    x0, y0 = min(max(low[0], 0), width), min(max(low[1], 0), height)
    return x0, y0, max(x0, min(high[0], width)), max(y0, min(high[1], height))


def _paste_band(
    result: Pixels,
    photo: Pixels,
    lattice: Lattice,
    rows: tuple[int, int],
    tone: Tone | None,
    grain: Grain | None,
    over: _Over | None,
) -> npt.NDArray[np.float64]:
    """Paste some rows into ``result``; return (seam sum, seam count, change sum, change count) in levels of the photo.

    ``tone`` is the photo's only tone, if it has one, ``grain`` is added to what is not the photo's own, and ``over`` is
    laid over the edit.
    """
    band = lattice.band(*rows)
    if band is None:
        return np.zeros(4)
    peak = np.float32(np.iinfo(photo.dtype).max)
    x0, top, x1, bottom = band.box
    mask = band.mask
    mask[mask < LEAST_MASK] = 0
    own, wanted = _own_and_moved(photo, band)
    added = None if grain is None else np.zeros(mask.shape, np.float32)
    # In place, because new arrays would take most of the time.
    if band.painted is not None:
        _paint(wanted, added, band.painted)
    if over is not None:
        over.lay(wanted, added, band, (x0, top), peak)
    if grain is not None and added is not None:
        _add_grain(wanted, added, grain, (x0, top), peak)
    np.clip(wanted, 0, peak, out=wanted)
    change = np.subtract(wanted, own, out=wanted)
    if tone is not None:
        held = tone.held(torch.from_numpy(own / peak)[None], torch.from_numpy(change / peak)[None])
        change = np.clip(held[0].numpy() * peak, -own, peak - own)
    change *= mask
    sums = _figures(change[:, ::FIGURES], mask[::FIGURES])
    change += own
    np.rint(change, out=change)
    result[top:bottom, x0:x1] = cv2.merge(list(change.astype(photo.dtype)))
    return sums


def _paint(wanted: npt.NDArray[np.float32], added: npt.NDArray[np.float32] | None, painted: Painted) -> None:
    """Add what is painted to (3, H, W) pixels in place, and to ``added`` how much of each is not the photo's own."""
    part = (painted.rows, painted.columns)
    keep = np.clip(painted.keep, 0, 1)
    for plane, made in zip(wanted, painted.made, strict=True):
        shown = plane[part]
        shown *= keep
        shown += made
    if added is not None:
        added[part] = put_in(torch.from_numpy(keep)).numpy()


def _planes(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Return (H, W, 3) as (3, H, W) float32, since arithmetic with masks is several times as fast on planes."""
    planes = np.empty((3, *pixels.shape[:2]), np.float32)
    for plane, channel in zip(planes, cv2.split(pixels), strict=True):
        plane[...] = channel
    return planes


def _own_and_moved(photo: Pixels, band: Band) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the photo's pixels in a band, and what moves there, sampled bicubically, (3, H, W) each."""
    x0, top, x1, bottom = band.box
    if band.displacement is None:
        own = _planes(photo[top:bottom, x0:x1])
        return own, own.copy()
    across, down = band.displacement
    left, right = _reach(across, x0, x1, photo.shape[1])
    upper, lower = _reach(down, top, bottom, photo.shape[0])
    window = _planes(photo[upper:lower, left:right])
    across += np.arange(x0 - left, x1 - left, dtype=np.float32)
    down += np.arange(top - upper, bottom - upper, dtype=np.float32)[:, None]
    moved = np.empty((3, bottom - top, x1 - x0), np.float32)
    for plane, read in zip(window, moved, strict=True):
        # OpenCV samples single planes in a third of torch's time. It rounds positions to a 32nd of a pixel, so what
        # hardly moves stays bit for bit.
        cv2.remap(plane, across, down, cv2.INTER_CUBIC, dst=read, borderMode=cv2.BORDER_REPLICATE)
    return window[:, top - upper : bottom - upper, x0 - left : x1 - left], moved


def _reach(displacement: npt.NDArray[np.float32], start: int, end: int, side: int) -> tuple[int, int]:
    """Return the first and the last pixel (exclusive) that are read for those from ``start`` to ``end`` along an axis.

    The axis has ``side`` pixels.
    """
    first = start + min(0, math.floor(displacement.min())) - 2
    last = end + max(0, math.ceil(displacement.max())) + 3
    return max(first, 0), min(last, side)


def _add_grain(
    wanted: npt.NDArray[np.float32],
    added: npt.NDArray[np.float32],
    grain: Grain,
    origin: tuple[int, int],
    peak: np.float32,
) -> None:
    """Add grain to (3, H, W) pixels in place, weighted by ``added``, (H, W) in [0, 1]."""
    rows, columns = np.flatnonzero(added.any(1)), np.flatnonzero(added.any(0))
    if not len(rows):
        return
    part = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    height, width = added[part].shape
    piece = grain.at(origin[0] + part[1].start, origin[1] + part[0].start, width, height)[0].numpy()
    wanted[:, part[0], part[1]] += added[part] * piece * peak


@dataclass(frozen=True)
class _Over:
    """The inside of a mouth, ready to be laid over bands of the photo.

    Attributes:
        layers: (h, w, 4) float32: colour and cover, no finer than the photo.
        corner: position of its first pixel in the crop.
        fine: its pixels per crop pixel.
        box: x0, y0, x1, y1 photo pixels around it.
        own: whether it comes from the photo itself, with its grain.
    """

    layers: npt.NDArray[np.float32]
    corner: tuple[float, float]
    fine: int
    box: tuple[int, int, int, int]
    own: bool

    @classmethod
    def of(cls, mouth: InnerMouth, alignment: Alignment, blur: float) -> _Over:
        """Return a mouth as coarse and soft as the photo; ``blur`` is the face's, in crop pixels."""
        picture = np.concatenate([mouth.colour, mouth.alpha[..., None]], axis=2)
        sigma = mouth.fine * math.hypot(COARSER / alignment.scale, 0.0 if mouth.own else blur)
        if sigma > 0.4:
            picture = cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        height, width = mouth.alpha.shape
        ticks = [torch.linspace(0, side - 1, 16) / mouth.fine for side in (width, height)]
        grid = torch.stack(
            [
                (ticks[0] + mouth.corner[0]).expand(16, 16),
                (ticks[1] + mouth.corner[1])[:, None].expand(16, 16),
            ]
        )[None]
        where = alignment.to_photo(grid)
        low = torch.floor(where.amin((0, 2, 3)) - 2).long().tolist()
        high = torch.ceil(where.amax((0, 2, 3)) + 3).long().tolist()
        return cls(picture, mouth.corner, mouth.fine, (low[0], low[1], high[0], high[1]), mouth.own)

    def lay(
        self,
        wanted: npt.NDArray[np.float32],
        added: npt.NDArray[np.float32] | None,
        band: Band,
        origin: tuple[int, int],
        peak: np.float32,
    ) -> None:
        """Lay it over a band in place.

        Args:
            wanted: (3, H, W) the band in levels of the photo.
            added: (H, W) how much of each pixel is not the photo's own, updated in place; None = not needed.
            band: gives the crop position of each pixel.
            origin: column and row of the photo where the band begins.
            peak: white in levels of the photo.
        """
        height, width = wanted.shape[1:]
        x0, x1 = (min(max(x - origin[0], 0), width) for x in self.box[::2])
        y0, y1 = (min(max(y - origin[1], 0), height) for y in self.box[1::2])
        if x0 >= x1 or y0 >= y1:
            return
        column, row = self.corner
        into = self.fine * np.array([[1, 0, -column], [0, 1, -row]])
        where = cv2.transform(band.places(x0, y0, x1, y1), into)
        values = cv2.remap(self.layers, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        *colour, cover = cv2.split(values)
        for plane, painted in zip(wanted[:, y0:y1, x0:x1], colour, strict=True):
            painted *= peak
            painted -= plane
            painted *= cover
            plane += painted
        if added is not None:
            mark = added[y0:y1, x0:x1]
            mark += cover * (np.float32(0.0 if self.own else 1.0) - mark)


def _figures(change: npt.NDArray[np.float32], mask: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    size = np.abs(change[0])
    size += np.abs(change[1])
    size += np.abs(change[2])
    border, centre = (mask > SEAM_BAND[0]) & (mask < SEAM_BAND[1]), mask > 0.5
    sums = []
    for where in (border.view(np.uint8), centre.view(np.uint8)):
        count = cv2.countNonZero(where)
        sums += [cv2.mean(size, where)[0] * count / 3, count]
    return np.asarray(sums, dtype=np.float64)
