"""Gradient dot product in the metric of a diagonal Fisher matrix.

    score(x) = ⟨∇ℓ(x), v ⊘ (F + δ F̄)⟩,   v = (1/n) Σ_d ∇ℓ(d)

F is the mean of (∇ℓ)² over some candidates, elementwise; F̄ is the mean of its entries
and δ the damping. It is the effect of a natural-gradient step on the candidate.
"""

import jax
import numpy as np

from ntkjax.errors import InputError
from ntkjax.math.trees import norm
from ntkjax.passes.gradient_sums import HostTree
from ntkjax.passes.loss_gradients import hash_of
from ntkjax.selection.loss_passes import (
    candidate_products,
    candidates_fisher,
    fisher_pass,
    product_passes,
    target_gradient,
)
from ntkjax.selection.methods.method import Method, Words
from ntkjax.selection.problem import Problem, Scored


def score(problem: Problem) -> Scored:
    """Scores at the end of the warm-up. Cost: 2 F for each candidate, exact.

    The Fisher diagonal and v are computed anew by every run; the scores are kept.

    Raises:
        InputError: If a gradient, the direction or a score is not finite.
    """
    damping = problem.options.fisher.damping
    fisher, drawn = candidates_fisher(problem)
    gradient = target_gradient(problem)
    direction = preconditioned(gradient, fisher, damping)
    decides = {
        "target": hash_of(problem.target_tokens),
        "fisher": hash_of(drawn),
        "damping": damping,
    }
    facts = {
        "fisher_examples": len(drawn),
        "damping": damping,
        "target_gradient_norm": norm(gradient),
    }
    return Scored(candidate_products(problem, direction, decides), facts=facts)


def preconditioned(gradient: HostTree, fisher: HostTree, damping: float) -> HostTree:
    """The quotient v ⊘ (F + δ F̄), 0 where the divisor is: a pseudoinverse.

    Raises:
        InputError: If a quotient does not fit into float32.
    """
    leaves = jax.tree.leaves(fisher)
    mean = sum(leaf.sum() for leaf in leaves) / sum(leaf.size for leaf in leaves)

    def divided(v: np.ndarray, f: np.ndarray) -> np.ndarray:
        divisor = f + damping * mean
        return np.divide(v, divisor, out=np.zeros_like(v), where=divisor > 0)

    direction = jax.tree.map(divided, gradient, fisher)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(direction))
    if not largest < np.finfo(np.float32).max:
        raise InputError(
            "the gradient over the Fisher diagonal does not fit into float32; expected "
            "a higher damping.",
            field="fisher.damping",
            value=damping,
        )
    return direction


METHOD = Method(
    "fisher",
    "the same inner product, divided by the Fisher diagonal",
    score,
    lambda outline, counts: [
        fisher_pass(outline, counts),
        *product_passes(outline, counts),
    ],
    words=Words(
        "inner product of their loss gradient with the target's mean one, divided by "
        "the Fisher diagonal",
        "The inner product of the example's loss gradient with the mean loss gradient "
        "of the target, each coordinate divided by the mean squared gradient of "
        "candidates plus the damping. To first order it is what a natural-gradient "
        "step on the example lowers the target's mean loss by, per unit of step size.",
        labels={
            "target_gradient_norm": "length of the target's mean gradient",
            "fisher_examples": "candidates in the Fisher diagonal",
            "damping": "damping, in units of the diagonal's mean",
        },
    ),
    flags=("fisher",),
    warmup="pool",
)
