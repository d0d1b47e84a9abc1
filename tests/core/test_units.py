import pytest

from sargan_core.errors import UsageError
from sargan_core.expressions import parse_mix
from sargan_core.units import (
    CODE_NAMES,
    LARGEST,
    LOWEST,
    MIRRORED_CODE,
    UNITS,
    UnitMix,
    code_json,
    parse_units,
)


def test_a_code_has_an_entry_for_every_unit_and_side():
    assert len(CODE_NAMES) == len(set(CODE_NAMES)) == len(LARGEST) == len(LOWEST) == 54
    assert all(unit.says and unit.largest > 0 for unit in UNITS)


def test_the_mirror_swaps_sides_and_mirrored_twice_is_the_code_itself():
    assert [MIRRORED_CODE[index] for index in MIRRORED_CODE] == list(range(54))
    assert CODE_NAMES[MIRRORED_CODE[CODE_NAMES.index("brow_up_L")]] == "brow_up_R"


def test_a_bare_name_is_both_sides_and_a_side_is_itself():
    wanted = code_json(parse_units("corner_pull=0.8, brow_up_L=0.5").code)
    assert wanted == {"brow_up_L": 0.5, "corner_pull_L": 0.8, "corner_pull_R": 0.8}


def test_strength_scales_every_weight():
    mix = parse_units("corner_pull=0.8,jaw_side=-0.5", parse_mix("happy:0.5")).scaled(0.5)
    assert code_json(mix.code) == {"corner_pull_L": 0.4, "corner_pull_R": 0.4, "jaw_side": -0.25}
    assert str(mix) == "happy:0.25,corner_pull=0.4,jaw_side=-0.25"
    assert mix.scaled(0).is_identity


def test_nothing_is_asked_for_by_a_code_of_zero():
    assert parse_units("corner_pull=0").is_identity
    assert not parse_units("corner_pull=0", parse_mix("happy")).is_identity


def test_names_of_files_stay_short():
    every = UnitMix(tuple((name, 0.5) for name in CODE_NAMES))
    assert len(every.slug) < 40
    assert parse_units("corner_pull=0.8").slug == "corner_pull80"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("corner_pul=1", "Did you mean 'corner_pull'"),
        ("", "unknown unit ''"),
        ("corner_pull", "give a number"),
        ("corner_pull=much", "give a number"),
        ("corner_pull=nan", "give a number"),
        ("corner_pull=2", "goes from 0 to 1.25"),
        ("corner_pull=-0.1", "goes from 0 to 1.25"),
        ("jaw_side=-1.5", "goes from -1 to 1"),
        ("corner_pull=1,corner_pull_L=0.5", "twice"),
        ("x" * 10_000, "…"),
    ],
)
def test_what_is_no_code_is_refused_in_one_line(text, said):
    with pytest.raises(UsageError) as caught:
        parse_units(text)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


def test_a_strength_may_not_take_a_unit_further_than_it_goes():
    with pytest.raises(UsageError, match="strength"):
        parse_units("corner_pull=1").scaled(1.5)
