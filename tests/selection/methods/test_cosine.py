import dataclasses

import jax
import numpy as np
import pytest

from ntkjax.selection.methods import cosine
from ntkjax.selection.options import MethodOptions, SketchOptions
from tests.oracles import normwise
from tests.selection.loss_oracle import explicit_of, rebatched
from tests.selection.small_problem import small_problem


pytestmark = pytest.mark.slow


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def oracle():
    return explicit_of(small_problem())


def test_equals_the_mean_of_explicit_cosines(oracle):
    found = cosine.score(small_problem())
    target, candidates = oracle
    expected = (unit(candidates) @ unit(target).T).mean(axis=1)
    # float32 derivatives on both sides: 1e-6
    assert normwise(found.scores, expected) < 1e-5
    assert found.facts == {"zero_gradients": 0}


def test_batches_and_devices_do_not_matter():
    found = cosine.score(rebatched(small_problem())).scores  # each with its own passes
    assert normwise(found, cosine.score(small_problem()).scores) < 1e-5


def test_with_itself_alone_the_cosine_is_one():
    problem = small_problem()
    alone = dataclasses.replace(
        problem, target_tokens=tuple(problem.candidates.read(np.array([4])))
    )
    scores = cosine.score(alone).scores
    assert scores[4] == pytest.approx(1, abs=1e-5)
    assert np.abs(scores).max() < 1 + 1e-5


def test_the_pass_is_kept():
    problem = small_problem()
    once = cosine.score(problem).scores
    np.testing.assert_array_equal(cosine.score(problem).scores, once)
    cosine.score(problem.limited_to([0]))
    assert problem.candidates.computed == ["unit gradient products"] * 2


def test_zero_gradients_have_cosine_zero():
    """With A = B = 0 no first derivative is left."""
    problem = small_problem()
    theta = jax.tree.map(lambda leaf: 0 * leaf, problem.snapshot.theta)
    snapshot = dataclasses.replace(problem.snapshot, theta=theta)
    problem = dataclasses.replace(problem, snapshots=(snapshot,))
    found = cosine.score(problem)
    np.testing.assert_array_equal(found.scores, np.zeros(9))
    assert found.facts == {"zero_gradients": 9}
    assert not found.features(np.array([1, 2])).any()


def test_features_estimate_cosines(oracle):
    options = MethodOptions(sketch=SketchOptions(size=4096))
    found = cosine.score(small_problem(options=options))
    positions = np.array([5, 0, 7])
    features = found.features(positions)
    assert features.shape == (3, 4096)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-6)
    rows = unit(oracle[1][positions])
    # P = 108 numbers lie in one block of the sketch: it keeps inner products
    np.testing.assert_allclose(features @ features.T, rows @ rows.T, atol=1e-5)
    again = cosine.score(small_problem(options=options)).features(positions)
    np.testing.assert_array_equal(again, features)


def test_features_of_the_other_sketch(oracle):
    options = MethodOptions(sketch=SketchOptions(size=2048, kind="rademacher"))
    features = cosine.score(small_problem(options=options)).features(np.arange(9))
    rows = unit(oracle[1])
    # the standard deviation of an entry is at most √(2/2048) = 0.03; five of them
    assert np.abs(features @ features.T - rows @ rows.T).max() < 0.16
