import numpy as np
import pytest
from PIL import Image

from sargan_core.data.split import Split, write_split
from sargan_core.errors import DataError
from sargan_core.evaluation.protocol import TARGETS, labelled_cases, unlabelled_cases
from sargan_core.expressions import Expression

HAPPY, SURPRISED = Expression.HAPPY, Expression.SURPRISED


@pytest.fixture
def class_folders(tmp_path):
    """Twelve people with neutral and happy, half of them sad too."""
    for number in range(12):
        for expression in ("neutral", "happy", *(("sad",) if number % 2 else ())):
            (tmp_path / expression).mkdir(exist_ok=True)
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / expression / f"p{number:02}.png")
    return tmp_path


def test_only_neutral_photos_of_test_people_are_edited(class_folders):
    cases, sources = labelled_cases([class_folders])
    assert [case.path.name for case in cases] == ["p04.png", "p09.png"]
    assert {case.path.parent.name for case in cases} == {"neutral"}
    assert len(sources.samples) == 30


def test_a_training_runs_split_decides_if_it_is_given(class_folders, tmp_path):
    cases, _ = labelled_cases([class_folders], everyone=True)
    people = sorted({case.person for case in cases})
    assert len(people) == 12
    file = tmp_path / "split.json"
    write_split(Split(tuple(people[:-2]), tuple(people[-2:]), 0.2), file)
    assert [case.person for case in labelled_cases([class_folders], file)[0]] == people[-2:]
    write_split(Split(tuple(people[:3]), (), 0.2), file)
    with pytest.raises(DataError, match="does not know"):
        labelled_cases([class_folders], file)


def test_true_pictures_and_references(class_folders):
    cases, _ = labelled_cases([class_folders], everyone=True)
    odd = cases[1]
    assert {pair.target.expression for pair in odd.truths} == {HAPPY, Expression.SAD}
    for case in cases:
        assert len(case.truths_of(HAPPY)) == 1
        assert not case.truths_of(HAPPY)[0].still
        assert case.reference(HAPPY).parent.name == "happy"
        assert case.reference(HAPPY).name != case.path.name
        assert case.reference(SURPRISED) is None


def test_pairs_that_lie_pixel_on_pixel_are_preferred(still_set):
    cases, _ = labelled_cases([still_set], everyone=True)
    assert len(cases) == 3
    assert all(pair.still for case in cases for pair in case.truths_of(SURPRISED))


def test_a_limit_takes_people_from_every_data_set(class_folders, still_set):
    cases, _ = labelled_cases([class_folders, still_set], everyone=True, limit=4)
    assert len({case.source for case in cases}) == 2
    assert len({case.person for case in cases}) == 4


def test_unlabelled_photos_are_found_below_their_folder(class_folders):
    cases = unlabelled_cases([class_folders])
    assert len(cases) == 30
    assert {case.part for case in cases} == {"ood"}
    assert not any(case.truths for case in cases)
    assert len({case.person for case in cases}) == len({case.path.stem for case in cases})


def test_what_holds_no_photo_says_so(tmp_path, class_folders):
    with pytest.raises(DataError, match="no such folder"):
        unlabelled_cases([tmp_path / "nowhere"])
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match="no image file"):
        unlabelled_cases([tmp_path / "bare"])
    for file in (class_folders / "neutral").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="no neutral photo"):
        labelled_cases([class_folders])


def test_neutral_is_no_target():
    assert len(TARGETS) == 6
    assert Expression.NEUTRAL not in TARGETS
