"""The mean cosine between a candidate's loss gradient and those of the target.

    score(x) = (1/n) Σ_d cos(∇ℓ(x), ∇ℓ(d)) = ⟨∇ℓ(x), ū⟩ / ‖∇ℓ(x)‖
    ū = (1/n) Σ_d ∇ℓ(d) / ‖∇ℓ(d)‖

Nothing is sketched: the target enters through one direction. A gradient that is zero
has cosine 0 with all.
"""

import numpy as np
from jaxtyping import Float32, Float64, Int64

from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.mesh import replicate
from ntkjax.outputs.loss import Loss
from ntkjax.passes.gradient_sketches import gradient_sketches
from ntkjax.passes.gradient_sums import HostTree, to_float32
from ntkjax.passes.loss_gradients import (
    gradient_norms,
    gradient_products_and_norms,
    hash_of,
    loss_gradient_sum,
)
from ntkjax.selection.loss_passes import seeded_sketch
from ntkjax.selection.methods.method import Method, Words
from ntkjax.selection.passes import Counts, Pass, on_target, over_candidates
from ntkjax.selection.problem import Advance, Outline, Problem, Scored
from ntkjax.selection.rows import unit_rows


def score(problem: Problem) -> Scored:
    """Scores at the end of the warm-up. Cost: F + B for each candidate, exact.

    Features are sketched unit gradients of `sketch.size` numbers each.

    Raises:
        InputError: If a gradient is not finite; the example is named.
    """
    held = Loss(problem.model), problem.snapshot.theta, to_float32(_direction(problem))
    f, theta, direction = replicate(held, problem.batching.mesh)

    def compute(
        examples: list[TokenizedExample], advance: Advance
    ) -> dict[str, np.ndarray]:
        products, norms = gradient_products_and_norms(
            f, theta, direction, examples, problem.batching, advance
        )
        return {"product": products, "norm": norms}

    decides = {
        "snapshot": problem.snapshot.identity,
        "target": hash_of(problem.target_tokens),
    }
    found = problem.candidates.compute("unit gradient products", decides, compute)
    products = found.column("product").astype(np.float64)
    norms = found.column("norm").astype(np.float64)
    return Scored(
        products * _inverse(norms),
        features=lambda positions: _features(problem, positions),
        facts={"zero_gradients": int(np.count_nonzero(norms == 0))},
    )


def _direction(problem: Problem) -> HostTree:
    """ū of the target."""
    f, theta = Loss(problem.model), problem.snapshot.theta
    target, batching = problem.target_tokens, problem.batching.refitted
    norms = gradient_norms(f, theta, target, batching)
    weights = _inverse(norms) / len(target)
    return loss_gradient_sum(f, theta, target, batching, weights)


def _inverse(norms: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """1 / norm, 0 for a norm of 0."""
    return np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)


def _features(
    problem: Problem, positions: Int64[np.ndarray, " n"]
) -> Float32[np.ndarray, "n k"]:
    """Sketches of the unit gradients of these candidates."""
    f, theta = Loss(problem.model), problem.snapshot.theta
    sketch = seeded_sketch(problem, "features")
    examples = problem.candidates.read(positions)
    found = gradient_sketches(f, theta, examples, problem.batching.refitted, sketch)
    return unit_rows(found).astype(np.float32)


def passes(outline: Outline, counts: Counts) -> list[Pass]:
    """Norms and direction of the target, then products and norms of candidates."""
    return [
        on_target("norms of the target", "gradients", counts),
        on_target("gradient of the target", "loss gradient", counts),
        over_candidates("scores", "gradients", counts, row_bytes=8),
    ]


METHOD = Method(
    "cosine",
    "mean cosine of loss gradients with the target's",
    score,
    passes,
    words=Words(
        "mean cosine of their loss gradient with those of the target examples",
        "The cosine of the example's loss gradient with that of a target example, "
        "averaged over the target examples; 0 for a gradient that is zero.",
        labels={
            "zero_gradients": "candidates whose gradient is zero",
        },
    ),
    flags=("sketch",),
    warmup="pool",
    gives=("rankings", "features"),
    feature_width=lambda outline: outline.options.sketch.size,
    feature_program="sketch",
)
