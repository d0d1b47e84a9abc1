"""Paste: bring the change of an edited crop to photo resolution and add it to the photo's own pixels.

What the photo shows is split in two: what the crop can hold, and the fine detail above it. The edited crop replaces the
first; the second is the photo's own, taken from where the edit moved it from, so skin and hair stay sharp at any size::

    result(P) = edited(v) + keep(v) * (photo(P') - crop(v + flow(v))),    v = to_crop(P),  P' = to_photo(v + flow(v))

and is mixed into the photo with a soft mask. Where nothing moved and nothing changed this is the photo itself.
What is not the photo's own gets the sharpness and the grain of its face (``faces/grain.py``).
A photo without colour, or of one tone, gets only changes that keep to it (``faces/tone.py``).
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
from kornia.filters import gaussian_blur2d
from torch import Tensor

from sargan_core.faces.align import Alignment
from sargan_core.faces.face import EditedCrops, Pixels
from sargan_core.faces.grain import Grain, blur_of, grain_of, put_in, softened
from sargan_core.faces.inner_mouth import InnerMouth
from sargan_core.faces.tone import Tone, tone_of
from sargan_core.faces.warp import positions, sample

# The photo is pasted in bands of about this many pixels, so memory does not grow with the photo: a band needs some
# hundred bytes a pixel, and larger ones are no faster.
BAND_PIXELS = 400_000


# Share of the crop's side over which the mask fades to nothing.
FEATHER = 0.14


# Mean change (0..1) from which the photo's fine detail starts to give way, and from which none is kept.
DETAIL_FADES = (0.06, 0.24)


# Crops are enlarged this much before the photo's pixels are read from them with straight lines: bicubic at every pixel
# of the photo would take four times as long and differ by less than a level.
FINER = 4


# Columns that are enlarged by one matrix product; in one of all columns nearly every factor would be 0.
BLOCK = 64


# Mask from which a pixel is so far inside that it tells how sharp the face is.
WELL_INSIDE = 0.9


# Spread of a pixel of the photo, in pixels of the photo: what is finer is taken away from what is laid over it.
COARSER = 0.55


# Mask values that count as the mask's border in the seam figure.
SEAM_BAND = (0.0, 0.08)


@dataclass(frozen=True)
class Pasted:
    """A photo with one face edited.

    Attributes:
        pixels: (H, W, 3), dtype of the photo.
        seam: mean absolute change just inside the mask's border, in 8-bit levels: the step that an eye could see.
        change: mean absolute change where the mask is more than half, 0..1.
        region: x0, y0, x1, y1 photo pixels outside of which nothing was touched.
    """

    pixels: Pixels
    seam: float
    change: float
    region: tuple[int, int, int, int]


def crop_mask(size: int) -> Tensor:
    """Return the soft mask of a crop: 1 on the face, 0 at the border, (1, 1, S, S) float32.

    A rounded square in the template, where every face lies in the same place; room for a dropped jaw.
    """
    ticks = (torch.arange(size, dtype=torch.float32) + 0.5) / size * 2 - 1
    reach = (ticks.abs()[:, None] ** 5 + ticks.abs()[None, :] ** 5) ** 0.2
    ramp = ((1 - reach) / FEATHER).clamp(0, 1)
    return (ramp * ramp * (3 - 2 * ramp))[None, None]


def kept_detail(crop: Tensor, edited: Tensor) -> Tensor:
    """Return how much fine detail stays where a model does not say: all of it where the change is small.

    Both are (1, 3, S, S); the answer is (1, 1, S, S) in [0, 1].
    """
    change = (edited - crop).abs().mean(1, keepdim=True)
    change = gaussian_blur2d(change, (9, 9), (2.0, 2.0))
    low, high = DETAIL_FADES
    ramp = ((change - low) / (high - low)).clamp(0, 1)
    return 1 - ramp * ramp * (3 - 2 * ramp)


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
        mouth: what is seen between the lips of the edited face; None = what ``edited`` shows there.

    Returns:
        A new array that differs from ``photo`` only inside ``region``.
    """
    size = crop.shape[-1]
    mask = crop_mask(size).to(crop)
    keep = edited.keep if edited.keep is not None else kept_detail(crop, edited.image)
    base = crop if edited.flow is None else sample(crop, positions(edited.flow))
    image, grain, blur, strange = edited.image, None, 0.0, put_in(keep) * (mask > 0)
    if mouth is not None or bool((strange > 0).any()):
        face = (mask[0, 0] > WELL_INSIDE) & (strange[0, 0] == 0)
        blur = blur_of(crop, face) if bool(face.any()) else 0.0
        image = softened(image, strange, blur)
        grain = grain_of(photo, alignment, crop)
    parts = [image - keep * base, keep, mask]
    layers = torch.cat(parts if edited.flow is None else [*parts, edited.flow], dim=1)
    if alignment.scale < 1:
        # The photo is coarser than the crop: low-pass what will be sampled with gaps.
        sigma = 0.5 / alignment.scale
        window = 2 * int(2 * sigma) + 1
        layers = gaussian_blur2d(layers, (window, window), (sigma, sigma))
    layers = enlarged(layers, min(FINER, max(1, round(alignment.scale))))
    x0, y0, x1, y1 = _region(photo, alignment, mask)
    tone = tone_of(crop)
    over = None if mouth is None else _Over.of(mouth, alignment, layers, blur)
    result = photo.copy()
    totals = np.zeros(4)
    rows = max(16, BAND_PIXELS // max(1, x1 - x0))
    for top in range(y0, y1, rows):
        bottom = min(top + rows, y1)
        band, sums = _band(photo, alignment, layers, size, tone, grain, (x0, top, x1, bottom), over)
        result[top:bottom, x0:x1] = band
        totals += sums
    seam = 255 * totals[0] / max(totals[1], 1.0)
    return Pasted(result, float(seam), float(totals[2] / max(totals[3], 1.0)), (x0, y0, x1, y1))


def _region(photo: Pixels, alignment: Alignment, mask: Tensor) -> tuple[int, int, int, int]:
    """Return the photo rectangle that holds every pixel whose mask is not 0."""
    size = mask.shape[-1]
    where = alignment.to_photo(positions(mask.new_zeros(1, 2, size, size)))
    touched = where[0, :, mask[0, 0] > 0]
    height, width = photo.shape[:2]
    low = torch.floor(touched.amin(1)).long().tolist()
    high = (torch.ceil(touched.amax(1)).long() + 1).tolist()
    x0, y0 = min(max(low[0], 0), width), min(max(low[1], 0), height)
    return x0, y0, max(x0, min(high[0], width)), max(y0, min(high[1], height))


def enlarged(layers: Tensor, factor: int) -> Tensor:
    """Return (B, C, S, S) as (B, C, factor * (S - 1) + 1, ...): bicubic; pixel ``p`` becomes pixel ``factor * p``."""
    if factor == 1:
        return layers
    # As matrix products: several times as fast as the library's own two-dimensional interpolation.
    size = layers.shape[-1]
    weights = _enlargement(size, factor).to(layers)
    # A block's pixels, and those around it that they are made of.
    blocks = [
        (slice(factor * start, factor * (start + BLOCK)), slice(max(0, start - 1), start + BLOCK + 2))
        for start in range(0, size, BLOCK)
    ]
    tall = torch.cat([weights[made, known] @ layers[..., known, :] for made, known in blocks], dim=-2)
    return torch.cat([tall[..., known] @ weights[made, known].T for made, known in blocks], dim=-1)


@lru_cache(maxsize=8)
def _enlargement(size: int, factor: int) -> Tensor:
    """Return the matrix (factor * (size - 1) + 1, size) that enlarges one axis."""
    side = factor * (size - 1) + 1
    unit = torch.eye(size)[None, None]
    return torch.nn.functional.interpolate(unit, (side, size), mode="bicubic", align_corners=True)[0, 0]


def _band(
    photo: Pixels,
    alignment: Alignment,
    layers: Tensor,
    size: int,
    tone: Tone | None,
    grain: Grain | None,
    box: tuple[int, int, int, int],
    over: _Over | None,
) -> tuple[Pixels, npt.NDArray[np.float64]]:
    """Paste one band of rows; return its pixels and (seam sum, seam count, change sum, change count).

    ``layers`` are those of a crop of ``size`` pixels, enlarged; ``tone`` is what the change keeps to, ``grain``
    what the photo has and a crop has not, ``over`` what is laid over the edit.
    """
    x0, y0, x1, y1 = box
    peak = float(np.iinfo(photo.dtype).max)
    corner = layers.new_tensor([float(x0), float(y0)]).view(1, 2, 1, 1)
    here = positions(layers.new_zeros(1, 2, y1 - y0, x1 - x0)) + corner
    inside = alignment.to_crop(here)
    values = sample(layers, inside * ((layers.shape[-1] - 1) / (size - 1)))
    outside = ((inside < 0) | (inside > size - 1)).any(1, keepdim=True)
    mask = values[:, 4:5].clamp(0, 1).masked_fill(outside, 0)
    mask = mask.masked_fill(mask < 1e-3, 0)
    keep, flow = values[:, 3:4].clamp(0, 1), values[:, 5:7]
    own = moved = _to_tensor(photo[y0:y1, x0:x1], layers)
    still = flow.abs().amax(1, keepdim=True) < 1e-3 if flow.shape[1] else None
    if still is not None and not bool(still.all()):
        moved = _sample_photo(photo, alignment.to_photo(inside + flow), layers)
        if bool(still.any()):
            # Where nothing moved the photo's own pixel is exact; elsewhere it is interpolated.
            moved = torch.where(still, own, moved)
    # In place: most of the time would go into fetching memory for what is used once.
    wanted = values[:, 0:3].addcmul_(keep, moved)
    added = put_in(keep)
    if over is not None:
        over.lay(wanted, added, inside, (x0, y0))
    if grain is not None:
        wanted.addcmul_(added, grain.at(x0, y0, x1 - x0, y1 - y0))
    wanted.clamp_(0, 1)
    change = wanted.sub_(own)
    if tone is not None:
        change = tone.held(own, change)
    change = change.mul_(mask)
    sums = _figures(change, mask)
    pixels = change.add_(own).mul_(peak).round_().clamp_(0, peak)
    whole = pixels[0].to(torch.uint8 if photo.dtype == np.uint8 else torch.int32)
    stacked = whole.permute(1, 2, 0).cpu().numpy()
    return stacked if photo.dtype == np.uint8 else stacked.astype(np.uint16), sums


@dataclass(frozen=True)
class _Over:
    """The inside of a mouth, ready to be laid over bands of the photo.

    Attributes:
        layers: (1, 4, h, w): colour and cover, as fine as the photo can show.
        corner: where its first pixel lies in the crop.
        fine: its pixels for one pixel of the crop.
        box: x0, y0, x1, y1 photo pixels that hold it.
        own: whether it is the photo's own, grain and all.
    """

    layers: Tensor
    corner: tuple[float, float]
    fine: int
    box: tuple[int, int, int, int]
    own: bool

    @classmethod
    def of(cls, mouth: InnerMouth, alignment: Alignment, like: Tensor, blur: float) -> _Over:
        """Return a mouth without what the photo is too coarse or soft for; ``blur`` is the face's in crop pixels."""
        picture = np.concatenate([mouth.colour, mouth.cover[..., None]], axis=2)
        sigma = mouth.fine * math.hypot(COARSER / alignment.scale, 0.0 if mouth.own else blur)
        if sigma > 0.4:
            picture = cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        layers = torch.from_numpy(picture).permute(2, 0, 1)[None].contiguous().to(like)
        height, width = mouth.cover.shape
        ticks = [torch.linspace(0, side - 1, 16).to(like) / mouth.fine for side in (width, height)]
        grid = torch.stack(
            [
                (ticks[0] + mouth.corner[0]).expand(16, 16),
                (ticks[1] + mouth.corner[1])[:, None].expand(16, 16),
            ]
        )[None]
        where = alignment.to_photo(grid)
        low = torch.floor(where.amin((0, 2, 3)) - 2).long().tolist()
        high = torch.ceil(where.amax((0, 2, 3)) + 3).long().tolist()
        return cls(layers, mouth.corner, mouth.fine, (low[0], low[1], high[0], high[1]), mouth.own)

    def lay(self, wanted: Tensor, added: Tensor, inside: Tensor, origin: tuple[int, int]) -> None:
        """Lay it over a band in place.

        Args:
            wanted: (1, 3, H, W) the band.
            added: (1, 1, H, W) how much of each pixel is not the photo's own; this counts here too.
            inside: (1, 2, H, W) the crop's position of each pixel.
            origin: column and row of the photo where the band begins.
        """
        height, width = wanted.shape[-2:]
        x0, x1 = (min(max(x - origin[0], 0), width) for x in self.box[::2])
        y0, y1 = (min(max(y - origin[1], 0), height) for y in self.box[1::2])
        if x0 >= x1 or y0 >= y1:
            return
        corner = inside.new_tensor(self.corner).view(1, 2, 1, 1)
        values = sample(self.layers, (inside[..., y0:y1, x0:x1] - corner) * self.fine)
        cover = values[:, 3:4]
        for whole, laid in (
            (wanted, values[:, :3]),
            (added, torch.full_like(cover, 0.0 if self.own else 1.0)),
        ):
            part = whole[..., y0:y1, x0:x1]
            part.copy_(torch.lerp(part, laid, cover))


def _sample_photo(photo: Pixels, source: Tensor, like: Tensor) -> Tensor:
    """Return the photo at fractional positions (1, 2, H, W), bicubic, reading only the window that is needed."""
    height, width = photo.shape[:2]
    low, high = source.amin((0, 2, 3)).cpu().numpy(), source.amax((0, 2, 3)).cpu().numpy()
    x0, y0 = np.clip(np.floor(low).astype(int) - 2, 0, [width - 1, height - 1])
    x1, y1 = np.clip(np.ceil(high).astype(int) + 3, [x0 + 1, y0 + 1], [width, height])
    window = _to_tensor(photo[y0:y1, x0:x1], like)
    corner = source.new_tensor([float(x0), float(y0)]).view(1, 2, 1, 1)
    return sample(window, source - corner, "bicubic")


def _to_tensor(pixels: Pixels, like: Tensor) -> Tensor:
    image = torch.from_numpy(np.ascontiguousarray(pixels)).to(like.device)
    # Laid out like the layers: arithmetic on two layouts takes several times as long.
    planes = image.permute(2, 0, 1)[None].contiguous().to(like.dtype)
    return planes.div_(float(np.iinfo(pixels.dtype).max))


def _figures(change: Tensor, mask: Tensor) -> npt.NDArray[np.float64]:
    size = change.abs().mean(1, keepdim=True)
    border = ((mask > SEAM_BAND[0]) & (mask < SEAM_BAND[1])).to(size.dtype)
    centre = (mask > 0.5).to(size.dtype)
    sums = torch.stack([(size * border).sum(), border.sum(), (size * centre).sum(), centre.sum()])
    figures: npt.NDArray[np.float64] = sums.cpu().double().numpy()
    return figures


# Height of the forehead above the brows, and the width over which changes fade towards the face's outline, as
# fractions of the crop's side.
FOREHEAD = 0.14


FACE_FEATHER = 0.05


def face_mask(landmarks: npt.NDArray[np.float64], size: int) -> Tensor:
    """Return where coefficients may change a pixel: 1 on the face, fading to 0 at its outline, (1, S, S) float64.

    The hull of the landmarks with the forehead above the brows, and nothing beyond it: what the pairs say about hair,
    neck and background is chance.
    """
    forehead = landmarks[17:27] - [0.0, FOREHEAD * size]
    hull = cv2.convexHull(np.concatenate([landmarks, forehead]).astype(np.float32))
    canvas = np.zeros((size, size), np.float32)
    cv2.fillConvexPoly(canvas, np.round(hull * 16).astype(np.int32), 1.0, shift=4)
    distance = cv2.distanceTransform(canvas.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    ramp = np.clip(distance / (FACE_FEATHER * size), 0, 1).astype(np.float64)
    return torch.from_numpy(ramp * ramp * (3 - 2 * ramp))[None] * crop_mask(size)[0].double()
