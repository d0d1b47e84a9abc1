"""Tell the light on a face's teeth by the whites of its eyes and its skin."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

from sargan_core.faces.eyes import eye_regions, eye_white

Points = npt.NDArray[np.float64]

# Mean colour of the whites of the eyes in the photos that the bank's teeth come from.
STUDIO = np.array([0.621, 0.573, 0.569], dtype=np.float32)
# Believable brightness of the whites, as a multiple of the skin's below them: eyes may be covered, shut or red.
WHITE_TO_SKIN = (0.95, 3.0)
# Brightness of whites that are hidden, as a multiple of the skin's.
SKIN_TO_WHITE = 1.15
# Largest tint of the whites (logarithms of red and blue over green): this fraction of the skin's, or the faint tint.
SKIN_TINT = 0.45
FAINT_TINT = (0.1, -0.06)
# Tint of skin in plain light, and the share of what goes beyond it that the whites have at least: in warm light, whites
# that were brightened or mirror the sky are less warm than teeth.
PLAIN_SKIN = (0.21, -0.095)
WARM_SHARE = 0.25
PLAIN_TINT = (0.05, 0.0)


def teeth_light(image: Tensor, landmarks: Points, hidden: bool = False) -> npt.NDArray[np.float32]:
    """Return the light on the teeth, as the colour that the whites of the eyes should have in it, (3,) in [0, 1].

    The measured whites have some error and are darker in deep sockets. So a small difference from the light on the
    bank's teeth is mostly ignored, and a large one is believed.

    Args:
        image: (3, S, S) crop in [0, 1].
        landmarks: (68, 2) crop pixels.
        hidden: whether the eyes are covered; then the skin alone tells.
    """
    size = image.shape[-1]
    found = eye_white(image, eye_regions(landmarks, size)).cpu().double().numpy().clip(0.02, 1)
    skin_colour = _skin(image, landmarks)
    skin = float(skin_colour.mean())
    if hidden:
        found = STUDIO.astype(np.float64) * min(1.0, SKIN_TO_WHITE * skin / float(STUDIO.mean()))
    low, high = WHITE_TO_SKIN
    level = float(np.clip(found.mean(), min(0.9, low * skin), max(low * skin, min(1.0, high * skin))))
    studio = STUDIO.astype(np.float64)
    brighter = _believed(np.log(level / studio.mean()), 0.2)
    colour = _believed(np.log(found / found.mean() * studio.mean() / studio), 0.06)
    white = np.log(studio) + brighter + colour
    # Whites as red as the skin are skin: lids, or what lies beside eyes whose landmarks are off.
    tint, own = white - white[1], np.log(skin_colour / skin_colour[1])
    least_red = PLAIN_TINT[0] + WARM_SHARE * max(own[0] - PLAIN_SKIN[0], 0)
    most_blue = PLAIN_TINT[1] + WARM_SHARE * min(own[2] - PLAIN_SKIN[1], 0)
    tint[0] = np.clip(tint[0], least_red, max(own[0] * SKIN_TINT, FAINT_TINT[0]))
    tint[2] = np.clip(tint[2], min(own[2] * SKIN_TINT, FAINT_TINT[1]), most_blue)
    tinted = np.exp(tint)
    return np.asarray(tinted * (np.exp(white).mean() / tinted.mean()), dtype=np.float32)


def _believed(difference: npt.ArrayLike, doubt: float) -> npt.NDArray[np.float64]:
    """Return a difference reduced: strongly if it is smaller than ``doubt``, hardly if it is much larger."""
    amount = np.asarray(difference, dtype=np.float64)
    return np.asarray(amount * np.abs(amount) / (np.abs(amount) + doubt))


def _skin(image: Tensor, landmarks: Points) -> npt.NDArray[np.float64]:
    """Return the colour of the skin of the cheeks, (3,): halfway between the eyes and the corners of the mouth."""
    size = image.shape[-1]
    reach = max(2, size // 40)
    colours = []
    for lid, corner in ((41, 48), (46, 54)):
        x, y = np.clip(
            np.round((landmarks[lid] + landmarks[corner]) / 2).astype(int), reach, size - reach - 1
        )
        patch = image[:, y - reach : y + reach + 1, x - reach : x + reach + 1]
        colours.append(patch.mean((1, 2)).cpu().double().numpy())
    return np.asarray(np.mean(colours, axis=0).clip(0.02, 1))
