import numpy as np
import pytest

from ntkjax.fidelity.compare import compare
from ntkjax.fidelity.cross_terms import cross_terms
from ntkjax.fidelity.ranking import mean_score_ranking, per_query_ranking
from ntkjax.math.bootstrap import bootstrap_rows


ROWS = bootstrap_rows(6, 30, 0)


def draw(seed=0):
    rng = np.random.default_rng(seed)
    exact = rng.uniform(1, 2, size=(6, 15))
    return exact + 0.3 * rng.normal(size=(6, 15)), exact, *rng.uniform(1, 2, (2, 6))


def test_parts_are_those_of_the_single_files():
    arrays = draw()
    approx, exact, *_ = arrays
    found = compare("summed", 2, 1, *arrays, ROWS, 3)
    assert (found.name, found.cost, found.num_outputs) == ("summed", 2.0, 1)
    assert found.cross_terms == cross_terms(*arrays, ROWS)
    assert found.per_query == per_query_ranking(approx, exact, ROWS, 3)
    assert found.mean_score == mean_score_ranking(approx, exact, ROWS, 3)


def test_exact_against_itself():
    _, exact, _, diagonal = draw(1)
    found = compare("exact", 65.0, 64, exact, exact, diagonal, diagonal, ROWS, 3)
    assert found.cross_terms.raw_pairs.q95 == 0
    assert found.cross_terms.cosine == 1
    assert found.per_query.kendall.value == found.mean_score.spearman.value == 1
    assert found.mean_score.top_overlap.low == 1


def test_three_times_the_kernel_changes_only_the_raw_errors():
    approx, exact, approx_diagonal, exact_diagonal = draw(2)
    once = compare("k", 2, 1, approx, exact, approx_diagonal, exact_diagonal, ROWS, 3)
    thrice = compare(
        "k", 2, 1, 3 * approx, exact, 3 * approx_diagonal, exact_diagonal, ROWS, 3
    )
    assert thrice.per_query.spearman.value == pytest.approx(
        once.per_query.spearman.value
    )
    assert thrice.mean_score.kendall.high == pytest.approx(once.mean_score.kendall.high)
    assert thrice.cross_terms.relative_error == pytest.approx(
        once.cross_terms.relative_error
    )
    assert thrice.cross_terms.raw_pairs.q50 > once.cross_terms.raw_pairs.q50 + 1
