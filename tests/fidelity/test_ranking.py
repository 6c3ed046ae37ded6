import dataclasses
import time

import numpy as np
import pytest
from scipy import stats

from ntkjax.errors import InputError
from ntkjax.fidelity.ranking import (
    MEASURES,
    Ranking,
    mean_score_ranking,
    per_query_ranking,
)
from ntkjax.math.bootstrap import bootstrap_rows


BOTH = pytest.mark.parametrize("rank", [per_query_ranking, mean_score_ranking])


def draw(seed=0, num=8, width=20, noise=0.7):
    rng = np.random.default_rng(seed)
    exact = rng.normal(size=(num, width)) + rng.normal(size=width)
    return exact + noise * rng.normal(size=(num, width)), exact


def overlap(a, b, top):
    return len(set(np.argsort(-a)[:top]) & set(np.argsort(-b)[:top])) / top


def rows_by_loop(approx, exact, top):
    found = [
        (stats.spearmanr(a, e)[0], stats.kendalltau(a, e)[0], overlap(a, e, top))
        for a, e in zip(approx, exact, strict=True)
    ]
    return np.mean(found, axis=0)


def means_by_loop(approx, exact, top):
    return rows_by_loop(approx.mean(axis=0)[None], exact.mean(axis=0)[None], top)


@pytest.mark.parametrize(
    ("rank", "oracle"),
    [(per_query_ranking, rows_by_loop), (mean_score_ranking, means_by_loop)],
)
def test_loop_oracle(rank, oracle):
    approx, exact = draw()
    rows = bootstrap_rows(8, 60, 1)
    found = rank(approx, exact, rows, 4)
    measures = (found.spearman, found.kendall, found.top_overlap)
    values = oracle(approx, exact, 4)
    samples = np.array([oracle(approx[row], exact[row], 4) for row in rows])
    low, high = np.quantile(samples, [0.025, 0.975], axis=0)
    np.testing.assert_allclose([m.value for m in measures], values, atol=1e-12)
    np.testing.assert_allclose([m.low for m in measures], low, atol=1e-12)
    np.testing.assert_allclose([m.high for m in measures], high, atol=1e-12)


@BOTH
def test_exact_against_itself(rank):
    _, exact = draw(1, width=81)
    found = rank(exact, exact, bootstrap_rows(8, 50, 0), 5)
    for measure in (found.spearman, found.kendall, found.top_overlap):
        assert (measure.value, measure.low, measure.high) == (1, 1, 1)


@BOTH
def test_order_of_candidates_and_scale_do_not_matter(rank):
    approx, exact = draw(2)
    rows = bootstrap_rows(8, 40, 0)
    order = np.random.default_rng(0).permutation(20)
    found = rank(approx, exact, rows, 4)
    for other in (
        rank(approx[:, order], exact[:, order], rows, 4),
        rank(3 * approx, exact, rows, 4),
    ):
        assert other.spearman.value == pytest.approx(found.spearman.value)
        assert other.kendall.low == pytest.approx(found.kendall.low)
        assert other.top_overlap.high == pytest.approx(found.top_overlap.high)


def test_order_of_queries_does_not_matter():
    approx, exact = draw(3)
    rows = bootstrap_rows(8, 40, 0)
    order = np.random.default_rng(0).permutation(8)
    # Query order[i] now stands in row i: the same queries are drawn by other indices.
    moved = np.argsort(order)[rows]
    found = mean_score_ranking(approx, exact, rows, 4)
    other = mean_score_ranking(approx[order], exact[order], moved, 4)
    assert other.spearman.low == pytest.approx(found.spearman.low)
    assert other.spearman.value == pytest.approx(found.spearman.value)


def test_noise_averages_out_over_queries():
    approx, exact = draw(4, num=40)
    rows = bootstrap_rows(40, 20, 0)
    by_query = per_query_ranking(approx, exact, rows, 4).spearman.value
    assert mean_score_ranking(approx, exact, rows, 4).spearman.value > by_query


@BOTH
def test_bad_input_is_refused(rank):
    approx, exact = draw(5)
    rows = bootstrap_rows(8, 5, 0)
    for top in (0, 21):
        with pytest.raises(InputError, match=f"top {top}: expected 1 to .* 20"):
            rank(approx, exact, rows, top)
    approx[0, 0] = np.inf
    with pytest.raises(ValueError, match="approx has 1 non-finite"):
        rank(approx, exact, rows, 4)


def test_speed():
    """12 × 80 with 400 resamples take 0.3 s; the limit leaves room for a busy CPU."""
    approx, exact = draw(6, num=12, width=80)
    rows = bootstrap_rows(12, 400, 0)
    start = time.process_time()
    mean_score_ranking(approx, exact, rows, 10)
    per_query_ranking(approx, exact, rows, 10)
    assert time.process_time() - start < 2


def test_every_measure_is_a_field():
    assert list(MEASURES) == [field.name for field in dataclasses.fields(Ranking)]
