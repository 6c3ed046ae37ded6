import numpy as np
import pytest

from ntkjax.selection.pickers.round_robin import round_robin
from tests.selection.pickers.random_pick_problem import random_pick_problem


def slow_round_robin(problem):
    """Each turn looks through the whole ranking of its query."""
    picks = []
    while True:
        before = len(picks)
        for order in problem.rankings:
            left = [p for p in order.tolist() if p not in picks]
            picks += left[:1]
        if len(picks) == before:
            break
    rest = [p for p in range(len(problem.scores)) if p not in picks]
    picks += sorted(rest, key=lambda p: (-problem.scores[p], p))
    return picks[: problem.most]


def test_equals_the_slow_version():
    for seed in range(30):
        problem = random_pick_problem(seed, most=7 if seed % 2 else 12)
        assert round_robin(problem).tolist() == slow_round_robin(problem), seed


def test_in_words():
    problem = random_pick_problem(
        0,
        k=6,
        scores=np.array([0.0, 0.0, 0.0, 0.0, 1.0, 2.0]),
        rankings=(np.array([2, 0, 3]), np.array([2, 1])),
    )
    # 2 to the first; the second finds it taken; 0; the second is used up; 3; by score
    assert round_robin(problem).tolist() == [2, 1, 0, 3, 5, 4]


def test_without_any_query_it_goes_by_score():
    scores = np.array([1.0, 3.0, 2.0])
    problem = random_pick_problem(0, k=3, scores=scores, rankings=())
    assert round_robin(problem).tolist() == [1, 2, 0]


def test_many_queries_with_one_opinion_take_one_step_per_skip():
    steps = 0

    class Counted(np.ndarray):
        def __iter__(self):
            nonlocal steps
            for value in np.asarray(self):
                steps += 1
                yield value

    k, queries = 300, 20
    same = np.arange(k).view(Counted)
    problem = random_pick_problem(0, k=k, rankings=(same,) * queries)
    assert round_robin(problem).tolist() == list(range(k))
    assert steps <= k * queries  # each query reads its ranking once


def test_rankings_are_needed():
    with pytest.raises(ValueError, match="needs rankings"):
        round_robin(random_pick_problem(0, rankings=None))
