import numpy as np
import pytest

from ntkjax.selection.embedding_pass import Embedded, embedded
from ntkjax.selection.methods import vote
from ntkjax.selection.options import MethodOptions
from ntkjax.selection.ranking import ranking
from tests.selection.small_problem import MemoryColumns, small_problem


@pytest.mark.parametrize(("neighbors", "expected"), [(None, 3), (1, 1), (100, 100)])
def test_orders_by_votes_then_similarity(neighbors, expected):
    problem = small_problem(options=MethodOptions(neighbors=neighbors), budget=3)
    found = vote.score(problem)
    votes = embedded(problem, "all").votes(expected)
    assert ranking(found.scores).tolist() == votes.order.tolist()
    assert np.floor(found.scores).astype(int).tolist() == votes.votes.tolist()
    assert votes.votes.sum() == 5 * min(expected, 9)
    assert found.facts == {"pooling": "all", "neighbors": expected}


def test_opposite_similarities_do_not_reach_the_next_vote(monkeypatch):
    target = np.array([[1, 0]], np.float32)
    pool = np.array([[-1, 0], [2, 0], [0, 1], [3, 0], [5, 0]], np.float32)
    made_up = Embedded(target, MemoryColumns({"embedding": pool}))
    monkeypatch.setattr(vote, "embedded", lambda problem, pooling: made_up)
    found = vote.score(small_problem(options=MethodOptions(neighbors=2)))
    assert found.scores.tolist() == [0, 1.5, 0.25, 1.5, 0.5]


def test_features_are_those_of_embeddings():
    problem = small_problem()
    rows = np.array([8, 0])
    expected = embedded(problem, "all").features(rows)
    assert vote.score(problem).features(rows).tolist() == expected.tolist()
