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
Units = Mapping[str, float]

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
# What makes a full smile beside the neutral photo: how much wider the mouth is together with the lift of its corners,
# or the gap between the lips, in distances of the eyes.
WIDENING, LIFT, GAP = 0.2, 0.09, 0.1
# How often somebody who was asked to smile and moved nothing is called happy.
FAINT = 0.35
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
# Units above and below the middle of the nose in each posed expression after EMFACS, 1 = as in a full one.
UPPER: Mapping[Expression, Units] = {
    _E.FEARFUL: {"brow_inner_up": 1.0, "brow_up": 0.8, "brow_down": 0.2, "lid_wide": 1.0},
    _E.ANGRY: {"brow_down": 1.0, "brow_whole_down": 0.6, "squint": 0.7, "lid_wide": 0.4},
    _E.DISGUSTED: {"nose_wrinkle": 0.6, "brow_down": 0.4, "squint": 1.0},
    _E.HAPPY: {"cheek_raise": 1.0, "squint": 0.7},
    _E.NEUTRAL: {},
    _E.SAD: {"brow_inner_up": 1.0, "brow_down": 0.2, "lid_close": 0.2},
    _E.SURPRISED: {"brow_up": 1.0, "brow_outer_up": 1.0, "brow_inner_up": 0.8, "lid_wide": 1.0},
}
LOWER: Mapping[Expression, Units] = {
    _E.FEARFUL: {"lip_stretch": 1.0, "lips_part": 1.0, "lower_lip_down": 0.5, "neck_tight": 1.0},
    _E.ANGRY: {"lip_press": 0.6, "lips_part": 0.5, "nostril_wide": 1.0},
    _E.DISGUSTED: {"nose_wrinkle": 0.4, "upper_lip_up": 1.0, "chin_raise": 0.4, "corner_down": 0.4},
    _E.HAPPY: {"corner_pull": 1.0, "smile_teeth": 0.5},
    _E.NEUTRAL: {},
    _E.SAD: {"corner_down": 1.0, "chin_raise": 0.5},
    _E.SURPRISED: {"jaw_open": 1.0},
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


def smile_label(before: npt.NDArray[np.floating], after: npt.NDArray[np.floating]) -> Array:
    """Return the probabilities (7,) of a photo of somebody asked to smile: many hardly do.

    Args:
        before: (68, 2) landmarks of the person's neutral photo, iBUG order, (x, y).
        after: the same of the smile, found the same way.
    """
    (wide, low, gap), (wider, lower, opened) = (
        _mouth(points.astype(np.float64)) for points in (before, after)
    )
    strength = (wider / wide - 1) / WIDENING / 2 + (lower - low) / LIFT / 2 + max(0.0, opened - gap) / GAP
    strength = float(np.clip(strength, 0, 1))
    rows = named_rows()
    happy, neutral = (rows[LABELS.index(label)] for label in (Expression.HAPPY, Expression.NEUTRAL))
    label: Array = strength * happy + (1 - strength) * (FAINT * happy + (1 - FAINT) * neutral)
    return label


def _mouth(points: Array) -> tuple[float, float, float]:
    """Return width, depth of the middle below the corners and gap of the lips, in distances of the eyes."""
    eyes = float(np.linalg.norm(points[36:42].mean(0) - points[42:48].mean(0)))
    left, right, top, bottom = points[48], points[54], points[51], points[57]
    wide = float(np.linalg.norm(left - right)) / eyes
    depth = float((top + bottom - left - right)[1]) / 2 / eyes
    return wide, depth, float(np.linalg.norm(points[62] - points[66])) / eyes


def halves_labels() -> Array:
    """Return (7, 7, 7) probabilities of the names of faces put together from two expressions.

    First index: the posed expression of forehead, eyes and nose; second: of mouth and chin; both in label order.
    """
    names = tuple(TYPICAL)
    codes = np.zeros((len(LABELS), len(LABELS), len(names)))
    for row, upper in enumerate(LABELS):
        for column, lower in enumerate(LABELS):
            for part in (UPPER[upper], LOWER[lower]):
                for unit, share in part.items():
                    codes[row, column, names.index(unit)] += share * TYPICAL[unit]
    return code_labels(codes.reshape(-1, len(names)), names).reshape((len(LABELS),) * 3)
