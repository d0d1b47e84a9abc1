from dataclasses import replace

import pytest
from made_results import made_results

from sargan_core.errors import DataError
from sargan_core.evaluation.compare import compare, difference_cells
from sargan_core.evaluation.results import read_results


def verdicts(comparison, model="pixel"):
    return {item.figure: item.verdict for item in comparison.differences if item.first == model}


def test_a_run_does_not_differ_from_itself():
    comparison = compare(made_results(), made_results())
    assert {item.verdict for item in comparison.differences} == {"within the noise"}
    assert all(item.low == item.high == 0 for item in comparison.differences)
    assert all(item.paired for item in comparison.differences)


def test_a_better_model_is_better_where_more_is_better_and_where_less_is():
    found = verdicts(compare(made_results(), made_results(0.2)))
    assert found["reached"] == "better"
    assert found["mse"] == "better"
    assert found["identity"] == "worse"
    assert found["detail"] == "within the noise"
    assert set(verdicts(compare(made_results(), made_results(0.2)), "sargan").values()) == {
        "within the noise"
    }


def test_a_chance_difference_stays_within_the_noise():
    found = verdicts(compare(made_results(seed=1), made_results(seed=2)))
    assert found["mse"] == "within the noise"


def test_other_people_are_compared_without_pairs_and_that_is_said():
    comparison = compare(made_results(), made_results(0.2, names="q"))
    assert not any(item.paired for item in comparison.differences)
    assert any("12 people only in the first" in note for note in comparison.notes)
    assert verdicts(comparison)["reached"] == "better"


def test_the_only_model_of_each_is_compared_whatever_its_name():
    first, second = made_results(), made_results(0.2)
    first = replace(first, models=("none", "pixel", "truth"))
    people = {
        "in": {"other" if name == "pixel" else name: found for name, found in second.people["in"].items()}
    }
    second = replace(second, models=("none", "other", "truth"), people=people)
    comparison = compare(first, second)
    assert {(item.first, item.second) for item in comparison.differences} == {("pixel", "other")}
    assert any("pixel / other" in cell for cell in difference_cells(comparison.differences[0]))


def test_another_judge_is_pointed_out():
    other = replace(made_results(), judges={"mine": "another"})
    assert "judges differ" in compare(made_results(), other).notes[0]


def test_nothing_in_common_says_so():
    with pytest.raises(DataError, match="in common"):
        compare(made_results(), replace(made_results(), models=("none", "a", "b", "truth")))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": "sargan-evaluation", "version": 9}',
        '{"format": "sargan-evaluation", "version": 1}',
    ],
)
def test_files_that_are_no_results(tmp_path, text):
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(DataError, match=r"a\.json"):
        read_results(file)
    with pytest.raises(DataError, match="cannot be read"):
        read_results(tmp_path / "nowhere.json")
