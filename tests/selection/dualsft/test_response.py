import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.data.batches import make_batch
from ntkjax.errors import InputError
from ntkjax.passes.loss_gradients import hash_of, loss_gradient_sum
from ntkjax.selection.dualsft import response
from ntkjax.selection.dualsft.response import (
    candidates_gradient,
    check_response,
    second_order_facts,
    validation_response,
)
from ntkjax.selection.dualsft.surrogate import Surrogate
from ntkjax.selection.options import DualsftOptions, FisherOptions, MethodOptions
from tests.oracles import normwise
from tests.selection.loss_oracle import explicit_of, flat, rebatched
from tests.selection.small_problem import LONGEST, small_problem


pytestmark = pytest.mark.slow


PLAIN = DualsftOptions(lambda_prior=0.0, kappa=0.0)


def problem_with(options=PLAIN, *, moments=True, **changes):
    method = MethodOptions(dualsft=options, **changes)
    return small_problem(options=method, moments=moments)


def everything(problem):
    return problem.candidates.read(np.arange(len(problem.candidates)))


@jax.jit
@functools.partial(jax.grad, has_aux=True)
def divergence_gradient(theta, base, model, x, tau):
    """∇KL of all positions at once, and confidences of each kind."""
    logits = lambda t: model.logits(t, model.hidden(t, x.tokens))[:-1] / tau
    log_q, log_p = (jax.nn.log_softmax(logits(t)) for t in (base, theta))
    q, counted = jnp.exp(log_q), x.targets[1:]
    mean = lambda each: jnp.mean(each, where=counted)
    confidences = {
        "max_prob": mean(q.max(axis=1)),
        "entropy_inv": mean(1 + (q * log_q).sum(axis=1) / np.log(q.shape[1])),
        "uniform": jnp.ones(()),
    }
    return tau**2 * mean((q * (log_q - log_p)).sum(axis=1)), confidences


def explicit_prior(problem, temperature, kind):
    """Σ ω ∇KL / Σ ω over all candidates, one at a time in float64."""
    total, weights = 0.0, 0.0
    for example in everything(problem):
        batch = make_batch([example], "response", LONGEST)
        x = jax.tree.map(lambda leaf: leaf[0], batch)
        gradient, confidences = divergence_gradient(
            problem.snapshot.theta,
            problem.start,
            problem.model,
            x,
            jnp.float32(temperature),
        )
        weight = float(confidences[kind])
        total = total + weight * flat(gradient)
        weights += weight
    return total / weights


@pytest.mark.parametrize("kind", ["max_prob", "entropy_inv", "uniform"])
def test_v_mixes_new_and_prior(kind):
    options = replace(PLAIN, lambda_new=0.5, lambda_prior=3.0, confidence=kind)
    problem = problem_with(options)
    found = validation_response(problem)
    new = explicit_of(problem)[0].mean(axis=0)
    prior = explicit_prior(problem, 2.0, kind)
    # float32 derivatives on both sides
    v = flat(found.surrogate.gradient)
    assert normwise(v, 0.5 * new + 3 * prior) < 1e-5
    norms = found.facts["new_gradient_norm"], found.facts["prior_gradient_norm"]
    expected = np.linalg.norm(new), np.linalg.norm(prior)
    assert norms == pytest.approx(expected, rel=1e-5)
    assert 3 * expected[1] > 0.05 * expected[0]  # so that a wrong one would show
    assert found.facts["anchors"] == 9
    assert found.surrogate.curvature is None


def test_without_a_warmup_nothing_is_forgotten():
    problem = problem_with(replace(PLAIN, lambda_prior=1.0))
    theta = problem.start
    problem = replace(problem, snapshots=(replace(problem.snapshot, theta=theta),))
    facts = validation_response(problem).facts
    # zero but for roundings of float32
    assert facts["prior_gradient_norm"] < 1e-5 * facts["new_gradient_norm"]


def test_fewer_anchors_than_candidates_are_drawn_by_the_seed():
    problem = problem_with(replace(PLAIN, lambda_prior=1.0, anchors=4))
    one, same, other = (
        validation_response(replace(problem, seed=seed)) for seed in (0, 0, 1)
    )
    assert one.facts["anchors"] == 4
    assert one.decides == same.decides
    assert one.decides["anchors"] != other.decides["anchors"]
    gradients = [flat(found.surrogate.gradient) for found in (one, same, other)]
    np.testing.assert_array_equal(gradients[0], gradients[1])
    assert normwise(gradients[2], gradients[0]) > 1e-3


def test_curvatures():
    adam = problem_with(replace(PLAIN, kappa=2.0))
    found = validation_response(adam).surrogate
    assert found.kappa == 2.0
    moments = flat(adam.snapshot.second_moment)
    np.testing.assert_array_equal(flat(found.curvature), moments)

    options = replace(PLAIN, kappa=2.0, curvature="fisher")
    fisher = problem_with(options, moments=False, fisher=FisherOptions(examples=9))
    found = validation_response(fisher)
    squares = np.square(explicit_of(fisher)[1]).mean(axis=0)
    assert normwise(flat(found.surrogate.curvature), squares) < 1e-5
    assert found.decides["fisher"] == hash_of(everything(fisher))


def test_what_is_missing_is_named():
    with pytest.raises(InputError) as error:
        check_response(replace(PLAIN, kappa=1.0), has_moments=False)
    assert str(error.value) == (
        "dualsft.curvature adam: needs the Adam moments of a warm-up; use warmup "
        "pool, dualsft.curvature fisher, or dualsft.kappa 0."
    )
    with pytest.raises(InputError, match=r"dualsft.lambda_new 0 and .* above 0"):
        check_response(replace(PLAIN, lambda_new=0.0), has_moments=True)
    # first order asks for no moments
    check_response(PLAIN, has_moments=False)
    validation_response(problem_with(moments=False))


def test_all_that_decides_v_and_c_is_named():
    problem = problem_with()
    plain = validation_response(problem).decides
    assert plain == {"target": hash_of(problem.target_tokens)}

    prior = replace(PLAIN, lambda_prior=1.0)
    curved = replace(PLAIN, kappa=1.0)
    variants = [
        problem,
        problem.limited_to([0, 1]),
        problem_with(replace(PLAIN, lambda_new=2.0)),
        problem_with(prior),
        problem_with(replace(prior, lambda_prior=2.0)),
        problem_with(replace(prior, temperature=1.0)),
        problem_with(replace(prior, confidence="uniform")),
        problem_with(replace(prior, anchors=2)),
        replace(problem_with(prior), start=problem.snapshot.theta),
        problem_with(curved),
        problem_with(replace(curved, kappa=2.0)),
        problem_with(replace(curved, curvature="fisher")),
        problem_with(
            replace(curved, curvature="fisher"), fisher=FisherOptions(examples=3)
        ),
    ]
    found = [repr(validation_response(each).decides) for each in variants]
    assert len(set(found)) == len(variants)
    # what plays no part decides nothing
    idle = replace(PLAIN, temperature=1.0, anchors=2, curvature="fisher", rounds=3)
    assert validation_response(problem_with(idle)).decides == plain


def test_gradients_of_candidates():
    problem = problem_with()
    gradients = explicit_of(problem)[1]
    mean = candidates_gradient(problem)
    assert list(mean) == list(problem.snapshot.theta)
    assert normwise(flat(mean), gradients.mean(axis=0)) < 1e-5
    some = np.array([7, 2])
    found = candidates_gradient(problem, some)
    assert normwise(flat(found), gradients[some].mean(axis=0)) < 1e-5
    assert normwise(flat(found), flat(mean)) > 1e-2
    again = candidates_gradient(rebatched(problem_with()))
    assert normwise(flat(again), flat(mean)) < 1e-5


def test_gradients_of_candidates_are_kept():
    problem = problem_with()
    once = candidates_gradient(problem), candidates_gradient(problem, np.array([7, 2]))
    assert problem.candidates.computed == ["loss gradient"] * 2
    again = candidates_gradient(problem), candidates_gradient(problem, np.array([2, 7]))
    assert problem.candidates.computed == ["loss gradient"] * 2
    np.testing.assert_array_equal(flat(again), flat(once))
    candidates_gradient(problem, np.array([2, 8]))
    assert problem.candidates.computed == ["loss gradient"] * 3


def test_shards_share_one_copy_of_the_model_on_every_device(monkeypatch):
    seen = []

    def noted(f, theta, examples, batching):
        seen.append((f, theta))
        return loss_gradient_sum(f, theta, examples, batching)

    monkeypatch.setattr(response, "loss_gradient_sum", noted)
    problem = problem_with()
    candidates_gradient(problem)
    leaves = [jax.tree.leaves(held) for held in seen]
    assert len(leaves) == 2  # shards
    assert all(a is b for a, b in zip(*leaves, strict=True))
    devices = set(problem.batching.mesh.devices.flat)
    assert all(leaf.sharding.device_set == devices for leaf in leaves[0])


def test_sizes_of_both_orders():
    v, c = {"a": np.array([3.0, 4.0])}, {"a": np.array([1.0, 0.0])}
    mean = {"a": np.array([2.0, 0.0])}
    assert second_order_facts(Surrogate(v, c, 0.5), mean) == {
        "first_order_norm": 5.0,
        "second_order_norm": 1.0,
        "second_to_first": 0.2,
        "mean_gradient_norm": 2.0,
    }
    zero = {"a": np.zeros(2)}
    facts = second_order_facts(Surrogate(zero), mean)
    assert (facts["second_order_norm"], facts["second_to_first"]) == (0.0, None)
