import numpy as np
import pytest
import scipy.stats

from ntkjax.selection.agreement import agreement
from ntkjax.selection.ranking import ranking
from ntkjax.selection.shortlist import Votes, shortlist


def problem(num_pool=60, num_scored=30, num_selected=12, seed=0):
    rng = np.random.default_rng(seed)
    votes = Votes(rng.integers(0, 5, num_pool), rng.normal(size=num_pool))
    scored = shortlist(votes, num_scored)
    scores = rng.normal(size=num_scored)
    return votes, scored, scores, scored[ranking(scores)[:num_selected]]


def test_equals_counting():
    votes, scored, scores, selected = problem()
    found = agreement(votes, scored, scores, selected)
    key = lambda row: (-votes.similarity[row], row)
    nearest = set(sorted(range(60), key=key)[:12])
    voted = set(scored[:12].tolist())
    assert found.embedding_overlap == len(nearest & set(selected.tolist())) / 12
    assert found.vote_overlap == len(voted & set(selected.tolist())) / 12
    similarity, counts = votes.similarity[scored], votes.votes[scored]
    rho = scipy.stats.spearmanr(scores, similarity).statistic
    assert found.spearman_embedding == pytest.approx(rho, abs=1e-12)
    rho = scipy.stats.spearmanr(scores, counts).statistic
    assert found.spearman_votes == pytest.approx(rho, abs=1e-12)


def test_chance_is_the_mean_over_random_selections():
    votes, scored, scores, selected = problem()
    found = agreement(votes, scored, scores, selected)
    rng = np.random.default_rng(1)
    draws = [
        agreement(votes, scored, scores, rng.choice(scored, 12, replace=False))
        for _ in range(400)
    ]
    for name in ("embedding_overlap", "vote_overlap"):
        values = np.array([getattr(draw, name) for draw in draws])
        error = values.std() / np.sqrt(len(values))
        # a mean of 400 draws is off by less than four standard errors
        assert abs(values.mean() - getattr(found, f"{name}_chance")) < 4 * error


def test_choosing_by_similarity_agrees_with_the_embedding():
    votes, *_ = problem()
    everything = np.arange(60)
    selected = ranking(votes.similarity)[:12]
    found = agreement(votes, everything, votes.similarity, selected)
    assert found.embedding_overlap == found.spearman_embedding == 1
    assert found.embedding_overlap_chance == 12 / 60
