"""The frame that crops of all people share: eyes and mouth in one place, or the whole mean neutral face."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sargan_core.faces.face import Template
from sargan_core.faces.landmarks import MIRRORED
from sargan_core.faces.mouth import closed

Points = npt.NDArray[np.float64]

# Eyes and mouth as fractions of the crop's side, with room for a dropped jaw.
EYES_AND_MOUTH = ((0.355, 0.32), (0.645, 0.32), (0.5, 0.635))


def affine_template(size: int) -> Template:
    """Return the alignment by eyes and mouth, for crops of ``size`` pixels."""
    return Template(size, "affine", *EYES_AND_MOUTH)


def spline_template(shape: Points, size: int) -> Template:
    """Return the alignment of all landmarks with ``shape``, (68, 2) pixels of crops of ``size``."""
    fractions = (shape + 0.5) / size
    return Template(size, "spline", *EYES_AND_MOUTH, tuple((float(x), float(y)) for x, y in fractions))


def symmetric(shape: Points, size: int) -> Points:
    """Return the mean of a face's landmarks and their mirror image, (68, 2) pixels of a crop of ``size``.

    Lips that cross are put together.
    """
    mirrored = shape[list(MIRRORED)] * [-1, 1] + [size - 1, 0]
    return closed((shape + mirrored) / 2)
