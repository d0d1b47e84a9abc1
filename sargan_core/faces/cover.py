"""What is in front of a face stays as it is: hands, glasses, microphones, tongues.

An edit moves and paints a face as if nothing lay before it. Here its answer is held back: on an object nothing moves
and nothing changes, and beside it a point moves at most by a share of its distance to it. So an object is never bent
and never drawn from, the skin next to it is not torn, and a face without objects is left to the edit bit for bit.
A mouth that is covered is not opened at all: what lies behind is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sargan_core.faces.align import Alignment
from sargan_core.faces.blur import smooth_step
from sargan_core.faces.eyes import eye_regions
from sargan_core.faces.face import EditedCrops, Face
from sargan_core.faces.inner_mouth import InnerMouth
from sargan_core.faces.warp import displaced, positions, sample

Levels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

# Levels (0..255) from which a pixel surely shows an object, and from which one beside such a pixel does too.
SURE, LIKELY = 190, 90
# Smallest object, as a share of the crop.
SMALLEST = 0.0015
# Smallest part of it that lies on the face, as a share of the crop and of the object; width of the face's edge, which
# does not count, as a share of its side; height of the forehead above the brows, as a share of the way from mouth to
# eyes.
LEAST_INSIDE, LEAST_SHARE, EDGE, FOREHEAD = 0.002, 0.1, 0.05, 0.4
# Rim of an object that is held with it, and width over which changes come back beside it and beside a covered mouth, as
# shares of the crop's side.
RIM, FADE, MOUTH_FADE = 0.01, 0.025, 0.15
# How far a point may move, as a share of its distance to the next object.
SLIDES = 0.45
# Skin around the lips that counts with them, as a share of the crop's side; shares of the lips, and of mouth and chin,
# that may be covered before the mouth is held.
AROUND = 0.03
MOST_OF_LIPS, MOST_OF_CHIN = 0.03, 0.15
# Share of what lies between the lids from which nothing can be told of the whites of the eyes.
MOST_OF_EYES = 0.5
# A head with its hair, from the box of its face: half-axes as shares of the box, and how far its middle lies higher.
HEAD, HIGHER = (0.62, 0.72), 0.1
# iBUG-68: the lips, the chin below them, and what a mouth takes along when it opens.
LIPS = slice(48, 60)
CHIN = (*range(6, 11), *range(48, 60))
WITH_LIPS = (*range(4, 13), *range(48, 60), 31, 35)


@dataclass(frozen=True)
class Cover:
    """What is in front of one face, in the pixels of its crop.

    Attributes:
        distance: (1, 1, S, S) float32, from each pixel to what is held, 0 on it.
        free: (1, 1, S, S) float32 in [0, 1], how much of an edit's change each pixel may have, 0 on what is held.
        mouth_covered: whether the mouth is covered and held as a whole.
        eyes_covered: whether the eyes are mostly covered, as by dark glasses.
    """

    distance: Tensor
    free: Tensor
    mouth_covered: bool = False
    eyes_covered: bool = False


def objects_in(levels: Levels, face: Mask | None = None) -> Mask:
    """Return where objects are, given how surely each pixel shows one, (S, S) in 0..255.

    What is only likely counts where it hangs together with what is sure. Specks do not count, nor what lies beside the
    ``face``: collars, hair behind it.
    """
    count, parts, figures, _ = cv2.connectedComponentsWithStats((levels >= LIKELY).astype(np.uint8))
    kept = np.bincount(parts.ravel(), levels.ravel() >= SURE, minlength=count) > 0
    kept &= figures[:, cv2.CC_STAT_AREA] >= SMALLEST * levels.size
    if face is not None:
        inside = np.bincount(parts.ravel(), face.ravel(), minlength=count)
        kept &= inside >= np.maximum(LEAST_INSIDE * levels.size, LEAST_SHARE * figures[:, cv2.CC_STAT_AREA])
    kept[0] = False
    return np.asarray(kept[parts])


def with_heads(levels: Levels, face: Face, others: Sequence[Face], seen: Alignment) -> Levels:
    """Return the levels with the heads of other people that are in front of a face's mouth.

    A head is in front if the mouth lies within it and its face lies below. Hair before a mouth is not what the network
    was trained on.

    Args:
        levels: (V, V) how surely each pixel of the crop that was looked at shows an object.
        face: the face.
        others: further faces of the photo.
        seen: photo to that crop.
    """
    mouth = face.points[3:5].mean(0) if face.landmarks is None else face.landmarks[48:68].mean(0)
    result = levels
    for other in others:
        x, y, width, height = other.box
        middle = np.array([x + width / 2, y + (0.5 - HIGHER) * height])
        axes = np.array(HEAD) * [width, height]
        if np.hypot(*((mouth - middle) / axes)) > 1 or y + height / 2 < mouth[1]:
            continue
        turns = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        outline = torch.from_numpy(middle[:, None] + axes[:, None] * np.stack([np.cos(turns), np.sin(turns)]))
        placed = seen.to_crop(outline.float()[None, :, :, None])[0, :, :, 0].T.double().numpy()
        result = np.where(_hull(placed, len(levels)), np.uint8(255), result)
    return result


def face_in(landmarks: npt.NDArray[np.float64], size: int) -> Mask:
    """Return where the face is: from the jaw, less its edge, to the middle of the forehead; landmarks are (68, 2)."""
    up = FOREHEAD * (landmarks[36:48].mean(0) - landmarks[48:60].mean(0))
    outline = _hull(np.concatenate([landmarks[:27], landmarks[17:27] + up]), size)
    return np.asarray(cv2.distanceTransform(outline.astype(np.uint8), cv2.DIST_L2, 3) > EDGE * size)


def cover_of(levels: Levels, seen: Alignment, alignment: Alignment) -> Cover | None:
    """Return what is in front of a face; None if nothing is.

    Args:
        levels: (V, V) how surely each pixel of the crop that was looked at shows an object.
        seen: photo to that crop.
        alignment: photo to the crop that is edited.
    """
    around = None if seen.landmarks is None else face_in(seen.landmarks.astype(np.float64), len(levels))
    found = objects_in(levels, around)
    if not found.any():
        return None
    size = alignment.template.size
    # At every other pixel: what was looked at is no finer.
    coarse = positions(torch.zeros(1, 2, size // 2, size // 2)) * 2 + 0.5
    where = seen.to_crop(alignment.to_photo(coarse))
    share = sample(torch.from_numpy(found.astype(np.float32))[None, None], where)[0, 0].numpy()
    held = cv2.resize(share, (size, size), interpolation=cv2.INTER_LINEAR) >= 0.5
    mouth = eyes = False
    shut = np.zeros_like(held)
    if alignment.landmarks is not None:
        points = alignment.landmarks.astype(np.float64)
        between = eye_regions(points, size).numpy()
        eyes = bool((held & between).sum() > MOST_OF_EYES * max(1, between.sum()))
        lips = _hull(points[LIPS], size, AROUND * size)
        chin = _hull(points[list(CHIN)], size)
        shut = lips | _hull(points[list(WITH_LIPS)], size)
        mouth = any(
            (held & part).sum() > most * max(1, part.sum())
            for part, most in ((lips, MOST_OF_LIPS), (chin, MOST_OF_CHIN))
        )
    distance = _distance(held, size)
    free = _smooth(distance / (FADE * size))
    if mouth:
        # Folds beside a mouth that stays shut would belong to no smile.
        beside = _distance(shut, size)
        distance = np.minimum(distance, beside)
        free = np.minimum(free, _smooth(beside / (MOUTH_FADE * size)))
    if not (distance == 0).any():
        return None
    return Cover(_as_tensor(distance), _as_tensor(free), mouth, eyes)


def _distance(held: Mask, size: int) -> npt.NDArray[np.float32]:
    """Return how far each pixel lies from what is held and its rim; far where nothing is."""
    if not held.any():
        return np.full(held.shape, 2.0 * size, np.float32)
    distance = cv2.distanceTransform((~held).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(np.maximum(distance - RIM * size, 0), dtype=np.float32)


def _as_tensor(plane: npt.NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(plane)[None, None]


def _smooth(share: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(smooth_step(np.clip(share, 0, 1)), dtype=np.float32)


def held_back(edited: EditedCrops, crop: Tensor, cover: Cover | None) -> EditedCrops:
    """Return an edit that leaves what is in front of the face as it is.

    Args:
        edited: of one face.
        crop: (1, 3, S, S) the face before it.
        cover: None = nothing is in front of it.

    The lips of a covered mouth become NaN, that is, not known: ``faces/fill.py`` then puts nothing between them.
    """
    if cover is None:
        return edited
    distance, free = cover.distance.to(crop), cover.free.to(crop)
    moved, flow, base = crop, edited.flow, crop
    if flow is not None:
        brought = displaced(torch.cat([crop, free], 1), flow)
        base = brought[:, :3]
        # What was made of an object that the whole movement would have brought here is no change of the face.
        free = torch.minimum(free, brought[:, 3:])
        length = flow.square().sum(1, keepdim=True).sqrt()
        flow = flow * (SLIDES * distance / length.clamp_min(1e-6)).clamp(max=1)
        moved = displaced(crop, flow)
    image = torch.where(distance > 0, moved + free * (edited.image - base), crop)
    keep = edited.keep if edited.keep is None else 1 - free * (1 - edited.keep)
    lips = edited.lips
    if cover.mouth_covered and lips is not None:
        lips = torch.full_like(lips, torch.nan)
    return replace(edited, image=image, flow=flow, keep=keep, lips=lips)


def kept_clear(mouth: InnerMouth | None, cover: Cover | None) -> InnerMouth | None:
    """Return the inside of a mouth that is not laid over what is in front of the face."""
    if mouth is None or cover is None:
        return mouth
    height, width = mouth.alpha.shape
    corner = torch.tensor(mouth.corner, dtype=torch.float32).view(1, 2, 1, 1)
    where = positions(torch.zeros(1, 2, height, width)) / mouth.fine + corner
    return replace(mouth, alpha=mouth.alpha * sample(cover.free, where)[0, 0].numpy())


def _hull(points: npt.NDArray[np.float64], size: int, more: float = 0.0) -> Mask:
    """Return the pixels inside of the points' convex hull, or up to ``more`` pixels beside it."""
    canvas = np.zeros((size, size), np.uint8)
    hull = cv2.convexHull(points.astype(np.float32))
    cv2.fillConvexPoly(canvas, np.round(hull * 16).astype(np.int32), 1, shift=4)
    if more > 0:
        return np.asarray(cv2.distanceTransform(1 - canvas, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= more)
    return canvas.astype(bool)
