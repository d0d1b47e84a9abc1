"""Fill the opening between the lips of an edited face: choose the teeth, their place and their light."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sargan_core.faces.align import Alignment, apply_matrix
from sargan_core.faces.face import EditedCrops, Face, Pixels
from sargan_core.faces.inner_mouth import SMILE, InnerMouth, Placement, inner_mouth
from sargan_core.faces.lip_line import with_sure_lips
from sargan_core.faces.mouth import CORNER, opening_of
from sargan_core.faces.teeth import Teeth, cut_teeth, upright_matrix, upright_mouth
from sargan_core.faces.teeth_light import teeth_light

Points = npt.NDArray[np.float64]
# Chooses the teeth to show by the neutral landmarks, (68, 2) photo pixels, or None if they are not known.
Choice = Callable[[Points | None], Teeth]

# Height of the upper lip's edge in a broad smile above the neutral lip line, as a fraction of the smile's width.
RAISED = 5.9 / SMILE
# Width of a broad smile as a multiple of the neutral mouth's.
BROADER = 1.163
# The photo's own teeth are shown if the mouth is this many pixels wide, open by this fraction of its width, and if the
# visible length of the front teeth is this fraction of it.
FEWEST_PIXELS = 40
OPEN = 0.11
SHORTEST = 0.08


def fill(
    pixels: Pixels,
    face: Face,
    alignment: Alignment,
    crop: Tensor,
    edited: EditedCrops,
    choose: Choice,
    hidden_eyes: bool = False,
) -> InnerMouth | None:
    """Return what is seen between the lips of an edited face; None if they are shut,
    covered or not known.

    Args:
        pixels: (H, W, 3) the photo.
        face: the face in the photo.
        alignment: of the crop.
        crop: (1, 3, S, S) the face before the edit.
        edited: the edited crop, a batch of one.
        choose: chooses teeth if the photo shows none.
        hidden_eyes: whether the eyes are covered, so that their whites cannot show the light.
    """
    if edited.lips is None or not bool(edited.lips.isfinite().all()) or alignment.landmarks is None:
        return None
    lips = np.zeros((68, 2))
    lips[48:] = edited.lips[0].cpu().double().numpy()
    share = 1.0 if edited.parted is None else float(edited.parted[0])
    own = alignment.landmarks.astype(np.float64)
    neutral = own if alignment.neutral is None else alignment.neutral.astype(np.float64)
    white, tall = teeth_light(crop[0], own, hidden_eyes), _tall(alignment, neutral)
    teeth, place = None, placement(neutral, tall)
    if face.landmarks is not None:
        found = with_sure_lips(pixels, face.landmarks).astype(np.float64)
        teeth = own_teeth(pixels, found, white)
        if teeth is not None:
            mouth = opening_of(own)
            row = float(np.interp(mouth.centre, mouth.x, mouth.upper))
            place = Placement(mouth.centre, row, mouth.width, tall, own=True)
            # They are visible already, so they do not fade in.
            share = 1.0
        else:
            teeth = choose(_neutral_in_photo(found, own, neutral, alignment))
    return inner_mouth(opening_of(lips), teeth or choose(None), place, white, share, alignment.scale)


def own_teeth(pixels: Pixels, landmarks: Points, white: npt.NDArray[np.float32]) -> Teeth | None:
    """Return the teeth that the photo itself shows; None if lips are shut or hide them.

    Args:
        pixels: (H, W, 3) the photo.
        landmarks: (68, 2) photo pixels.
        white: (3,) colour of the whites of the eyes in [0, 1].
    """
    corners = [landmarks[a] + CORNER * (landmarks[b] - landmarks[a]) for a, b in ((48, 60), (54, 64))]
    if not np.linalg.norm(corners[1] - corners[0]) > FEWEST_PIXELS:
        return None
    mouth = opening_of(apply_matrix(upright_matrix(*corners), landmarks))
    if mouth.height < OPEN * mouth.width:
        return None
    teeth = cut_teeth(upright_mouth(pixels, *corners)[0], mouth, white)
    return teeth if teeth is not None and teeth.length > SHORTEST else None


def placement(neutral: Points, tall: float = 1.0) -> Placement:
    """Return where the teeth of a face lie, from its neutral landmarks, (68, 2) crop pixels."""
    width = BROADER * float(np.linalg.norm(neutral[54] - neutral[48]))
    line = neutral[[61, 62, 63, 65, 66, 67], 1].mean()
    return Placement(float((neutral[48, 0] + neutral[54, 0]) / 2), float(line - RAISED * width), width, tall)


def _tall(alignment: Alignment, neutral: Points) -> float:
    """Return height / width of a square of the crop on the front teeth as the photo shows it."""
    column, row = neutral[[48, 54], 0].mean(), neutral[[62, 66], 1].mean()
    half, size = 0.1 * float(neutral[54, 0] - neutral[48, 0]), alignment.template.size
    ends = np.array(
        [[column - 2 * half, column + 2 * half, column, column], [row, row, row - half, row + half]]
    )
    where = torch.from_numpy(ends.clip(0, size - 1).astype(np.float32))[None, :, :, None]
    photo = alignment.to_photo(where)[0, :, :, 0].double().numpy()
    across, down = (float(np.linalg.norm(photo[:, end + 1] - photo[:, end])) for end in (0, 2))
    return float(np.clip(2 * down / max(across, 1e-6), 0.3, 3.0))


def _neutral_in_photo(photo: Points, own: Points, neutral: Points, alignment: Alignment) -> Points:
    """Return the neutral landmarks in photo pixels, to first order."""
    return photo + (neutral - own) @ alignment.matrix[:, :2].T
