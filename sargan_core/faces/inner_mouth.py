"""Draw what is seen between parted lips: one person's teeth, fixed to the skull, before a dark cavity with a tongue.

Upper teeth do not move with the lips: the lips open over them. So the teeth of a face have one place in the crop for
all expressions and strengths, and the opening shows a part of them. Where an opening is higher than the smile that the
teeth were cut from, the cavity is seen below them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sargan_core.faces.blur import ramp, smooth_step
from sargan_core.faces.mouth import LEAST_HEIGHT, Opening
from sargan_core.faces.teeth import MIDDLE, RED, SIZE, WIDTH, Picture, Teeth

# Largest and smallest number of pixels of the picture per crop pixel.
FINEST, COARSEST = 6, 2
# Lengths below are in pixels of a 256 px crop, in which a broad smile is this wide.
SMILE = 69.0
# Visible length of the middle teeth in a broad smile, and limits of the factor that makes teeth longer or shorter.
LENGTH = 10.4
STRETCH = (0.82, 1.18)
# Softness of the edge.
FEATHER = 0.4
# How far the picture reaches under the upper and the lower lip, so that no rim of the edit below it is seen.
UNDER = (0.8, 0.4)
# Rounding of its corners, as a fraction of its height.
ROUND = 0.11
# Shadows below the upper lip, above the lower one, and towards the corners: reach, and light at the rim.
UPPER_SHADOW = (2.8, 0.34)
LOWER_SHADOW = (1.3, 0.5)
CORNER_SHADOW = (13.0, 0.16)
# Powers of the shadow for red, green and blue.
WARM = np.array([0.82, 1.04, 1.08], dtype=np.float32)
# The photo's own teeth are in shadow already, so they get only a part of it.
OWN_SHADOW = np.float32(0.4)
# Light on teeth far behind the lips of a narrow, high mouth.
DEEP = 0.82
# Colours relative to the whites of the eyes: the depth of the mouth, and a tongue.
DEPTH = (0.17, 0.075, 0.07)
TONGUE = (0.78, 0.42, 0.41)
# Height of an opening below the teeth from which a tongue is seen.
TONGUE_FROM = (3.0, 12.0)
# Height of the dark line below the teeth, and of a gap between teeth and lip that is no more than such a line, in
# pixels of their picture.
RIM, NARROW = 4.0, 6.0
# Fraction of what lies below the upper teeth in their picture that must be seen in the middle for all of it to be seen:
# none up to the first value.
COVERED = (0.5, 0.8)


@dataclass(frozen=True)
class Placement:
    """Where the upper teeth of a face lie in its crop, whatever the lips do; all in crop pixels.

    Attributes:
        column: middle between the front teeth.
        row: edge of the upper lip in a broad smile.
        width: distance between the corners of a broad smile.
        tall: height / width of a square of the crop as the photo shows it there, so that teeth keep their shape.
        own: whether the teeth are the photo's own, whose length is known.
    """

    column: float
    row: float
    width: float
    tall: float = 1.0
    own: bool = False


@dataclass(frozen=True)
class InnerMouth:
    """A picture of the inside of the mouth, to be laid over a part of a crop.

    Attributes:
        colour: (h, w, 3) float32 RGB in [0, 1].
        alpha: (h, w) float32 in [0, 1], opacity.
        corner: column and row in the crop of the centre of the picture's first pixel.
        fine: pixels of the picture per crop pixel.
        own: whether the teeth are the photo's own, with its sharpness and grain.
    """

    colour: Picture
    alpha: Picture
    corner: tuple[float, float]
    fine: int
    own: bool = False


def inner_mouth(
    opening: Opening,
    teeth: Teeth,
    place: Placement,
    white: npt.NDArray[np.float32],
    share: float = 1.0,
    scale: float = FINEST,
) -> InnerMouth | None:
    """Return what is seen in an opening; None if the opening is too low to show anything.

    Args:
        opening: between the lips of the edited face, in crop pixels.
        teeth: to be shown.
        place: of the teeth in this face's crop.
        white: (3,) colour of the whites of this face's eyes in [0, 1], which stands for the light.
        share: opacity, 0..1.
        scale: photo pixels per crop pixel; the picture is not made much finer.
    """
    fine = int(np.clip(np.ceil(1.25 * scale), COARSEST, FINEST))
    unit = place.width / SMILE
    if opening.height < LEAST_HEIGHT * unit or share <= 0:
        return None
    opening = Opening(opening.x, opening.upper - UNDER[0] * unit, opening.lower + UNDER[1] * unit)
    margin = 2.0 * unit
    x0, y0 = np.floor([opening.x[0] - margin, opening.upper.min() - margin])
    x1, y1 = np.ceil([opening.x[-1] + margin, opening.lower.max() + margin])
    width, height = round((x1 - x0) * fine), round((y1 - y0) * fine)
    at = x0 + np.arange(width) / fine
    upper, lower = (
        np.interp(at, opening.x, curve).astype(np.float32) for curve in (opening.upper, opening.lower)
    )
    columns = at.astype(np.float32)
    rows = (y0 + np.arange(height) / fine).astype(np.float32)[:, None]
    colour = _cavity(rows, columns, upper, lower, opening, unit, fine)
    shown, amount = _teeth(rows, columns, upper, lower, opening, teeth, place)
    # In the shadow of lips the light is reddish, because it comes from lips.
    shadow = np.log(_shadow(rows, columns, upper, lower, opening, unit))
    powers = WARM * (OWN_SHADOW if place.own else 1.0)
    # Channel by channel, because arithmetic with masks is several times as fast on planes.
    lit = []
    for deep, tooth, power, light in zip(
        colour, cv2.split(shown), powers.tolist(), white.tolist(), strict=True
    ):
        tooth -= deep
        tooth *= amount
        tooth += deep
        tooth *= np.exp(shadow * power)
        tooth *= light
        lit.append(np.clip(tooth, 0, 1, out=tooth))
    drawn = opening.scaled(fine, float(x0), float(y0))
    cover = drawn.cover(height, width, FEATHER * unit * fine, ROUND * drawn.height)
    # Where the lips are hardly apart there is a dark line and no tooth.
    open_here = np.clip((lower - upper) / unit - sum(UNDER), 0, 0.5) * (2 * share)
    return InnerMouth(cv2.merge(lit), cover * open_here, (float(x0), float(y0)), fine, place.own)


def _teeth(
    rows: Picture,
    columns: Picture,
    upper: Picture,
    lower: Picture,
    opening: Opening,
    teeth: Teeth,
    place: Placement,
) -> tuple[Picture, Picture]:
    """Return the picture of the teeth at their place, (h, w, 3), and where it is seen, (h, w) in [0, 1]."""
    unit = place.width / SMILE
    scale = WIDTH / place.width
    at = np.clip(MIDDLE[0] + scale * (columns - place.column), 0, SIZE[1] - 1)
    source = np.arange(SIZE[1])
    arch, edge, theirs = (
        np.interp(at, source, curve).astype(np.float32) for curve in (teeth.upper, teeth.edge, teeth.lower)
    )
    middle = float(teeth.upper[SIZE[1] // 2])
    wanted = LENGTH * unit / (teeth.length * place.width)
    stretch = (1.0 if place.own else float(np.clip(wanted * place.tall, *STRETCH))) / place.tall
    # Row where the picture of the teeth meets the upper lip; on average not below the lip's edge.
    top = place.row + (arch - middle) / scale * stretch
    near = np.abs(columns - opening.centre) < 0.3 * opening.width
    top = top + min(0.0, float((upper - top)[near].mean())) if near.any() else top
    where = arch + (rows - top) * (scale / stretch)
    # Own teeth that end at the lip go on below it, without the dark line between them and the lip.
    at_lip = place.own and near.any() and float(np.median((theirs - edge)[near])) < NARROW
    read = np.minimum(where, np.maximum(edge - RIM, arch)) if at_lip else where
    picture = cv2.remap(
        teeth.picture,
        np.ascontiguousarray(np.broadcast_to(at, where.shape)),
        read,
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    # In an opening no higher than the teeth's own smile, what lies below the teeth there is seen as well.
    room = lower - (top + (theirs - arch) / scale * stretch)
    spare = ramp(float(np.median(room[near])), (0.0, 2.5 * unit)) if near.any() else 0.0
    # But lower teeth that the lip covers in the middle are not seen beside it either: they would look like fangs.
    below = (theirs - edge) / scale * stretch
    if near.any() and float(np.median((theirs - edge)[near])) > NARROW:
        depth = lower - (top + (edge - arch) / scale * stretch)
        uncovered = float(np.median((depth / np.maximum(below, 1e-3))[near]))
        spare = max(spare, 1 - ramp(uncovered, COVERED))
    end = edge + (1 - spare) * (theirs - edge + (30 if place.own else 4))
    soft = 3.0 + 4 * (1 - spare)
    seen = smooth_step(np.clip((end - where) / soft + 0.5, 0, 1))
    if not place.own:
        # Below lent teeth somebody else's lips are seen, where corners of this mouth go down.
        red, green, blue = cv2.split(picture)
        redness = (red - green) / ((red + green + blue) / 3 + 0.05)
        seen = seen * (1 - np.clip((where - edge) / soft, 0, 1) * np.clip(redness / RED - 0.5, 0, 1))
    return np.clip(picture, 0, 2, out=picture), seen


def _cavity(
    rows: Picture,
    columns: Picture,
    upper: Picture,
    lower: Picture,
    opening: Opening,
    unit: float,
    fine: int,
) -> list[Picture]:
    """Return the dark inside with a tongue: red, green and blue, (h, w) each."""
    gap = np.maximum(lower - upper, 1e-3)
    across = (columns - opening.centre) / (0.5 * opening.width)
    largest = opening.height
    depth = 1 - 0.4 * np.clip((rows - upper) / gap, 0, 1)
    deep = [back * depth for back in DEPTH]
    share = ramp(largest / unit, TONGUE_FROM)
    if share == 0:
        return deep
    # The tongue: an arch over the lower lip, lit from above and darker towards its sides.
    height = 0.52 * largest * np.sqrt(np.clip(1 - (across / 0.8) ** 2, 0, 1))
    middle = lower[np.abs(across) < 0.3]
    floor = float(np.median(middle)) if len(middle) else float(lower.max())
    rise = (floor + 0.1 * largest - rows) / np.maximum(height, 1e-3)
    body = 1 / (1 + np.exp(np.minimum((rise - 1) * height / (0.8 * unit), 80)))
    light = np.clip(1.05 - 0.75 * rise, 0.25, 1.0) * np.clip(1 - 0.55 * across**2, 0, 1)
    groove = 1 - 0.22 * np.exp(-((across / 0.07) ** 2)) * np.clip(1 - rise, 0, 1)
    grain = _grain(rows.shape[0], len(columns), fine)
    lit = share * body * light * groove * (1 + 0.10 * grain)
    return [back + lit * (tongue - back) for back, tongue in zip(deep, TONGUE, strict=True)]


def _grain(height: int, width: int, fine: int) -> Picture:
    """Return the fine bumps of the tongue, (height, width), mean 0, deviation 1; always the same."""
    noise = np.random.default_rng(7).standard_normal((height, width)).astype(np.float32)
    bumps = cv2.GaussianBlur(noise, (0, 0), 0.37 * fine) - cv2.GaussianBlur(noise, (0, 0), float(fine))
    return np.asarray(bumps / max(float(bumps.std()), 1e-6), dtype=np.float32)


def _shadow(
    rows: Picture,
    columns: Picture,
    upper: Picture,
    lower: Picture,
    opening: Opening,
    unit: float,
) -> Picture:
    """Return how much light the shadows of the lips leave, (h, w) in [0, 1]."""
    from_corner = np.minimum(columns - opening.x[0], opening.x[-1] - columns)
    high = ramp(opening.height / opening.width, (0.25, 0.75))
    light = _ramp((rows - upper) / (UPPER_SHADOW[0] * unit), UPPER_SHADOW[1])
    light = light * _ramp((lower - rows) / (LOWER_SHADOW[0] * unit), LOWER_SHADOW[1])
    light = light * _ramp(from_corner / (CORNER_SHADOW[0] * unit), CORNER_SHADOW[1])
    return np.asarray(light * (1 - (1 - DEEP) * high))


def _ramp(share: Picture, least: float) -> Picture:
    return np.asarray(least + (1 - least) * smooth_step(np.clip(share, 0, 1)))
