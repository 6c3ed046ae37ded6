"""How the validation loss responds to parameters: v, c and Ḡ of a problem.

    v = λ_new v_new + λ_prior v_prior
    v_new   = the mean of ∇ℓ over the validation examples
    v_prior = Σ_n ω_n ∇KL_n / Σ_n ω_n over anchors drawn from the candidates

KL_n is the divergence of the model from what it was before the warm-up, ω_n the
confidence of that model: to follow −v_prior is to forget less. Without a warm-up
v_prior is zero. All of them are taken at the end of the warm-up.

The released code of the paper has a step size η in û, and half precision, in which most
of its terms are zero; here û is free of η, and κ takes the place of η N / 2.
"""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Int64

from ntkjax.checkpoints.mask import theta_hash
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.mesh import replicate
from ntkjax.errors import InputError, setting
from ntkjax.math.trees import norm
from ntkjax.outputs.divergence import Confidence, Divergence
from ntkjax.outputs.loss import Loss
from ntkjax.passes.gradient_sums import HostTree
from ntkjax.passes.loss_gradients import hash_of, loss_gradient_sum, losses
from ntkjax.selection.dualsft.surrogate import Surrogate
from ntkjax.selection.loss_passes import (
    candidates_fisher,
    draw_candidates,
    target_gradient,
)
from ntkjax.selection.options import DualsftOptions
from ntkjax.selection.problem import Advance, Problem


@dataclass(frozen=True, eq=False)
class Response:
    """v, c and κ of a problem.

    Attributes:
        surrogate: The three.
        decides: Plain values that decide them, beyond the snapshot.
        facts: What the report should say of them.
    """

    surrogate: Surrogate
    decides: dict[str, Any]
    facts: dict[str, Any]


def check_response(options: DualsftOptions, *, has_moments: bool) -> None:
    """Raises `InputError` if there is nothing to respond to, or no curvature.

    Both are settled by settings alone.
    """
    if options.lambda_new == 0 and options.lambda_prior == 0:
        raise InputError(
            f"{setting('dualsft.lambda_new')} 0 and {setting('dualsft.lambda_prior')} "
            "0: expected one of them above 0."
        )
    if options.kappa and options.curvature == "adam" and not has_moments:
        raise InputError(
            f"needs the Adam moments of a warm-up; use {setting('warmup')} pool, "
            f"{setting('dualsft.curvature')} fisher, or {setting('dualsft.kappa')} 0.",
            field="dualsft.curvature",
            value="adam",
        )


def validation_response(problem: Problem) -> Response:
    """The v and c that `problem.options.dualsft` asks for.

    With λ_new = 1, λ_prior = 0 and κ = 0 it is the gradient of gradient-dot, and is
    decided by the same values. What is multiplied by zero is not computed; the rest is
    kept, in float32, for other runs that need the same.

    Cost: F + B for each validation example, 3 F + B for each anchor, and F + B for each
    example of a Fisher diagonal.

    Raises:
        InputError: If a number is not finite.
    """
    options = problem.options.dualsft
    curvature, curvature_decides = _curvature(problem)
    decides: dict[str, Any] = {"target": hash_of(problem.target_tokens)}
    if options.lambda_new != 1:
        decides["lambda_new"] = options.lambda_new
    new = target_gradient(problem)
    gradient = jax.tree.map(lambda leaf: options.lambda_new * leaf, new)
    facts = {
        "lambda_new": options.lambda_new,
        "lambda_prior": options.lambda_prior,
        "kappa": options.kappa,
        "curvature": options.curvature if options.kappa else None,
        "validation_examples": len(problem.target_tokens),
        "new_gradient_norm": norm(new),
    }
    if options.lambda_prior:
        prior, prior_decides, prior_facts = _prior(problem)
        add = lambda v, leaf: v + options.lambda_prior * leaf
        gradient = jax.tree.map(add, gradient, prior)
        decides |= prior_decides
        facts |= prior_facts
    surrogate = Surrogate(gradient, curvature, options.kappa)
    return Response(surrogate, decides | curvature_decides, facts)


def second_order_facts(surrogate: Surrogate, mean_gradient: HostTree) -> dict[str, Any]:
    """How large κ c⊙Ḡ is beside v; the ratio is None where v is zero."""
    first = norm(surrogate.gradient)
    second_order = surrogate.second_order(mean_gradient)
    second = 0.0 if second_order is None else norm(second_order)
    return {
        "first_order_norm": first,
        "second_order_norm": second,
        "second_to_first": second / first if first else None,
        "mean_gradient_norm": norm(mean_gradient),
    }


def candidates_gradient(
    problem: Problem, positions: Int64[np.ndarray, " n"] | None = None
) -> HostTree:
    """Ḡ, the mean of ∇ℓ over all candidates, or Ḡ_S over some. Cost: F + B each.

    Either pass is kept, each shard as it is done.

    Args:
        problem: Its snapshot, candidates and batches are used.
        positions: Of S.

    Raises:
        InputError: If an example's gradient is not finite; the example is named.
    """
    candidates, batching = problem.candidates, problem.batching
    if positions is not None:
        candidates = candidates.limited_to(positions)
    held = Loss(problem.model), problem.snapshot.theta
    f, theta = replicate(held, batching.mesh)

    def compute(
        examples: list[TokenizedExample], advance: Advance
    ) -> dict[str, np.ndarray]:
        sums = loss_gradient_sum(f, theta, examples, batching)
        advance(len(examples))
        return sums

    decides = {"snapshot": problem.snapshot.identity}
    sums = candidates.reduce("loss gradient", decides, compute)
    return jax.tree.map(lambda leaf: leaf / len(candidates), sums)


def _prior(problem: Problem) -> tuple[HostTree, dict[str, Any], dict[str, Any]]:
    """The gradient v_prior, what decides it, and what to say of it."""
    options = problem.options.dualsft
    anchors = draw_candidates(problem, options.anchors, "anchors")
    decides = {
        "anchors": hash_of(anchors),
        "start": theta_hash(problem.start),
        "temperature": options.temperature,
        "confidence": options.confidence,
    }
    found = problem.candidates.keep(
        "prior gradient",
        {"snapshot": problem.snapshot.identity, **decides},
        lambda: _prior_gradient(problem, anchors),
    )
    confidence = float(found.pop(_CONFIDENCE))
    facts = {
        "anchors": len(anchors),
        "mean_confidence": confidence,
        "prior_gradient_norm": norm(found),
    }
    return found, decides | {"lambda_prior": options.lambda_prior}, facts


_CONFIDENCE = "mean confidence"


def _prior_gradient(
    problem: Problem, anchors: tuple[TokenizedExample, ...]
) -> dict[str, np.ndarray]:
    """v_prior by parameter, and the mean of ω beside it."""
    options, batching = problem.options.dualsft, problem.batching.refitted
    model, tau = problem.model, options.temperature
    confidence = Confidence(model, tau, options.confidence)
    weights = losses(confidence, problem.start, anchors, batching)
    divergence = Divergence(model, problem.start, tau)
    theta = problem.snapshot.theta
    sums = loss_gradient_sum(divergence, theta, anchors, batching, weights)
    prior = jax.tree.map(lambda leaf: leaf / weights.sum(), sums)
    return {**prior, _CONFIDENCE: weights.mean()}


def _curvature(problem: Problem) -> tuple[HostTree | None, dict[str, Any]]:
    """The curvature c, None where κ = 0, and what decides it."""
    options = problem.options.dualsft
    if options.kappa == 0:
        return None, {}
    decides = {"kappa": options.kappa, "curvature": options.curvature}
    if options.curvature == "fisher":
        fisher, drawn = candidates_fisher(problem)
        return fisher, decides | {"fisher": hash_of(drawn)}
    moments = problem.snapshot.second_moment
    assert moments is not None
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), moments), decides
