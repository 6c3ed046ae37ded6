import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ntkjax.selection.shortlist import Votes, reverse_knn, shortlist


def brute_force(targets, pool, num_neighbors):
    """The whole matrix in whole units of 1e-10, sorted row by row."""
    cosines = np.zeros((len(targets), len(pool)), int)
    for i, a in enumerate(targets.astype(np.float64)):
        for j, b in enumerate(pool.astype(np.float64)):
            length = np.linalg.norm(a) * np.linalg.norm(b)
            cosines[i, j] = round(1e10 * (a @ b) / length) if length else 0
    votes = np.zeros(len(pool), int)
    for row in cosines:
        votes[np.argsort(-row, kind="stable")[:num_neighbors]] += 1
    sums = cosines.sum(axis=0)
    order = sorted(range(len(pool)), key=lambda j: (-votes[j], -sums[j], j))
    return votes, sums / (1e10 * len(targets)), order


def cut(pool, sizes):
    """The pool in tiles of the given sizes, over and over."""
    start = index = 0
    while start < len(pool):
        size = sizes[index % len(sizes)]
        yield pool[start : start + size]
        start, index = start + size, index + 1


def check(targets, pool, num_neighbors, sizes):
    found = reverse_knn(targets, cut(pool, sizes), num_neighbors)
    votes, similarity, order = brute_force(targets, pool, num_neighbors)
    assert found.votes.tolist() == votes.tolist()
    assert found.similarity.tolist() == similarity.tolist()
    assert shortlist(found, 1000).tolist() == order
    return found, order


@pytest.mark.parametrize("num_neighbors", [1, 7, 40, 200])
def test_equals_the_whole_matrix_on_normal_vectors(num_neighbors):
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(30, 8)).astype(np.float32)
    pool = rng.normal(size=(150, 8)).astype(np.float32)
    found, order = check(targets, pool, num_neighbors, [13, 1, 50])
    assert shortlist(found, 20).tolist() == order[:20]


# Few different vectors, zero among them: many candidates are equally near.
vectors = st.lists(st.tuples(*[st.integers(-1, 2)] * 2), min_size=1, max_size=25).map(
    lambda rows: np.array(rows, np.float32)
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    vectors,
    vectors,
    st.integers(1, 30),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
)
def test_equals_the_whole_matrix_with_ties(targets, pool, num_neighbors, sizes):
    found, _ = check(targets, pool, num_neighbors, sizes)
    whole = reverse_knn(targets, [pool], num_neighbors)
    assert found.votes.tolist() == whole.votes.tolist()
    assert found.similarity.tolist() == whole.similarity.tolist()
    assert found.votes.sum() == len(targets) * min(num_neighbors, len(pool))


def test_tiles_do_not_matter_beyond_the_inner_tile():
    rng = np.random.default_rng(1)
    targets = rng.normal(size=(5, 3)).astype(np.float32)
    pool = rng.normal(size=(9000, 3)).astype(np.float32)
    pool[5000:] = pool[:4000]  # duplicates in other tiles
    whole = reverse_knn(targets, [pool], 100)
    parts = reverse_knn(targets, cut(pool, [1000, 17, 3333]), 100)
    assert whole.votes.tolist() == parts.votes.tolist()
    assert whole.similarity.tolist() == parts.similarity.tolist()
    cosines = targets / np.linalg.norm(targets, axis=1, keepdims=True) @ pool.T
    cosines = np.round(cosines / np.linalg.norm(pool, axis=1), 5)
    best = np.argsort(-cosines, axis=1, kind="stable")[:, 0]
    assert (whole.votes[best] > 0).all()


def test_order_is_by_votes_then_similarity_then_row():
    votes = Votes(np.array([0, 2, 0, 2, 0]), np.array([0.1, 0.3, 0.9, 0.4, 0.9]))
    assert shortlist(votes, 5).tolist() == [3, 1, 2, 4, 0]
    assert shortlist(votes, 2).tolist() == [3, 1]


def test_length_does_not_matter_and_zero_is_similar_to_nothing():
    targets = np.array([[1.0, 0.0]])
    pool = np.array([[0.0, 0.0], [-1.0, 0.0], [9.0, 0.0], [0.1, 0.0]])
    found = reverse_knn(targets, [pool], 2)
    assert found.similarity.tolist() == [0, -1, 1, 1]
    assert found.votes.tolist() == [0, 0, 1, 1]


def test_an_empty_pool_has_no_votes():
    found = reverse_knn(np.ones((2, 3)), [], 4)
    assert len(found.votes) == len(found.similarity) == 0


@pytest.mark.parametrize(
    ("targets", "tile", "num_neighbors", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 3)), 0, "at least one neighbor"),
        (np.ones((0, 3)), np.ones((2, 3)), 1, "one domain example"),
        (np.ones((2, 3)), np.ones((2, 4)), 1, "width 3"),
        (np.ones((2, 3)), np.full((2, 3), np.nan), 1, "finite"),
        (np.full((2, 3), np.inf), np.ones((2, 3)), 1, "finite"),
    ],
)
def test_what_cannot_be_voted_on(targets, tile, num_neighbors, message):
    with pytest.raises(ValueError, match=message):
        reverse_knn(targets, iter([tile]), num_neighbors)


def test_an_empty_shortlist_is_refused():
    votes = Votes(np.zeros(3, int), np.zeros(3))
    with pytest.raises(ValueError, match="at least one candidate"):
        shortlist(votes, 0)
