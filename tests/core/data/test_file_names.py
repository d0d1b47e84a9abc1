import pytest

from sargan_core.data.sets import NamedPhoto, Unwanted, parse_file_name
from sargan_core.expressions import TABLE, Expression


@pytest.mark.parametrize("record", TABLE)
def test_every_code_of_every_set_gives_its_expression(record):
    assert parse_file_name(f"AF01{record.kdef}S") == NamedPhoto("kdef", "F01", record.expression, "A")
    assert parse_file_name(f"KA.{record.jaffe}2.40") == NamedPhoto("jaffe", "KA", record.expression)
    rafd = parse_file_name(f"Rafd090_28_Caucasian_male_{record.rafd}_frontal")
    assert rafd == NamedPhoto("rafd", "28", record.expression, "090-frontal")


def test_kdef_person_is_sex_and_number_in_both_sessions():
    persons = [parse_file_name(stem).person for stem in ("AF01ANS", "BF01HAS", "AM01ANS")]
    assert persons[0] == persons[1] != persons[2]


def test_kdef_sessions_are_different_takes():
    assert len({parse_file_name(stem).take for stem in ("AF01ANS", "BF01ANS")}) == 2


def test_names_count_in_any_case():
    assert parse_file_name("af01ans") == parse_file_name("AF01ANS")
    assert parse_file_name("rafd090_28_caucasian_MALE_happy_frontal").expression is Expression.HAPPY


@pytest.mark.parametrize(
    ("stem", "word"),
    [
        ("AF01ANHL", "HL"),
        ("AF31V", "truncated"),
        ("AM31H", "truncated"),
        ("Rafd045_28_Caucasian_male_angry_frontal", "camera 045"),
        ("Rafd090_28_Caucasian_male_angry_left", "gaze left"),
        ("Rafd090_28_Caucasian_male_contemptuous_frontal", "contemptuous"),
    ],
)
def test_unwanted_photos_of_known_sets_say_why(stem, word):
    parsed = parse_file_name(stem)
    assert isinstance(parsed, Unwanted)
    assert word in parsed.reason


@pytest.mark.parametrize("stem", ["anna", "AF01XXS", "CF01ANS", "AF1ANS", "KA.XX1.39", "AF01ANS2", ""])
def test_other_names_belong_to_no_set(stem):
    assert parse_file_name(stem) is None
