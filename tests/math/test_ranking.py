import itertools
import warnings

import numpy as np
import pytest
from scipy import stats

from ntkjax.math.ranking import chance_overlap, kendall, spearman, top_overlap


def draw(seed, num=30, ties=False):
    a, b = np.random.default_rng(seed).normal(size=(2, num))
    b = a + b
    return (np.round(a), np.round(b)) if ties else (a, b)


def kendall_by_pairs(a, b):
    """τ-b as its definition reads, over all pairs."""
    pairs = list(itertools.combinations(range(len(a)), 2))
    signs_a = np.array([np.sign(a[i] - a[j]) for i, j in pairs])
    signs_b = np.array([np.sign(b[i] - b[j]) for i, j in pairs])
    return (signs_a * signs_b).sum() / np.sqrt((signs_a**2).sum() * (signs_b**2).sum())


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_scipy_and_oracle(seed, ties):
    a, b = draw(seed, ties=ties)
    np.testing.assert_allclose(spearman(a, b), stats.spearmanr(a, b)[0], atol=1e-12)
    np.testing.assert_allclose(kendall(a, b), kendall_by_pairs(a, b), atol=1e-12)


def test_closed_forms():
    a = np.array([1.0, 2.0, 3.0, 4.0])
    b = np.array([1.0, 2.0, 4.0, 3.0])
    assert spearman(a, b) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert kendall(a, b) == pytest.approx((5 - 1) / 6)


@pytest.mark.parametrize("measure", [spearman, kendall])
def test_same_and_reversed_orders_are_exact(measure):
    a, _ = draw(4, num=81)
    assert measure(a, a) == 1
    assert measure(a, 3 * a + 7) == 1
    assert measure(a, -np.exp(a)) == -1


@pytest.mark.parametrize("measure", [spearman, kendall])
def test_constant_lists_order_nothing_and_warn_not(measure):
    a, flat = np.arange(5.0), np.full(5, 2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert measure(a, flat) == measure(flat, a) == measure(flat, flat) == 0.0


@pytest.mark.parametrize("measure", [spearman, kendall])
def test_permutation_of_items_changes_nothing(measure):
    a, b = draw(5, ties=True)
    order = np.random.default_rng(0).permutation(len(a))
    assert measure(a[order], b[order]) == pytest.approx(measure(a, b), abs=1e-12)
    assert measure(a, b) == pytest.approx(measure(b, a), abs=1e-12)


def test_top_overlap_by_sets():
    a, b = draw(6)
    for top in (1, 5, 30):
        best_a = {i for i in range(30) if (a > a[i]).sum() < top}
        best_b = {i for i in range(30) if (b > b[i]).sum() < top}
        assert top_overlap(a, b, top) == len(best_a & best_b) / top


def test_top_overlap_breaks_ties_by_index():
    flat = np.zeros(6)
    assert top_overlap(flat, np.array([3.0, 2.0, 1.0, 0.0, 0.0, 0.0]), 3) == 1
    assert top_overlap(flat, np.array([0.0, 0.0, 0.0, 1.0, 2.0, 3.0]), 3) == 0


def test_chance_overlap_is_the_mean_over_random_orders():
    rng = np.random.default_rng(0)
    fixed = np.arange(20.0)
    seen = [top_overlap(fixed, rng.permutation(fixed), 5) for _ in range(2000)]
    error = np.std(seen) / np.sqrt(len(seen))
    assert abs(np.mean(seen) - chance_overlap(5, 20)) < 4 * error


@pytest.mark.parametrize("top", [0, 4])
def test_top_out_of_range_is_refused(top):
    with pytest.raises(ValueError, match="1, …, 3"):
        top_overlap(np.arange(3.0), np.arange(3.0), top)
    with pytest.raises(ValueError, match="1, …, 3"):
        chance_overlap(top, 3)


@pytest.mark.parametrize("measure", [spearman, kendall])
def test_bad_scores_are_refused(measure):
    with pytest.raises(ValueError, match="finite"):
        measure(np.array([1.0, np.nan]), np.arange(2.0))
    with pytest.raises(ValueError, match="one length"):
        measure(np.zeros(0), np.zeros(0))


def test_kendall_of_two_items():
    up, down = np.array([1.0, 2.0]), np.array([5.0, 4.0])
    assert (kendall(up, up), kendall(up, down)) == (1.0, -1.0)
