import json
from pathlib import Path

import pytest

from sargan_core.data.samples import Sample
from sargan_core.data.split import Split, read_split, split_by_person, write_split
from sargan_core.errors import DataError
from sargan_core.expressions import Expression


def photos(*people, count=1, source="x", train_only=False):
    return [
        Sample(Path(f"{person}-{index}.jpg"), person, Expression.SAD, source, train_only=train_only)
        for person in people
        for index in range(count)
    ]


def crowd(group, count):
    return [f"{group}-{number:03d}" for number in range(count)]


def test_every_fifth_of_every_group_is_tested_on():
    split = split_by_person(photos(*crowd("a", 10), *crowd("b", 5)))
    assert split.test == ("a-004", "a-009", "b-004")
    assert not set(split.train) & set(split.test)
    assert len(split.train) + len(split.test) == 15


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.3, 0.5])
def test_fraction_is_met(fraction):
    assert len(split_by_person(photos(*crowd("a", 100)), fraction).test) == round(100 * fraction)


def test_a_person_is_on_one_side_over_all_sources():
    samples = photos(*crowd("a", 20)) + photos(*crowd("a", 20), source="y")
    train, test = split_by_person(samples).apply(samples)
    assert {sample.person for sample in train} & {sample.person for sample in test} == set()
    assert len(train) + len(test) == len(samples)
    assert len(test) == 8


def test_photos_of_others_and_their_order_change_nothing():
    samples = photos(*crowd("a", 20), *crowd("b", 7))
    more = samples + photos("a-003", "b-001", count=5, source="y")
    assert split_by_person(more) == split_by_person(list(reversed(samples)))
    # Another data set does not move the people of this one.
    both = split_by_person(samples + photos(*crowd("aa", 13)))
    assert [person for person in both.test if not person.startswith("aa")] == list(
        split_by_person(samples).test
    )


def test_composites_are_always_trained_on():
    samples = photos(*crowd("a", 6)) + photos("a-0035", "a-0036", "a-0037", train_only=True)
    split = split_by_person(samples, 0.5)
    assert split.test == ("a-001", "a-003", "a-005")
    assert {"a-0035", "a-0036", "a-0037"} <= set(split.train)


def test_few_people_still_give_a_test_person():
    assert split_by_person(photos("a-1", "b-1")).test == ("b-1",)
    assert split_by_person(photos("a-1"), 0).test == ()
    with pytest.raises(DataError, match="only one person"):
        split_by_person(photos("a-1"))
    with pytest.raises(DataError, match="no photo"):
        split_by_person([])
    with pytest.raises(DataError, match="fraction"):
        split_by_person(photos("a-1", "a-2"), 1.0)


def test_manifest_returns_what_was_written(tmp_path):
    split = split_by_person(photos(*crowd("ä", 12)), 0.25)
    write_split(split, tmp_path / "split.json")
    assert read_split(tmp_path / "split.json") == split
    assert json.loads((tmp_path / "split.json").read_text(encoding="utf-8"))["version"] == 1


def test_people_whom_the_manifest_does_not_know_are_named():
    split = Split(("a-1",), ("a-2",), 0.5)
    assert [len(side) for side in split.apply(photos("a-1", "a-2", count=3))] == [3, 3]
    assert [len(side) for side in split.apply(photos("a-1"))] == [1, 0]
    with pytest.raises(DataError, match=r"1 of the people.*a-9"):
        split.apply(photos("a-1", "a-9"))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "readable"),
        ("[]", "not a sargan-split"),
        ('{"format": "other"}', "not a sargan-split"),
        ('{"format": "sargan-split", "version": 99, "train": [], "test": []}', "version 99"),
        ('{"format": "sargan-split", "version": 1, "train": ["a"]}', "'test'"),
        ('{"format": "sargan-split", "version": 1, "train": ["a"], "test": ["a"]}', "both"),
    ],
)
def test_wrong_manifests_are_refused_by_name(tmp_path, text, word):
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(DataError, match=rf"split\.json.*{word}"):
        read_split(tmp_path / "split.json")


def test_missing_manifest_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"gone\.json"):
        read_split(tmp_path / "gone.json")
