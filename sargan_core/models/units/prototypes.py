"""What the expressions by name ask of a face, as codes of face units.

People and rendered heads that pose an expression leave out a part of what strangers know it by. The table adds what
EMFACS (Friesen & Ekman 1983) lists for it, within the range that was rendered.
"""

from __future__ import annotations

import numpy as np

from sargan_core.expressions import LABELS, Expression
from sargan_core.faces.blur import ramp
from sargan_core.models.units.face_model import Array
from sargan_core.units import CODE_NAMES, UNITS

# Cosine between the code of a face and that of an expression from which they begin to be alike, and surely are.
ALIKE = (0.5, 0.75)
# The units that an expression is known by, both sides alike; what is not named stays as it was posed.
PROTOTYPES: dict[Expression, dict[str, float]] = {
    # AU 1+2+4+5+20+25+26: as it was posed, with the brows drawn together, wider eyes and lips stretched further.
    Expression.FEARFUL: {
        "brow_inner_up": 1.6,
        "brow_up": 0.45,
        "brow_down": 0.2,
        "lid_wide": 1.45,
        "squint": 0.1,
        "lip_stretch": 0.6,
        "lower_lip_down": 0.25,
        "corner_down": 0.47,
        "lips_part": 0.46,
        "jaw_open": 0.2,
        "neck_tight": 0.6,
    },
    # AU 4+5+7+10+16+25: a frown over narrowed eyes that stare, teeth bared.
    Expression.ANGRY: {
        "brow_down": 1.3,
        "brow_whole_down": 0.4,
        "lid_wide": 0.4,
        "squint": 0.5,
        "nose_wrinkle": 0.3,
        "upper_lip_up": 0.25,
        "lower_lip_down": 0.2,
        "lips_part_side": 0.25,
        "lip_stretch": 0.2,
        "corner_down": 0.55,
    },
    # AU 9+10+17+25: nose wrinkled, upper lip raised, chin pushed up. The brows come down with the nose alone: a frown
    # of their own (AU 4) would be anger.
    Expression.DISGUSTED: {
        "brow_down": 0.35,
        "brow_whole_down": 0.15,
        "squint": 0.55,
        "nose_wrinkle": 1.5,
        "nose_squeeze": 0.7,
        "nose_down": 0.1,
        "cheek_raise": 0.9,
        "upper_lip_up": 1.3,
        "corner_down": 0.5,
        "chin_raise": 0.6,
        "lips_part": 0.3,
    },
}


def prototype_code(expression: Expression, posed: Array) -> Array:
    """Return the code (U,) of an expression by name: ``posed`` (U,) with the units of ``PROTOTYPES`` as listed."""
    code = posed.copy()
    for unit in UNITS:
        if unit.name in PROTOTYPES.get(expression, {}):
            for part in unit.parts:
                code[CODE_NAMES.index(part)] = PROTOTYPES[expression][unit.name]
    return code


def alike(code: Array, other: Array) -> float:
    """Return how alike two codes (U,) are, from 0 to 1, however far they go."""
    return ramp(_cosine(code, other), ALIKE)


def _cosine(code: Array, other: Array) -> float:
    lengths = float(np.linalg.norm(code) * np.linalg.norm(other))
    return float(code @ other) / max(lengths, 1e-6)


def completed(code: Array, own: Array, posed: Array) -> Array:
    """Return a code (U,) with what could not be seen of it, NaN, as in the expression by name that it is most like.

    Wide eyes under raised brows go with an open mouth: without it they would be taken for sorrow. How far the rest goes
    is decided by what is seen. The less it is like any expression, the more stays as the other face has it.

    Args:
        code: (U,), NaN where something covers the face.
        own: (U,), what the face shows that is to get the code.
        posed: (7, U), mean code of each expression, in the order of ``expressions.LABELS``.
    """
    seen = np.isfinite(code)
    every = [prototype_code(label, expected) for label, expected in zip(LABELS, posed, strict=True)]
    best = max(every, key=lambda whole: _cosine(code[seen], whole[seen]))
    share = float(code[seen] @ best[seen]) / max(float(best[seen] @ best[seen]), 1e-6)
    return np.where(seen, code, own + alike(code[seen], best[seen]) * (share * best - own))
