import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.data.batches import pooling_weights
from ntkjax.errors import InputError
from ntkjax.selection import embedding_pass
from ntkjax.selection.embedding_pass import Embedded, embedded
from ntkjax.selection.rows import unit_rows
from ntkjax.selection.shortlist import reverse_knn
from tests.oracles import normwise
from tests.selection.small_problem import MODEL, MemoryColumns, small_problem


hidden = jax.jit(MODEL.hidden)  # compiled once for each length


def alone(problem, examples, pooling):
    """One example at a time, without padding, at the last snapshot."""
    rows = []
    for example in examples:
        states = hidden(problem.snapshots[-1].theta, jnp.asarray(example.tokens))
        rows.append(pooling_weights(example.targets, pooling) @ np.asarray(states))
    return np.stack(rows)


def everyone(problem):
    return problem.candidates.read(np.arange(len(problem.candidates)))


def made_up(num_target=4, num_candidates=9, width=3):
    rng = np.random.default_rng(0)
    draw = lambda n: rng.normal(size=(n, width)).astype(np.float32)
    target, pool = draw(num_target), draw(num_candidates)
    return Embedded(target, MemoryColumns({"embedding": pool})), target, pool


@pytest.mark.parametrize("pooling", ["all", "weighted"])
def test_equals_one_example_at_a_time(pooling):
    problem = small_problem(num_target=2, num_candidates=4, num_snapshots=2)
    # What the kernel pools, and whether it divides by lengths, plays no part.
    other = dataclasses.replace(
        problem.batching, pooling="response", length_normalize=False
    )
    found = embedded(dataclasses.replace(problem, batching=other), pooling)
    pool = np.concatenate(list(found.tiles()))
    assert normwise(pool, alone(problem, everyone(problem), pooling)) < 1e-5
    assert normwise(found.target, alone(problem, problem.target_tokens, pooling)) < 1e-5


def test_a_pass_is_shared_unless_its_numbers_differ():
    problem = small_problem(num_snapshots=2)
    for limited in (problem, problem.limited_to([0, 3])):
        embedded(limited, "all")
    assert problem.candidates.computed == ["embeddings"]
    embedded(problem, "last")
    embedded(dataclasses.replace(problem, snapshots=problem.snapshots[:1]), "all")
    assert problem.candidates.computed == ["embeddings"] * 3


def test_an_overflow_names_the_candidate():
    problem = small_problem()
    broken = {
        name: jnp.full_like(leaf, jnp.nan) for name, leaf in problem.start.items()
    }
    snapshot = dataclasses.replace(problem.snapshot, theta=broken)
    ill = dataclasses.replace(problem, snapshots=(snapshot,))
    with pytest.raises(InputError, match="the embedding of example '0' is NaN"):
        embedded(ill, "all")


def test_votes_are_those_of_all_tiles():
    found, target, pool = made_up()
    votes, expected = found.votes(2), reverse_knn(target, [pool], 2)
    assert votes.votes.tolist() == expected.votes.tolist()
    assert votes.similarity.tolist() == expected.similarity.tolist()


def test_cosines_of_all_pairs(monkeypatch):
    found, target, pool = made_up()
    expected = np.zeros((4, 9))
    for i, a in enumerate(target.astype(np.float64)):
        for j, b in enumerate(pool.astype(np.float64)):
            expected[i, j] = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    whole = np.concatenate(list(found.cosines()), axis=1)
    assert np.abs(whole - expected).max() < 1e-10  # what rounding takes away
    monkeypatch.setattr(embedding_pass, "_ROWS", 3)
    parts = list(found.cosines())
    assert [part.shape[1] for part in parts] == [3, 1, 3, 1, 1]
    assert np.concatenate(parts, axis=1).tolist() == whole.tolist()


@pytest.mark.parametrize("positions", [[], [8], [7, 0, 5, 0, 4]])
def test_features_are_unit_rows_of_the_positions_asked_for(positions):
    found, _, pool = made_up()
    features = found.features(np.array(positions, np.int64))
    assert features.shape == (len(positions), 3)
    assert features.tolist() == unit_rows(pool)[positions].astype(np.float32).tolist()
    assert np.abs(np.linalg.norm(features, axis=1) - 1).max(initial=0) < 1e-6


def test_a_zero_vector_is_like_nothing():
    pool = np.zeros((2, 3), np.float32)
    found = Embedded(np.ones((1, 3), np.float32), MemoryColumns({"embedding": pool}))
    assert next(found.cosines()).tolist() == [[0, 0]]
    assert found.features(np.array([1])).tolist() == [[0, 0, 0]]
