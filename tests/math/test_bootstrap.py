import numpy as np
import pytest

from ntkjax.math.bootstrap import bootstrap_rows, estimate, interval


def test_rows_are_drawn_uniformly_from_all():
    rows = bootstrap_rows(7, 3000, seed=0)
    assert rows.shape == (3000, 7)
    share = np.bincount(rows.ravel(), minlength=7) / rows.size
    error = np.sqrt(1 / 7 * 6 / 7 / rows.size)
    assert np.abs(share - 1 / 7).max() < 4 * error


def test_the_seed_decides():
    np.testing.assert_array_equal(bootstrap_rows(5, 10, 3), bootstrap_rows(5, 10, 3))
    assert (bootstrap_rows(5, 10, 3) != bootstrap_rows(5, 10, 4)).any()


def test_interval_of_a_uniform_grid():
    low, high = interval(np.linspace(0, 1, 1001), level=0.9)
    assert (low, high) == pytest.approx((0.05, 0.95))
    assert interval(np.full(9, 2.0)) == (2.0, 2.0)


def test_estimate_keeps_the_value():
    found = estimate(3.0, np.linspace(0, 1, 1001))
    assert (found.value, found.low, found.high) == pytest.approx((3, 0.025, 0.975))


def test_intervals_cover_the_mean():
    """Percentile intervals of 40 normal numbers hold the mean in 94% of the cases.

    With 400 trials the standard error is 1.2 points, and 0.94 ± 4 errors is allowed.
    """
    rng = np.random.default_rng(1)
    rows = bootstrap_rows(40, 400, seed=2)
    hits = 0
    for _ in range(400):
        values = rng.normal(size=40)
        low, high = interval(values[rows].mean(axis=1))
        hits += low <= 0 <= high
    assert abs(hits / 400 - 0.94) < 0.048


@pytest.mark.parametrize(("num_rows", "num_resamples"), [(0, 5), (5, 0)])
def test_nothing_to_draw_is_refused(num_rows, num_resamples):
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_rows(num_rows, num_resamples, 0)


def test_bad_intervals_are_refused():
    with pytest.raises(ValueError, match="at least one sample"):
        interval(np.zeros(0))
    with pytest.raises(ValueError, match="level"):
        interval(np.zeros(3), level=1.0)
