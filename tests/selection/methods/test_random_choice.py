import dataclasses

import numpy as np

from ntkjax.selection.methods.random_choice import score
from tests.selection.small_problem import small_problem


def scores(**changes):
    return score(small_problem(**changes)).scores


def test_depends_on_seed_and_position_alone():
    first = scores(num_candidates=9)
    assert scores(num_candidates=9, num_target=2, budget=1).tolist() == first.tolist()
    assert scores(num_candidates=6).tolist() == first[:6].tolist()
    assert not set(scores(num_candidates=9, seed=1)) & set(first)


def test_every_position_comes_first_equally_often():
    problem = small_problem(num_candidates=6)
    counts = np.zeros(6)
    for seed in range(600):
        counts[np.argmax(score(dataclasses.replace(problem, seed=seed)).scores)] += 1
    # χ² with 5 degrees of freedom: above 20.5 once in a thousand.
    assert ((counts - 100) ** 2 / 100).sum() < 20.5


def test_computes_nothing():
    problem = small_problem()
    score(problem)
    assert problem.candidates.computed == []
