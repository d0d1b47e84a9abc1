"""Cut the upper teeth out of a mouth: one of the bank, or the photo's own."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sargan_core.faces.mouth import Opening

Picture = npt.NDArray[np.float32]

# Height and width of the pictures, distance of the corners of the mouth in them, and the place of its middle.
SIZE = (152, 352)
WIDTH = 320.0
MIDDLE = (176.0, 40.0)
# Width in pixels of the edge that still belongs to the lips or their shadow.
RIM = 5
# Enamel has at least this fraction of the brightest light between the lips, and is at most this much redder than the
# whites of the eyes.
BRIGHT = 0.52
RED = 0.16
# Fraction of the middle of an opening that must be enamel for its teeth to count as visible.
SEEN = 0.3
# Fraction of the columns with enamel that must show a gap below the upper teeth for two rows of teeth to be seen.
TWO_ROWS = 0.3
# Sharpening after the enlargement: amount, and width in pixels of the picture.
SHARPEN = 0.9
SHARPEN_WIDTH = 2.4


@dataclass(frozen=True)
class Teeth:
    """What is seen between the lips of one smile, ``SIZE`` pixels with the corners ``WIDTH`` apart.

    Attributes:
        picture: (H, W, 3) float32 RGB, relative to the whites of the same person's eyes (1 = as bright).
        upper: (W,) row of the upper lip's edge.
        lower: (W,) row of the lower lip's edge.
        edge: (W,) row where the upper teeth end.
    """

    picture: Picture
    upper: npt.NDArray[np.float32]
    lower: npt.NDArray[np.float32]
    edge: npt.NDArray[np.float32]

    @property
    def length(self) -> float:
        """Visible height of the middle teeth, as a fraction of the mouth's width."""
        middle = slice(SIZE[1] // 2 - 40, SIZE[1] // 2 + 40)
        return float(np.median(self.edge[middle] - self.upper[middle])) / WIDTH


def cut_teeth(picture: Picture, opening: Opening, white: npt.NDArray[np.float32]) -> Teeth | None:
    """Return the teeth of a mouth; None if none are visible.

    Args:
        picture: ``SIZE`` RGB in [0, 1], upright, the corners ``WIDTH`` apart with their middle at ``MIDDLE``.
        opening: between the lips, in the picture's pixels.
        white: (3,) colour of the whites of the same person's eyes in [0, 1].
    """
    height, width = SIZE
    columns = np.arange(width, dtype=np.float64)
    upper, lower = (np.interp(columns, opening.x, rows) for rows in (opening.upper, opening.lower))
    relative = picture / np.maximum(white, 0.05)
    light = relative.mean(2)
    rows = np.arange(height)[:, None]
    inside = (rows > upper + RIM / 2) & (rows < lower - RIM / 2)
    if inside.sum() < 200:
        return None
    brightest = float(np.quantile(light[inside], 0.92))
    redness = (relative[..., 0] - relative[..., 1]) / (light + 0.05)
    enamel = inside & (light > BRIGHT * brightest) & (redness < RED)
    middle = np.abs(columns - MIDDLE[0]) < 0.3 * WIDTH
    if enamel[:, middle].sum() < SEEN * inside[:, middle].sum() or brightest < 0.45:
        return None
    edge = _edges(enamel, upper, lower)
    soft = cv2.GaussianBlur(relative, (0, 0), SHARPEN_WIDTH)
    sharp = np.clip(relative + SHARPEN * (relative - soft), 0, 2.0)
    filled = _filled(sharp, upper + RIM, lower - RIM)
    return Teeth(
        filled.astype(np.float32), upper.astype(np.float32), lower.astype(np.float32), edge.astype(np.float32)
    )


def _edges(
    enamel: npt.NDArray[np.bool_], upper: npt.NDArray[np.float64], lower: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the row where the upper teeth end in each column: the end of the first run of enamel."""
    width = enamel.shape[1]
    found = np.full(width, np.nan)
    gaps = np.zeros(width, dtype=bool)
    closed = cv2.morphologyEx(enamel.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 5), np.uint8))
    for column in range(width):
        rows = np.flatnonzero(closed[:, column])
        if len(rows) == 0:
            continue
        # Up to the first gap.
        breaks = np.flatnonzero(np.diff(rows) > 1)
        gaps[column] = len(breaks) > 0 and rows[breaks[0]] - rows[0] > 10
        found[column] = rows[breaks[0]] if gaps[column] else rows[-1]
    known = np.isfinite(found)
    columns = np.arange(width)
    if gaps.sum() > TWO_ROWS * known.sum():
        # Where the gap is too narrow to be seen, the lower teeth would be taken for the end of the upper ones.
        found = np.minimum(found, np.interp(columns, columns[gaps], found[gaps]))
    found = np.interp(columns, columns[known], found[known])
    # Teeth end in short arcs; single columns that differ from their neighbours are gaps between teeth.
    smooth = np.array([np.median(found[max(0, at - 6) : at + 7]) for at in columns])
    return np.minimum(cv2.GaussianBlur(smooth[None], (0, 0), 2.0)[0], lower)


def _filled(picture: Picture, upper: npt.NDArray[np.float64], lower: npt.NDArray[np.float64]) -> Picture:
    """Return the picture with the content between the lips continued over the lips, column by column."""
    height, width = picture.shape[:2]
    rows = np.arange(height, dtype=np.float32)[:, None]
    middle = (upper + lower) / 2
    above, below = np.minimum(upper, middle), np.maximum(lower, middle)
    # Mirrored a little, then repeated: one row repeated all the way looks like a curtain.
    at = np.where(rows < above, above + np.minimum(above - rows, (below - above) * 0.5), rows)
    at = np.where(rows > below, below, at)
    # Beyond the corners the outermost visible column is repeated.
    shown = np.flatnonzero(below - above > 1)
    nearest = np.arange(width) if len(shown) == 0 else np.arange(width).clip(shown[0], shown[-1])
    at = at[:, nearest]
    columns = np.broadcast_to(nearest.astype(np.float32), (height, width))
    result: Picture = cv2.remap(
        np.ascontiguousarray(picture),
        np.ascontiguousarray(columns),
        np.ascontiguousarray(at.astype(np.float32)),
        cv2.INTER_LINEAR,
    )
    return result


def mouth_traits(landmarks: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return the width of a neutral mouth, the height of its lips and its distance from the nose, (3,).

    All as fractions of the distance of the outer eye corners; ``landmarks`` are (68, 2).
    """
    points = np.asarray(landmarks, dtype=np.float64)
    eyes = max(float(np.linalg.norm(points[45] - points[36])), 1e-6)
    pairs = ((48, 54), (51, 57), (33, 51))
    return np.array([np.linalg.norm(points[a] - points[b]) / eyes for a, b in pairs], dtype=np.float32)


def even_edge(teeth: Teeth) -> float:
    """Return how far the teeth's lower edge differs from an arc in the mouth's middle, as a fraction of its width."""
    middle = slice(SIZE[1] // 2 - 90, SIZE[1] // 2 + 91)
    across = np.arange(SIZE[1])[middle] - SIZE[1] / 2
    rows = teeth.edge[middle].astype(np.float64)
    arc = np.polyval(np.polyfit(across, rows, 4), across)
    return float(np.abs(rows - arc).max()) / WIDTH


def upright_matrix(left: npt.NDArray[np.float64], right: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the (2, 3) matrix that maps the corners of a mouth, (2,) each, to their places in a ``SIZE`` picture."""
    across = right - left
    scale = WIDTH / max(float(np.linalg.norm(across)), 1e-6)
    angle = float(np.arctan2(across[1], across[0]))
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.concatenate([turn, (np.array(MIDDLE) - turn @ ((left + right) / 2))[:, None]], axis=1)


def upright_mouth(
    pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    left: npt.NDArray[np.float64],
    right: npt.NDArray[np.float64],
) -> tuple[Picture, npt.NDArray[np.float64]]:
    """Return the mouth of a photo at ``SIZE``, with its corners level.

    Args:
        pixels: (H, W, 3) RGB photo.
        left, right: corners of the mouth, (2,) photo pixels.

    Returns:
        The picture in [0, 1], and the (2, 3) matrix from photo pixels to its pixels.
    """
    matrix, across = upright_matrix(left, right), right - left
    scale = float(np.hypot(*matrix[:, 0]))
    # Only the part that is needed, or the whole photo would be converted to floats.
    reach = float(np.hypot(*across)) * 1.5
    x0, y0 = np.floor(np.maximum((left + right) / 2 - reach, 0)).astype(int)
    x1, y1 = np.ceil((left + right) / 2 + reach).astype(int) + 1
    window = pixels[y0:y1, x0:x1].astype(np.float32) / np.iinfo(pixels.dtype).max
    if scale < 0.6:
        window = cv2.GaussianBlur(window, (0, 0), 0.45 / scale)
    local = matrix.copy()
    local[:, 2] += local[:, :2] @ np.array([x0, y0], dtype=np.float64)
    picture = cv2.warpAffine(
        window, local, SIZE[::-1], flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE
    )
    return np.clip(picture, 0, 1).astype(np.float32), matrix
