import dataclasses

import numpy as np
import pytest

from ntkjax.selection.loss_passes import (
    candidate_products,
    candidates_fisher,
    draw_candidates,
    seeded_sketch,
    target_gradient,
)
from ntkjax.selection.options import FisherOptions, MethodOptions, SketchOptions
from tests.oracles import normwise
from tests.selection.loss_oracle import explicit, explicit_of, flat
from tests.selection.slow_gradients import matrix_of
from tests.selection.small_problem import LONGEST, THETA, small_problem


@pytest.fixture(scope="module")
def oracle():
    return explicit_of(small_problem(num_snapshots=2))


def test_target_gradient_at_the_last_snapshot(oracle):
    found = target_gradient(small_problem(num_snapshots=2))
    assert normwise(flat(found), oracle[0].mean(axis=0)) < 1e-5


def test_what_is_found_once_is_kept():
    problem = small_problem()
    once = target_gradient(problem), candidates_fisher(problem)[0]
    again = target_gradient(problem), candidates_fisher(problem)[0]
    assert problem.candidates.kept == ["target gradient", "fisher diagonal"]
    np.testing.assert_array_equal(flat(again), flat(once))
    target_gradient(problem.limited_to([0, 1]))
    candidates_fisher(
        dataclasses.replace(problem, options=MethodOptions(fisher=FisherOptions(3)))
    )
    snapshot = dataclasses.replace(problem.snapshot, identity="another")
    target_gradient(dataclasses.replace(problem, snapshots=(snapshot,)))
    assert len(problem.candidates.kept) == 5


def test_candidate_products_and_what_they_share(oracle):
    problem = small_problem(num_snapshots=2)
    u = target_gradient(problem)
    found = candidate_products(problem, u, {"u": 1})
    assert normwise(found, oracle[1] @ flat(u)) < 1e-5
    np.testing.assert_array_equal(candidate_products(problem, u, {"u": 1}), found)
    assert problem.candidates.computed == ["loss products"]
    candidate_products(problem, u, {"u": 2})
    earlier = dataclasses.replace(problem, snapshots=problem.snapshots[:1])
    assert normwise(candidate_products(earlier, u, {"u": 1}), found) > 1e-2
    assert problem.candidates.computed == ["loss products"] * 3


def ids(examples):
    return [int(example.id) for example in examples]


def test_draws():
    problem = small_problem(num_candidates=30, seed=5)
    drawn = ids(draw_candidates(problem, 12, "a"))
    assert len(set(drawn)) == 12
    assert drawn == sorted(drawn)
    assert drawn == ids(draw_candidates(problem, 12, "a"))
    others = [
        ids(draw_candidates(problem, 12, "b")),
        ids(draw_candidates(dataclasses.replace(problem, seed=6), 12, "a")),
    ]
    assert drawn not in others
    assert others[0] != others[1]
    assert ids(draw_candidates(problem, 31, "a")) == list(range(30))


def test_draws_are_even():
    """Each candidate is drawn with the same probability."""
    problem = small_problem(num_candidates=10)
    counts = np.zeros(10)
    for seed in range(400):
        drawn = draw_candidates(dataclasses.replace(problem, seed=seed), 3, "a")
        counts[ids(drawn)] += 1
    # 120 expected with a standard deviation of 9.2; five of them
    assert np.abs(counts - 120).max() < 46


def test_candidates_fisher():
    options = MethodOptions(fisher=FisherOptions(examples=4))
    problem = small_problem(options=options)
    found, drawn = candidates_fisher(problem)
    assert len(drawn) == 4
    theta = problem.snapshot.theta
    gradients = explicit(problem.model, theta, drawn, LONGEST)[1]
    assert normwise(flat(found), (gradients**2).mean(axis=0)) < 1e-5


def test_a_seed_and_a_use_have_one_sketch():
    size = sum(leaf.size for leaf in THETA.values())
    options = MethodOptions(sketch=SketchOptions(size=20, kind="rademacher"))
    matrix = lambda seed, use: matrix_of(
        seeded_sketch(small_problem(options=options, seed=seed), use), size
    )
    once = matrix(0, "a")
    assert once.shape == (size, 20)
    np.testing.assert_array_equal(matrix(0, "a"), once)
    assert not np.array_equal(matrix(1, "a"), once)
    assert not np.array_equal(matrix(0, "b"), once)
