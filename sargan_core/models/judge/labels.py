"""Labels of the judge: probabilities of the seven expressions for a posed name or a code of face units.

Nobody names every posed face as it was meant, and a code of a few units means several things at once. So the judge is
taught doubt: the rows below are rounded from what is generally found when people name posed faces (fear is taken for
surprise, disgust for anger, a weak expression for none), and codes are weighed after FACS and EMFACS.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from sargan_core.expressions import LABELS, Expression

Array = npt.NDArray[np.float64]

_E = Expression
# For each posed expression, the probability of each name; what is missing to 1 is spread evenly.
NAMED: Mapping[Expression, Mapping[Expression, float]] = {
    _E.FEARFUL: {_E.FEARFUL: 0.66, _E.SURPRISED: 0.15, _E.SAD: 0.06, _E.NEUTRAL: 0.05, _E.DISGUSTED: 0.04},
    _E.ANGRY: {_E.ANGRY: 0.74, _E.DISGUSTED: 0.09, _E.NEUTRAL: 0.07, _E.SAD: 0.04, _E.FEARFUL: 0.03},
    _E.DISGUSTED: {_E.DISGUSTED: 0.74, _E.ANGRY: 0.14, _E.SAD: 0.05, _E.NEUTRAL: 0.03},
    _E.HAPPY: {_E.HAPPY: 0.93, _E.NEUTRAL: 0.04},
    _E.NEUTRAL: {_E.NEUTRAL: 0.84, _E.SAD: 0.05, _E.ANGRY: 0.04, _E.HAPPY: 0.03},
    _E.SAD: {_E.SAD: 0.77, _E.NEUTRAL: 0.10, _E.DISGUSTED: 0.04, _E.FEARFUL: 0.04, _E.ANGRY: 0.03},
    _E.SURPRISED: {_E.SURPRISED: 0.82, _E.FEARFUL: 0.09, _E.NEUTRAL: 0.04},
}
# Weight of neutral in transferred expressions, which are weaker than posed ones.
UNSEEN = 0.15
# Weight of each unit in a full posed expression.
TYPICAL: Mapping[str, float] = {
    "brow_inner_up": 1.2,
    "brow_up": 1.0,
    "brow_outer_up": 1.2,
    "brow_down": 1.1,
    "brow_whole_down": 0.5,
    "lid_close": 1.0,
    "lid_wide": 1.1,
    "squint": 0.4,
    "nose_wrinkle": 1.0,
    "nostril_wide": 0.9,
    "cheek_raise": 0.6,
    "corner_pull": 1.0,
    "smile_teeth": 0.9,
    "corner_down": 0.7,
    "lower_lip_down": 0.7,
    "upper_lip_up": 0.8,
    "lip_stretch": 0.6,
    "lips_part": 0.7,
    "chin_raise": 0.6,
    "lip_press": 0.6,
    "jaw_open": 0.6,
    "tongue_out": 1.0,
    "neck_tight": 0.6,
}
# Evidence of each unit for (> 0) and against an expression; the logit is ``SHARPNESS`` times the sum.
EVIDENCE: Mapping[Expression, Mapping[str, float]] = {
    _E.HAPPY: {
        **{"corner_pull": 4.0, "smile_teeth": 3.5, "cheek_raise": 0.8},
        **{"corner_down": -2.0, "nose_wrinkle": -1.0, "brow_down": -0.7, "upper_lip_up": -0.5},
    },
    _E.SURPRISED: {
        **{"brow_up": 1.8, "brow_outer_up": 0.9, "brow_inner_up": 0.4, "lid_wide": 1.1, "jaw_open": 1.8},
        **{"lip_stretch": -1.5, "corner_down": -1.0, "brow_down": -1.8, "nose_wrinkle": -1.0, "squint": -0.5},
        **{"corner_pull": -1.0, "smile_teeth": -1.0, "neck_tight": -0.5, "lid_close": -2.0},
    },
    _E.FEARFUL: {
        **{"brow_inner_up": 1.3, "brow_up": 0.5, "lid_wide": 1.5, "lip_stretch": 1.5, "neck_tight": 0.5},
        **{
            "lips_part": 0.4,
            "lower_lip_down": 0.3,
            "corner_pull": -2.0,
            "smile_teeth": -2.0,
            "lid_close": -2.0,
        },
        **{"nose_wrinkle": -0.7, "jaw_open": -0.3},
    },
    _E.SAD: {
        **{"brow_inner_up": 1.4, "brow_up": -0.8, "corner_down": 2.0, "chin_raise": 0.9, "lid_close": 0.9},
        **{
            "brow_down": 0.2,
            "lid_wide": -1.5,
            "corner_pull": -2.0,
            "smile_teeth": -2.0,
            "nose_wrinkle": -1.0,
        },
        **{"jaw_open": -0.5, "brow_outer_up": -0.5},
    },
    _E.ANGRY: {
        **{"brow_down": 2.5, "brow_whole_down": 1.0, "lid_wide": 0.5, "squint": 0.3, "nostril_wide": 0.5},
        **{"lip_press": 1.1, "lips_part": 0.3, "corner_down": 0.3, "brow_inner_up": -1.4, "brow_up": -1.5},
        **{"brow_outer_up": -0.3, "corner_pull": -1.8, "smile_teeth": -1.8, "nose_wrinkle": -0.3},
    },
    _E.DISGUSTED: {
        **{"nose_wrinkle": 2.8, "upper_lip_up": 1.7, "chin_raise": 0.4, "squint": 0.3, "brow_down": 0.2},
        **{"tongue_out": 1.2, "corner_down": 0.3, "corner_pull": -1.5, "smile_teeth": -1.5, "brow_up": -0.8},
    },
    _E.NEUTRAL: {"jaw_open": -0.6, "lid_wide": -0.3, "tongue_out": -0.5, "brow_down": -0.2},
}
# Logit of neutral for a face without any unit, against 0 for each other expression.
NEUTRAL_LOGIT = 2.6
# Factor on the evidence.
SHARPNESS = 1.35


def named_rows() -> Array:
    """Return (7, 7) probabilities: row = posed expression, column = named expression, both in label order."""
    rows = np.zeros((len(LABELS), len(LABELS)))
    for row, posed in enumerate(LABELS):
        for column, called in enumerate(LABELS):
            rows[row, column] = NAMED[posed].get(called, 0.0)
        rows[row] += (1 - rows[row].sum()) / len(LABELS)
    return rows


def code_labels(codes: npt.ArrayLike, names: tuple[str, ...]) -> Array:
    """Return (N, 7) probabilities for codes (N, U) of face units.

    Args:
        codes: weights, 1 = the unit as sculpted.
        names: of the entries; sides as ``_L`` and ``_R``.
    """
    values = np.asarray(codes, dtype=np.float64)
    scores = np.zeros((len(values), len(LABELS)))
    scores[:, LABELS.index(Expression.NEUTRAL)] = NEUTRAL_LOGIT
    for unit, typical in TYPICAL.items():
        sides = [index for index, name in enumerate(names) if name in (unit, f"{unit}_L", f"{unit}_R")]
        both = values[:, sides]
        # One side alone is seen, though less than two.
        seen = (0.7 * both.mean(1) + 0.3 * both.max(1)) / typical
        seen = np.clip(seen, 0, 1.4)
        for column, expression in enumerate(LABELS):
            scores[:, column] += EVIDENCE[expression].get(unit, 0.0) * seen
    shares = np.exp(SHARPNESS * (scores - scores.max(1, keepdims=True)))
    shares /= shares.sum(1, keepdims=True)
    blurred: Array = shares @ named_rows()
    return blurred
