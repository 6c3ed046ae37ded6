import dataclasses
import itertools
import math

import numpy as np
import pytest

from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.selection.methods.length_matched import length_edges, log_weights, score
from ntkjax.selection.ranking import ranking
from tests.selection.small_problem import MemoryCandidates, small_problem


def of_lengths(target, candidates, seed=0):
    """A problem of which only the lengths matter."""

    def texts(lengths):
        return [
            TokenizedExample(str(i), np.zeros(n, np.int32), np.ones(n, bool), False)
            for i, n in enumerate(lengths)
        ]

    return dataclasses.replace(
        small_problem(seed=seed),
        target_tokens=tuple(texts(target)),
        candidates=MemoryCandidates(texts(candidates), []),
    )


def slow_log_weights(target, candidates):
    """The formula bin by bin, with bins as lists of lengths."""
    ordered = sorted(target)
    deciles = [ordered[math.ceil(len(ordered) * tenth / 10) - 1] for tenth in range(11)]
    edges = sorted({min(target) - 1, *deciles[1:]})
    borders = [-math.inf, *edges, math.inf]
    bins = list(itertools.pairwise(borders))

    def share(lengths, low, high):
        inside = sum(low < n <= high for n in lengths)
        return (inside + 1 / len(bins)) / (len(lengths) + 1)

    found = []
    for n in candidates:
        ((low, high),) = [(low, high) for low, high in bins if low < n <= high]
        found.append(math.log(share(target, low, high) / share(candidates, low, high)))
    return found


@pytest.mark.parametrize(
    "target", [[7], [7] * 12, [5, 5, 9], list(range(3, 40)), [2, 90]]
)
def test_equals_the_formula_and_is_finite(target):
    candidates = [1, 4, 4, 6, 7, 7, 7, 8, 9, 30, 200]
    lengths = np.array(target), np.array(candidates)
    found = log_weights(*lengths, length_edges(lengths[0]))
    assert np.allclose(found, slow_log_weights(target, candidates), rtol=1e-12)
    assert np.isfinite(found).all()


def test_a_single_length_is_a_bin_of_its_own():
    assert length_edges(np.array([7, 7])).tolist() == [6, 7]
    found = log_weights(np.array([7, 7]), np.array([6, 7, 8]), np.array([6, 7]))
    assert found[1] > found[0] == found[2]


def test_first_draws_follow_the_weights():
    """The highest of log w + Gumbel noise is candidate x with probability w/Σw."""
    target, candidates = [4, 4, 4, 9], [4, 9, 9, 9, 9, 20]
    weights = np.exp(slow_log_weights(target, candidates))
    counts = np.zeros(6)
    problem = of_lengths(target, candidates)
    for seed in range(1000):
        counts[np.argmax(score(dataclasses.replace(problem, seed=seed)).scores)] += 1
    expected = 1000 * weights / weights.sum()
    assert expected.min() > 10
    # χ² with 5 degrees of freedom: above 20.5 once in a thousand.
    assert ((counts - expected) ** 2 / expected).sum() < 20.5


def test_chosen_lengths_are_the_targets_and_not_the_pools():
    rng = np.random.default_rng(0)
    target = rng.poisson(60, 200) + 1
    candidates = rng.geometric(1 / 30, 4000)
    problem = of_lengths(target, candidates)
    means, spreads = [], []
    for seed in range(60):
        found = score(dataclasses.replace(problem, seed=seed))
        chosen = candidates[ranking(found.scores)[:50]]
        means.append(chosen.mean())
        spreads.append(chosen.std())
    # Of the target's lengths (60 ± 7.7) a mean over 60 draws of 50 has a standard
    # error of 0.15. Lengths within a bin are the pool's, which are shorter: 1 in 60.
    assert abs(np.mean(means) - target.mean()) < 1.0
    assert abs(np.mean(spreads) - target.std()) < 1.5
    error = np.std(means) / np.sqrt(len(means))
    assert abs(np.mean(means) - candidates.mean()) > 50 * error


def test_depends_on_the_seed_and_says_what_it_did():
    problem = of_lengths([5, 5, 9], [5, 9, 12])
    found = score(problem)
    assert found.scores.tolist() == score(problem).scores.tolist()
    other = score(dataclasses.replace(problem, seed=1))
    assert not set(found.scores) & set(other.scores)
    assert found.facts["edges"] == [4, 5, 9]
    assert found.facts["target_mean_tokens"] == 19 / 3
    assert found.facts["candidates_mean_tokens"] == 26 / 3
