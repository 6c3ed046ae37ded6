"""Gradient dot product: would a step on the candidate lower the loss of the target?

    score(x) = ⟨∇ℓ(x), v⟩,   v = (1/n) Σ_d ∇ℓ(d)

To first order a step −η ∇ℓ(x) lowers the target's mean loss by η · score(x)
(arXiv 2002.08484, at one checkpoint).
"""

from ntkjax.math.trees import norm
from ntkjax.passes.loss_gradients import hash_of
from ntkjax.selection.loss_passes import (
    candidate_products,
    product_passes,
    target_gradient,
)
from ntkjax.selection.methods.method import Method, Words
from ntkjax.selection.problem import Problem, Scored


def score(problem: Problem) -> Scored:
    """Scores at the end of the warm-up. Cost: 2 F for each candidate, exact.

    Raises:
        InputError: If a gradient or a score is not finite; the example is named.
    """
    direction = target_gradient(problem)
    decides = {"target": hash_of(problem.target_tokens)}
    scores = candidate_products(problem, direction, decides)
    return Scored(scores, facts={"target_gradient_norm": norm(direction)})


METHOD = Method(
    "gradient-dot",
    "inner product of loss gradients with the target's mean",
    score,
    product_passes,
    words=Words(
        "inner product of their loss gradient with the target's mean one",
        "The inner product of the example's loss gradient with the mean loss gradient "
        "of the target. To first order, a step of plain gradient descent on the "
        "example lowers the target's mean loss by the step size times the score.",
        labels={
            "target_gradient_norm": "length of the target's mean gradient",
        },
    ),
    warmup="pool",
)
