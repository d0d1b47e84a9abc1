"""How much of an expression a face shows already: a broad smile is not exchanged for a posed one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from sargan_core.expressions import Expression, ExpressionMix
from sargan_core.faces.blur import ramp

Points = npt.NDArray[np.float64]
# Landmarks that tell what a face shows: all but the outline.
MOVING = slice(17, 68)
# Cosine between the face's motion and that of an expression from which they begin to be alike, and surely are.
ALIKE = (0.65, 0.85)
# The same for how far the face has moved, as a fraction of the wanted way. Neutral landmarks are estimated a little too
# close to the face's own, so most of the way counts as all of it.
SHOWN = (0.45, 0.85)
# Both for smiles with parted lips: people smile in many ways, and the teeth that are seen are their own.
ALIKE_OPEN, SHOWN_OPEN = (0.55, 0.75), (0.3, 0.6)

# How much more alike, in cosine, a face must be to an expression than to every other one, to begin to show it and to
# show it surely. Surprise opens the mouth as fear does, and a smile shows teeth as anger does. A smile needs no more.
MORE_ALIKE = (0.0, 0.08)


def still_wanted(
    own: Points, motions: Mapping[Expression, Points], mix: ExpressionMix, parted: float = 0.0
) -> ExpressionMix:
    """Return a mix with less of each expression that the face shows already, and none of what it shows in full.

    A face shows an expression if its landmarks have moved from the neutral ones in the same direction, as far as its
    motion goes along there, and more than along any other expression; but a smile is a smile.

    Args:
        own: (68, 2) crop pixels, the face's landmarks minus those of its neutral face; not all 0.
        motions: the same for the expressions that the model knows, at strength 1.
        mix: what is asked for.
        parted: how surely the lips of the face are parted, from 0 to 1.
    """
    own = own[MOVING]
    length = float(np.linalg.norm(own))
    # Weights of somebody's own may know an expression that moves nothing.
    reaches = {
        expression: max(float(np.linalg.norm(motion[MOVING])), 1e-6)
        for expression, motion in motions.items()
        if expression is not Expression.NEUTRAL
    }
    along = {
        expression: float((own * motions[expression][MOVING]).sum()) / reach
        for expression, reach in reaches.items()
    }
    parts = []
    for expression, weight in mix.parts:
        left = 1.0
        if weight > 0 and expression in reaches:
            smile = expression is Expression.HAPPY
            alike, shown = (
                _mixed(limits, open_limits, parted if smile else 0.0)
                for limits, open_limits in ((ALIKE, ALIKE_OPEN), (SHOWN, SHOWN_OPEN))
            )
            way = along[expression]
            others = [other for name, other in along.items() if name is not expression]
            most = 1.0 if smile or not others else ramp((way - max(others)) / length, MORE_ALIKE)
            left -= most * ramp(way / length, alike) * ramp(way / (reaches[expression] * weight), shown)
        parts.append((expression, weight * left))
    return ExpressionMix(tuple(parts))


def _mixed(one: tuple[float, float], other: tuple[float, float], share: float) -> tuple[float, float]:
    """Return the limits ``one`` for share 0, ``other`` for 1."""
    low, high = (before + share * (after - before) for before, after in zip(one, other, strict=True))
    return low, high
