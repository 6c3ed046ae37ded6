"""Passes over candidates that several methods on loss gradients share."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Float64

from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.mesh import replicate
from ntkjax.gradients.gram import Sketch
from ntkjax.math.seeds import stream
from ntkjax.math.sketches import SKETCHES
from ntkjax.notation import Theta
from ntkjax.outputs.loss import Loss
from ntkjax.passes.gradient_sums import HostTree, to_float32
from ntkjax.passes.loss_gradients import (
    fisher_diagonal,
    hash_of,
    loss_products,
    mean_loss_gradient,
)
from ntkjax.selection.passes import Counts, Pass, on_target, over_candidates
from ntkjax.selection.problem import Advance, Outline, Problem


def target_gradient(problem: Problem) -> HostTree:
    """The mean of ∇ℓ over the target, at the end of the warm-up; it is kept."""
    f, theta = Loss(problem.model), problem.snapshot.theta
    examples, batching = problem.target_tokens, problem.batching.refitted
    return problem.candidates.keep(
        "target gradient",
        {"snapshot": problem.snapshot.identity, "target": hash_of(examples)},
        lambda: mean_loss_gradient(f, theta, examples, batching),
    )


def candidate_products(
    problem: Problem, direction: Theta | HostTree, decides: Mapping[str, Any]
) -> Float64[np.ndarray, " k"]:
    """⟨∇ℓ(x), u⟩ of every candidate, at the end of the warm-up; the pass is kept.

    Args:
        problem: Its snapshot, candidates and batches are used.
        direction: u.
        decides: What decides the direction beyond the snapshot, as plain values.
            Equal directions must have equal values: then they share the pass.
    """
    held = Loss(problem.model), problem.snapshot.theta, to_float32(direction)
    batching = problem.batching
    f, theta, along = replicate(held, batching.mesh)

    def compute(
        examples: list[TokenizedExample], advance: Advance
    ) -> dict[str, np.ndarray]:
        found = loss_products(f, theta, along, examples, batching, advance)
        return {"product": found}

    everything = {"snapshot": problem.snapshot.identity, **decides}
    found = problem.candidates.compute("loss products", everything, compute)
    return found.column("product").astype(np.float64)


def candidates_fisher(
    problem: Problem,
) -> tuple[HostTree, tuple[TokenizedExample, ...]]:
    """The Fisher diagonal over candidates drawn at random, and these candidates.

    The diagonal is kept.
    """
    drawn = draw_candidates(problem, problem.options.fisher.examples, "fisher")
    f, theta = Loss(problem.model), problem.snapshot.theta
    found = problem.candidates.keep(
        "fisher diagonal",
        {"snapshot": problem.snapshot.identity, "fisher": hash_of(drawn)},
        lambda: fisher_diagonal(f, theta, drawn, problem.batching.refitted),
    )
    return found, drawn


def draw_candidates(
    problem: Problem, count: int, use: str
) -> tuple[TokenizedExample, ...]:
    """Candidates drawn without replacement, in pool order; all if there are fewer.

    Args:
        problem: Its seed decides the draw.
        count: How many.
        use: What for; every use has draws of its own.
    """
    total = len(problem.candidates)
    rng = np.random.default_rng(stream(problem.seed, use))
    drawn = rng.choice(total, min(count, total), replace=False)
    positions = np.sort(drawn).astype(np.int64)
    return tuple(problem.candidates.read(positions))


def seeded_sketch(problem: Problem, use: str) -> Sketch:
    """The sketch of gradients of a problem, as its options want it.

    Args:
        problem: Its seed decides the draw.
        use: What for; every use has a sketch of its own.
    """
    options = problem.options.sketch
    num_parameters = sum(leaf.size for leaf in jax.tree.leaves(problem.start))
    key = jax.random.key(stream(problem.seed, use))
    return SKETCHES[options.kind](num_parameters, options.size, key)


def product_passes(outline: Outline, counts: Counts) -> list[Pass]:
    """What `target_gradient` and `candidate_products` cost."""
    return [
        on_target("gradient of the target", "loss gradient", counts),
        over_candidates("scores", "loss product", counts, row_bytes=4),
    ]


def fisher_pass(outline: Outline, counts: Counts) -> Pass:
    """What `candidates_fisher` costs."""
    drawn = min(outline.options.fisher.examples, counts.scored)
    return Pass("Fisher diagonal", "squared gradient", drawn)
