import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ntkjax.selection import embedding_pass
from ntkjax.selection.embedding_pass import Embedded, embedded
from ntkjax.selection.methods import rds
from ntkjax.selection.rows import unit_rows
from tests.selection.small_problem import MemoryColumns, small_problem


def dense(target, pool, groups):
    """The whole matrix of cosines, and a line for each query in it."""
    cosines = np.round(unit_rows(target) @ unit_rows(pool).T, 10)
    if groups is None:
        return cosines, list(cosines)
    names = dict.fromkeys(groups)
    where = {name: [i for i, g in enumerate(groups) if g == name] for name in names}
    return cosines, [cosines[rows].max(axis=0) for rows in where.values()]


def check(found, target, pool, groups, depth):
    cosines, queries = dense(target, pool, groups)
    assert found.scores.tolist() == cosines.max(axis=0).tolist()
    assert len(found.rankings) == len(queries)
    for ranking, query in zip(found.rankings, queries, strict=True):
        order = sorted(range(len(pool)), key=lambda j: (-query[j], j))
        assert ranking.tolist() == order[:depth]


@pytest.mark.parametrize("groups", [None, ("b", "a", "b", "b", "c")])
@pytest.mark.parametrize("budget", [1, 4, 9])
def test_equals_the_whole_matrix(groups, budget, monkeypatch):
    monkeypatch.setattr(embedding_pass, "_ROWS", 3)
    problem = small_problem(groups=groups, budget=budget)
    found = rds.score(problem)
    both = embedded(problem, "weighted")
    pool = np.concatenate(list(both.tiles()))
    check(found, both.target, pool, groups, budget)
    assert problem.candidates.computed == ["embeddings"]
    kind, number = ("target examples", 5) if groups is None else ("groups", 3)
    assert found.facts == {
        "pooling": "weighted",
        "queries": kind,
        "num_queries": number,
    }
    rows = np.array([3, 1])
    assert found.features(rows).tolist() == both.features(rows).tolist()


# Few different vectors, zero among them: many candidates are equally near.
vectors = st.lists(st.tuples(*[st.integers(-1, 2)] * 2), min_size=1, max_size=20).map(
    lambda rows: np.array(rows, np.float32)
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(vectors, vectors, st.integers(1, 25), st.booleans(), st.integers(1, 5))
def test_equals_the_whole_matrix_with_ties(target, pool, depth, grouped, rows):
    groups = tuple("xyz"[i % 3] for i in range(len(target))) if grouped else None
    depth = min(depth, len(pool))
    made_up = Embedded(target, MemoryColumns({"embedding": pool}))
    problem = dataclasses.replace(
        small_problem(len(target), len(pool), groups=groups),
        about=lambda: depth,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rds, "embedded", lambda problem, pooling: made_up)
        patch.setattr(embedding_pass, "_ROWS", rows)
        check(rds.score(problem), target, pool, groups, depth)


def test_rankings_of_the_budget_are_enough_for_a_round_robin():
    """Taking turns over whole rankings chooses nothing that the cut ones have not."""
    problem = small_problem(num_target=7, num_candidates=40, budget=12)
    found = rds.score(problem)
    both = embedded(problem, "weighted")
    _, queries = dense(both.target, np.concatenate(list(both.tiles())), None)
    taken, turn = [], 0
    while len(taken) < 12:
        line = queries[turn % 7]
        order = sorted(set(range(40)) - set(taken), key=lambda j: (-line[j], j))
        assert order[0] in found.rankings[turn % 7]
        taken.append(order[0])
        turn += 1
