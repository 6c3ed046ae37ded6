import numpy as np
import pytest
from scipy import stats

from ntkjax.math.intervals import mean_interval


def test_it_is_the_interval_of_the_t_test():
    values = np.random.default_rng(0).normal(1.0, 0.3, 7)
    found = mean_interval(values.tolist())
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_it_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(1)
    found = [mean_interval(rng.normal(size=3).tolist()) for _ in range(2000)]
    share = np.mean([estimate.low <= 0 <= estimate.high for estimate in found])
    assert abs(share - 0.95) < 0.02  # 4 standard errors


def test_one_value_has_no_interval():
    with pytest.raises(ValueError, match="two values"):
        mean_interval([1.0])
