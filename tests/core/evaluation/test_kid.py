import importlib.util

import numpy as np
import pytest

from sargan_core.errors import UsageError
from sargan_core.evaluation.metrics import FEWEST, inception_features, set_distance


def features(count, shift=0.0, seed=0):
    return (np.random.default_rng(seed).standard_normal((count, 16)) + shift).astype(np.float32)


def test_two_draws_of_one_distribution_are_near_and_shifted_ones_are_not():
    same = set_distance(features(200), features(200, seed=1))
    other = set_distance(features(200), features(200, shift=0.5, seed=1))
    assert abs(same.kid) < 3 * same.error
    assert other.kid > 5 * other.error
    assert other.kid > 10 * abs(same.kid)


def test_the_kernel_distance_is_the_formulas():
    real, made = features(50), features(50, shift=0.3, seed=3)

    def kernel(one, other):
        return (one @ other.T / one.shape[1] + 1) ** 3

    count = len(real)
    off = 1 - np.eye(count)
    expected = (
        (kernel(real, real) * off).sum() / (count * (count - 1))
        + (kernel(made, made) * off).sum() / (count * (count - 1))
        - 2 * kernel(real, made).mean()
    )
    assert set_distance(real, made).kid == pytest.approx(expected, rel=1e-3)


def test_it_is_the_same_every_time():
    assert set_distance(features(80), features(90, 0.2, 1)) == set_distance(
        features(80), features(90, 0.2, 1)
    )


def test_too_few_pictures_give_no_distance_and_no_fid():
    assert set_distance(features(FEWEST - 1), features(100)) is None
    assert set_distance(features(FEWEST), features(100)).fid is None


@pytest.mark.skipif(importlib.util.find_spec("torch_fidelity") is not None, reason="the extra is installed")
def test_without_the_extra_inception_names_it():
    with pytest.raises(UsageError, match=r"sargan\[fidelity\]"):
        inception_features()
