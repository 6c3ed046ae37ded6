import dataclasses

import numpy as np
import pytest

from ntkjax.errors import InputError
from ntkjax.selection.loss_passes import draw_candidates
from ntkjax.selection.methods import fisher
from ntkjax.selection.methods.fisher import preconditioned
from ntkjax.selection.options import FisherOptions, MethodOptions
from tests.oracles import normwise
from tests.selection.loss_oracle import explicit_of, rebatched
from tests.selection.small_problem import small_problem


def problem_with(**options):
    return small_problem(options=MethodOptions(fisher=FisherOptions(**options)))


@pytest.fixture(scope="module")
def oracle():
    return explicit_of(small_problem())


@pytest.mark.slow
@pytest.mark.parametrize(("examples", "damping"), [(256, 0.1), (4, 2.0)])
def test_equals_explicit_products(oracle, examples, damping):
    problem = problem_with(examples=examples, damping=damping)
    found = fisher.score(problem)
    target, candidates = oracle
    drawn = [int(e.id) for e in draw_candidates(problem, examples, "fisher")]
    diagonal = (candidates[drawn] ** 2).mean(axis=0)
    direction = target.mean(axis=0) / (diagonal + damping * diagonal.mean())
    # float32 derivatives on both sides: 1e-6
    assert normwise(found.scores, candidates @ direction) < 1e-5
    assert found.facts["fisher_examples"] == len(drawn) == min(examples, 9)
    assert found.facts["damping"] == damping


@pytest.mark.slow
def test_batches_and_devices_do_not_matter():
    problem = problem_with()
    found = fisher.score(rebatched(problem)).scores
    assert normwise(found, fisher.score(problem).scores) < 1e-5


@pytest.mark.slow
def test_other_options_are_other_passes():
    problem = problem_with()
    fisher.score(problem)
    fisher.score(problem)
    # 256 of 9 candidates are all of them under any seed
    fisher.score(dataclasses.replace(problem, seed=1))
    assert problem.candidates.computed == ["loss products"]
    for changes in ({"damping": 1.0}, {"examples": 3}):
        options = MethodOptions(fisher=FisherOptions(**changes))
        fisher.score(dataclasses.replace(problem, options=options))
    assert problem.candidates.computed == ["loss products"] * 3


def test_preconditioned():
    v = {"a": np.array([1.0, 2.0]), "b": np.array([[3.0, -4.0]])}
    diagonal = {"a": np.array([0.0, 1.0]), "b": np.array([[3.0, 0.0]])}
    found = preconditioned(v, diagonal, 2.0)  # the mean entry is 1
    np.testing.assert_allclose(found["a"], [1 / 2, 2 / 3])
    np.testing.assert_allclose(found["b"], [[3 / 5, -4 / 2]])


def test_what_no_candidate_touches_counts_for_nothing_without_damping():
    v = {"a": np.array([1.0, 0.0, 3.0])}
    found = preconditioned(v, {"a": np.array([0.0, 0.0, 2.0])}, 0.0)
    np.testing.assert_array_equal(found["a"], [0, 0, 1.5])


def test_a_quotient_beyond_float32_is_refused():
    v, diagonal = {"a": np.array([1.0, 1.0])}, {"a": np.array([1e-40, 1.0])}
    with pytest.raises(InputError, match=r"^fisher.damping 0.0: .* higher damping"):
        preconditioned(v, diagonal, 0.0)
    preconditioned(v, diagonal, 0.1)
