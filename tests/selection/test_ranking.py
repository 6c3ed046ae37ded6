import numpy as np
import pytest

from ntkjax.errors import InputError
from ntkjax.selection.ranking import (
    check_budget,
    num_within_tokens,
    ranking,
)


SCORES = np.array([0.5, 2.0, -1.0, 2.0, 0.5])


def test_ranking_is_by_score_and_then_by_pool_order():
    assert ranking(SCORES).tolist() == [1, 3, 0, 4, 2]
    assert ranking(SCORES).dtype == np.int64


def test_ranking_equals_python_sorting():
    scores = np.random.default_rng(0).integers(0, 9, 200).astype(np.float64)
    expected = sorted(range(200), key=lambda row: (-scores[row], row))
    assert ranking(scores).tolist() == expected


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        ranking(np.array([1.0, np.nan]))


def test_a_budget_above_what_there_is():
    message = r"budget 6: there are only 5 examples .* choose at most 5\."
    with pytest.raises(InputError, match=message):
        check_budget(6, 5)
    check_budget(5, 5)


@pytest.mark.parametrize(
    ("budget", "expected"),
    [(20, [1]), (29, [1]), (30, [1, 3]), (99, [1, 3]), (1000, [1, 3, 0, 4, 2])],
)
def test_token_budget_takes_the_longest_prefix(budget, expected):
    tokens = np.array([70, 20, 5, 10, 1])  # row 0 does not fit into 99; row 4 would
    order = ranking(SCORES)
    number = num_within_tokens(tokens[order], budget)
    assert order[:number].tolist() == expected


def test_token_budget_below_the_first_example():
    message = r"budget_tokens 19: the highest-ranked example alone has 20; raise it\."
    with pytest.raises(InputError, match=message):
        num_within_tokens(np.full(5, 20), 19)
