import numpy as np
import pytest
import torch

from sargan_core.errors import UsageError
from sargan_core.expressions import Expression
from sargan_core.models.pixel.fit import PixelOptions
from sargan_core.models.pixel.prototypes import shown_code, with_prototypes
from sargan_core.models.pixel.run import PixelRun
from sargan_core.models.registry import load_model
from sargan_core.models.units.prototypes import PROTOTYPES, prototype_code
from sargan_core.units import CODE_NAMES, UNITS


def test_prototypes_name_units_within_the_range_that_was_rendered():
    known = {unit.name: unit for unit in UNITS}
    for units in PROTOTYPES.values():
        for name, weight in units.items():
            assert known[name].lowest <= weight <= known[name].largest


def test_a_prototype_sets_both_sides_and_leaves_what_it_does_not_name():
    posed = np.linspace(0, 0.3, len(CODE_NAMES))
    code = prototype_code(Expression.FEARFUL, posed)
    wide = PROTOTYPES[Expression.FEARFUL]["lid_wide"]
    assert code[CODE_NAMES.index("lid_wide_L")] == code[CODE_NAMES.index("lid_wide_R")] == wide
    named = {part for unit in UNITS if unit.name in PROTOTYPES[Expression.FEARFUL] for part in unit.parts}
    for index, name in enumerate(CODE_NAMES):
        if name not in named:
            assert code[index] == posed[index]
    assert np.array_equal(prototype_code(Expression.HAPPY, posed), posed)


@pytest.fixture(scope="module")
def shipped():
    return load_model("pixel"), load_model("units")


def missed(pixel, units, expression):
    """How far the landmarks are from where the prototype has them, as a part of how far the expression moves them."""
    offsets = units.head.model.points[2]
    shown = shown_code(pixel, units, expression)
    wrong = np.tensordot(prototype_code(expression, shown) - shown, offsets, 1)[17:]
    return float(np.linalg.norm(wrong) / np.linalg.norm(np.tensordot(shown, offsets, 1)[17:]))


@pytest.mark.parametrize("expression", list(PROTOTYPES))
def test_the_shipped_model_poses_the_prototypes(shipped, expression):
    assert missed(*shipped, expression) < 0.2


def test_a_model_is_brought_towards_the_prototypes_and_the_rest_of_it_stays(shipped):
    pixel, units = shipped
    # Fear posed as anger: something that the table has to put right.
    fear, anger, joy = (pixel.settings.expressions.index(name) for name in ("fearful", "angry", "happy"))
    tensors = {
        name: tensor.clone()
        for name, tensor in pixel.named_buffers()
        if name not in ("dense_flow", "eye_white")
    }
    for name in ("flow", "weight", "bias", "inside", "goals"):
        tensors[name][fear] = tensors[name][anger]
    wrong = type(pixel)(pixel.settings, pixel.template, {**tensors, "eye_white": pixel.eye_white})
    moved = with_prototypes(wrong, units)
    assert missed(moved, units, Expression.FEARFUL) < 0.5 * missed(wrong, units, Expression.FEARFUL)
    for name in ("flow", "weight", "bias", "inside", "goals"):
        assert torch.equal(moved.get_buffer(name)[joy], pixel.get_buffer(name)[joy])
        assert torch.isfinite(moved.get_buffer(name)).all()


def test_forms_that_do_not_move_have_no_prototypes(tmp_path):
    run = PixelRun(data=(str(tmp_path),), fit=PixelOptions(form="plain", size=128), prototypes="emfacs")
    with pytest.raises(UsageError, match="goes with --form displaced"):
        run.check()
