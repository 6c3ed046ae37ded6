"""Plain greedy over the dense matrix is the oracle, and all subsets for the bound."""

import itertools
import math

import numpy as np
import pytest

from ntkjax.selection.pickers import facility_location as module
from ntkjax.selection.pickers.facility_location import facility_location
from tests.selection.pickers.random_pick_problem import random_pick_problem


def dense_similarity(features):
    """max(0, cos), rounded as documented, so that ties are the same ties."""
    lengths = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    units = features / np.where(lengths > 0, lengths, 1)
    units = (np.round(units * 2**26) / 2**26).astype(np.float32).astype(np.float64)
    return np.clip(np.round(units @ units.T * 2**24) / 2**24, 0, 1)


def plain_greedy(similarity, most):
    """Every gain at every step."""
    k = len(similarity)
    covered, picks = np.zeros(k), []
    for _ in range(min(most, k)):
        gains = np.maximum(similarity, covered[:, None]).sum(axis=0) - covered.sum()
        gains[picks] = -1
        picks.append(int(np.argmax(gains)))  # of equal gains the first
        covered = np.maximum(covered, similarity[:, picks[-1]])
    return picks


def problem_of(features, **changes):
    return random_pick_problem(
        0, k=len(features), features=lambda positions: features[positions], **changes
    )


def random_features(seed, k, d):
    rng = np.random.default_rng([43, seed])
    centers = rng.standard_normal((4, d))
    noise = rng.standard_normal((k, d))
    return (centers[rng.integers(0, 4, k)] + 0.5 * noise).astype(np.float32)


def test_equals_plain_greedy():
    for seed in range(8):
        features = random_features(seed, k=60, d=5)
        expected = plain_greedy(dense_similarity(features), 60)
        found = facility_location(problem_of(features, most=60)).tolist()
        assert found == expected, seed


def test_equals_plain_greedy_with_many_ties():
    for seed in range(8):
        rng = np.random.default_rng([47, seed])
        # corners of a small cube, the origin among them: repeated rows and equal gains
        features = rng.integers(0, 2, (40, 3)).astype(np.float32)
        expected = plain_greedy(dense_similarity(features), 40)
        found = facility_location(problem_of(features, most=40)).tolist()
        assert found == expected, seed


def test_blocks_do_not_change_the_order(monkeypatch):
    features = random_features(1, k=300, d=7)
    whole = facility_location(problem_of(features, most=40)).tolist()
    assert whole == plain_greedy(dense_similarity(features), 40)
    monkeypatch.setattr(module, "_COLUMNS", 3)
    monkeypatch.setattr(module, "_NUMBERS_PER_TILE", 50)
    monkeypatch.setattr(module, "_NUMBERS_KEPT", 5 * 300)
    assert facility_location(problem_of(features, most=40)).tolist() == whole


def test_inner_products_are_exact():
    """The same bits forwards and backwards, which float32 products would not give."""
    features = random_features(2, k=50, d=1000)
    units = module._unit_features(problem_of(features)).astype(np.float64)
    backwards = np.ascontiguousarray(units[:, ::-1])
    assert (units @ units.T == backwards @ backwards.T).all()
    one_by_one = [[math.fsum(x * y) for y in units[:5]] for x in units[:5]]
    assert (units[:5] @ units[:5].T == np.array(one_by_one)).all()


def test_similarities_are_short_numbers():
    """Multiples of 2^-24 in 0 … 1: their sums are exact in any order."""
    features = random_features(3, k=50, d=9)
    similarities = module._Similarities(module._unit_features(problem_of(features)))
    found = np.stack(similarities.columns(range(50)))
    assert found.min() == 0
    assert found.max() <= 1
    assert (found * 2**24 % 1 == 0).all()
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    # 1e-6: float32 rounding of 9 products
    np.testing.assert_allclose(found, np.maximum(units @ units.T, 0), atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_reaches_its_share_of_the_best_set(seed):
    features = np.random.default_rng(seed).standard_normal((9, 3)).astype(np.float32)
    similarity = dense_similarity(features)
    value = lambda chosen: similarity[:, list(chosen)].max(axis=1).sum()
    picks = facility_location(problem_of(features)).tolist()
    for size in range(1, 5):
        best = max(map(value, itertools.combinations(range(9), size)))
        assert value(picks[:size]) >= (1 - 1 / math.e) * best
    assert value(picks[:1]) == max(value([j]) for j in range(9))


def test_picks_one_of_each_cluster_first():
    rng = np.random.default_rng(3)
    centers = 10 * np.eye(4, dtype=np.float32)
    features = np.repeat(centers, 5, axis=0)
    features += 0.1 * rng.standard_normal(features.shape).astype(np.float32)
    picks = facility_location(problem_of(features, most=4))
    assert sorted(picks // 5) == [0, 1, 2, 3]


def test_lengths_of_features_do_not_matter():
    features = random_features(4, k=30, d=5)
    powers = 2.0 ** np.random.default_rng(5).integers(-20, 20, (30, 1))
    scaled = features * powers.astype(np.float32)
    plain = facility_location(problem_of(features, most=30))
    assert (facility_location(problem_of(scaled, most=30)) == plain).all()


def test_most_gains_are_not_computed_again(monkeypatch):
    computed = []
    entries = module._entries

    def counted(similarities, covered, positions, step):
        computed.extend(positions)
        return entries(similarities, covered, positions, step)

    monkeypatch.setattr(module, "_entries", counted)
    features = random_features(6, k=400, d=6)
    facility_location(problem_of(features, most=40))
    assert len(computed) < 400 * 40 / 4


def test_similarities_are_kept_up_to_a_limit(monkeypatch):
    computed = []
    compute = module._Similarities._compute

    def counted(self, positions):
        computed.extend(positions)
        return compute(self, positions)

    monkeypatch.setattr(module._Similarities, "_compute", counted)
    features = random_features(6, k=100, d=6)
    facility_location(problem_of(features, most=40))
    assert computed == list(range(100))
    monkeypatch.setattr(module, "_NUMBERS_KEPT", 30 * 100)
    similarities = module._Similarities(module._unit_features(problem_of(features)))
    similarities.columns(list(range(30)))
    similarities.columns([0, 30])  # 1 was used longest ago, and goes
    computed.clear()
    similarities.columns([0, 2, 30, 1])
    assert computed == [1]


def test_features_are_read_once():
    """They come from shards on disk, which are read whole for every call."""
    features = random_features(7, k=600, d=4)
    sizes = []

    def read(positions):
        sizes.append(len(positions))
        return features[positions]

    facility_location(random_pick_problem(0, k=600, features=read, most=2))
    assert sizes == [600]


def test_features_are_needed_and_finite():
    with pytest.raises(ValueError, match="needs features"):
        facility_location(random_pick_problem(0, features=None))
    features = np.ones((3, 2), np.float32)
    features[1, 0] = np.nan
    with pytest.raises(ValueError, match="finite"):
        facility_location(problem_of(features))
