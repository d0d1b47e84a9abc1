import numpy as np
import pytest

from sargan_core.evaluation.results import difference_interval, estimate, interval


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    generator = np.random.default_rng(5)
    covered = 0
    for _ in range(120):
        low, high = interval(generator.normal(3.0, 1.0, 30).tolist())
        covered += low <= 3.0 <= high
    assert 0.85 < covered / 120 < 0.995


def test_people_count_equally_however_many_pictures_they_have():
    found = estimate({"anna": [1.0] * 10, "bert": [0.0]})
    assert found.mean == 0.5
    assert (found.people, found.count) == (2, 11)


def test_pictures_of_one_person_do_not_make_it_more_certain():
    values = np.random.default_rng(0).normal(0, 1, 12)
    once = estimate({str(number): [value] for number, value in enumerate(values)})
    often = estimate({str(number): [value] * 20 for number, value in enumerate(values)})
    assert (once.low, once.high) == pytest.approx((often.low, often.high))


def test_one_person_has_no_interval_and_equal_ones_an_empty_one():
    assert estimate({"anna": [1.0, 2.0]}).low is None
    assert interval([4.0, 4.0, 4.0]) == (4.0, 4.0)
    assert estimate({}) is None


def test_different_people_compare_with_a_wider_interval_than_the_same_ones():
    generator = np.random.default_rng(2)
    one = generator.normal(0, 1, 25)
    other = one + 0.2 + generator.normal(0, 0.05, 25)
    low, high = interval((other - one).tolist())
    wide_low, wide_high = difference_interval(one.tolist(), other.tolist())
    assert low > 0
    assert wide_low < 0 < wide_high
    assert (low + high) / 2 == pytest.approx(0.2, abs=0.05)
