"""Made mouths: a row of teeth between red lips."""

import numpy as np

from sargan_core.faces.mouth import Opening
from sargan_core.faces.teeth import MIDDLE, SIZE, WIDTH, Teeth, cut_teeth

WHITE = np.array([0.7, 0.66, 0.65], np.float32)
LIP, DARK, ENAMEL = (0.62, 0.3, 0.33), (0.1, 0.04, 0.04), (0.86, 0.83, 0.78)
TOOTH = 32


def smile() -> Opening:
    """Return the opening of a smile in a picture of ``SIZE``."""
    x = np.linspace(MIDDLE[0] - WIDTH / 2, MIDDLE[0] + WIDTH / 2, 65)
    across = (x - MIDDLE[0]) / (WIDTH / 2)
    return Opening(x, np.full(65, MIDDLE[1]), MIDDLE[1] + 60 * (1 - across**2))


def picture(enamel=ENAMEL) -> np.ndarray:
    """Return lips, dark, and upper teeth of 44 rows with gaps between them."""
    height, width = SIZE
    rows, columns = np.arange(height)[:, None], np.arange(width)
    opening = smile()
    upper, lower = (np.interp(columns, opening.x, rim) for rim in (opening.upper, opening.lower))
    inside = (rows > upper) & (rows < lower)
    inside &= np.abs(columns - MIDDLE[0]) < WIDTH / 2
    canvas = np.empty((height, width, 3), np.float32)
    canvas[:] = LIP
    canvas[inside] = DARK
    gap = (columns - int(MIDDLE[0])) % TOOTH < 3
    canvas[inside & (rows < MIDDLE[1] + 44) & ~gap & (np.abs(columns - MIDDLE[0]) < 0.4 * WIDTH)] = enamel
    return canvas


def teeth() -> Teeth:
    """Return what is cut out of the made picture."""
    found = cut_teeth(picture(), smile(), WHITE)
    assert found is not None
    return found
