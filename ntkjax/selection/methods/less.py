"""LESS: candidates whose Adam updates point where the target's gradients do.

    Inf(z, z') = Σ_t η̄_t cos(S Γ_t(z), S ∇ℓ(θ_t, z'))        (arXiv 2402.04333)
    score(z)   = max over groups of the mean over the group's z' of Inf(z, z')

over the epochs t of the warm-up, η̄_t being the epoch's mean learning rate as a share of
all. Γ is the Adam update (`ntkjax.passes.gradient_sketches`), S one random sketch
for both sides and all epochs. The mean of cosines is an inner product with one
direction per group: a candidate costs a gradient, a sketch and a dot for each group.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Float64

from ntkjax.devices.mesh import replicate
from ntkjax.errors import InputError, setting
from ntkjax.gradients.gram import Sketch
from ntkjax.outputs.loss import Loss
from ntkjax.passes.gradient_sketches import (
    AdamUpdate,
    Sign,
    Transform,
    gradient_sketches,
)
from ntkjax.selection.loss_passes import seeded_sketch
from ntkjax.selection.methods.method import Facts, Method, Words
from ntkjax.selection.options import LessOptions
from ntkjax.selection.passes import Counts, Pass, on_target, over_candidates
from ntkjax.selection.problem import (
    Columns,
    Outline,
    Problem,
    Request,
    Scored,
    Snapshot,
)
from ntkjax.selection.ranking import ranking
from ntkjax.selection.rows import rows_at, unit_rows


EPSILON = 1e-8
"""Of the Adam update, as in the code of LESS."""


def refuse(request: Request) -> None:
    """Raises `InputError` if Adam's moments are needed and will be missing."""
    if request.options.less.gradient == "adam" and not request.has_moments:
        raise InputError(
            f"needs the Adam moments of a warm-up; use {setting('warmup')} pool, or "
            f"{setting('less.gradient')} sgd.",
            field="method",
            value="less",
        )


def score(problem: Problem) -> Scored:
    """LESS, with the options `less` and `sketch`.

    Cost: F + B and a sketch per candidate and epoch. Memory: tiles of sketches, and
    candidates × groups numbers.

    Raises:
        InputError: If the learning rate is always 0, or a gradient is not finite.
    """
    transforms = [
        gradient_transform(each, problem.options.less) for each in problem.snapshots
    ]
    weights = learning_rate_weights([each.learning_rate for each in problem.snapshots])
    groups = list(problem.group_rows().values())
    sketch = seeded_sketch(problem, "gradient sketch")
    terms = []
    for snapshot, transform in zip(problem.snapshots, transforms, strict=True):
        directions = group_directions(_target(problem, snapshot, sketch), groups)
        columns = _candidates(problem, snapshot, sketch, transform)
        terms.append((columns.tiles("unit"), directions))
    found = influence(terms, weights)
    return Scored(
        found.max(axis=1),
        rankings=None if problem.groups is None else tuple(map(ranking, found.T)),
        features=lambda positions: rows_at(columns.tiles("unit"), positions),
        facts=_facts(problem, weights),
    )


def influence(
    terms: Iterable[
        tuple[Iterable[Float32[np.ndarray, "_ k"]], Float32[np.ndarray, "g k"]]
    ],
    weights: Float64[np.ndarray, " t"],
) -> Float64[np.ndarray, "n g"]:
    """Σ_t w_t ⟨z_t, d_t⟩ of every candidate and group.

    Args:
        terms: For each epoch the candidates' unit sketches z_t, tile by tile, and the
            groups' directions d_t.
        weights: w_t.
    """
    total: Any = 0
    for (tiles, directions), weight in zip(terms, weights, strict=True):
        products = np.concatenate([tile @ directions.T for tile in tiles])
        total = total + weight * products.astype(np.float64)
    return total


def group_directions(
    targets: Float32[np.ndarray, "m k"], groups: Sequence[Sequence[int]]
) -> Float32[np.ndarray, "g k"]:
    """The mean of each group's rows; with it ⟨z, ·⟩ is the mean of the cosines."""
    means = [targets[list(rows)].mean(axis=0, dtype=np.float64) for rows in groups]
    return np.stack(means).astype(np.float32)


def learning_rate_weights(rates: Sequence[float]) -> Float64[np.ndarray, " t"]:
    """Mean learning rates of the epochs, divided by their sum.

    Raises:
        InputError: If all are 0.
    """
    total = float(np.sum(rates))
    if total == 0:
        raise InputError(
            "the learning rate of the warm-up is 0 at every step, so no epoch has a "
            "weight; train for more steps, or lower the share of steps in which it "
            "rises.",
            field="method",
            value="less",
        )
    return np.array(rates, np.float64) / total


def gradient_transform(snapshot: Snapshot, options: LessOptions) -> Transform | None:
    """What stands for a candidate: its Adam update, its gradient, or the signs."""
    if options.gradient == "sgd":
        return None
    if options.gradient == "sign":
        return Sign()
    assert snapshot.first_moment is not None
    assert snapshot.second_moment is not None
    beta1, beta2 = snapshot.betas
    return AdamUpdate(
        snapshot.first_moment,
        snapshot.second_moment,
        jnp.asarray(snapshot.num_steps, jnp.int32),
        beta1=beta1,
        beta2=beta2,
        epsilon=EPSILON,
        epsilon_inside_root=options.epsilon_inside_root,
        bias_correction=options.bias_correction,
    )


def _target(
    problem: Problem, snapshot: Snapshot, sketch: Sketch
) -> Float32[np.ndarray, "m k"]:
    """Unit sketches of the target's gradients, never transformed."""
    loss = Loss(problem.model)
    target, batching = problem.target_tokens, problem.batching.refitted
    found = gradient_sketches(loss, snapshot.theta, target, batching, sketch)
    return unit_rows(found).astype(np.float32)


def _candidates(
    problem: Problem, snapshot: Snapshot, sketch: Sketch, transform: Transform | None
) -> Columns:
    """Their unit sketches at one snapshot, in the column `unit`."""
    batching = problem.batching
    fixed = Loss(problem.model), snapshot.theta, sketch, transform
    f, theta, sketch, transform = replicate(fixed, batching.mesh)

    def compute(examples, advance) -> dict[str, np.ndarray]:
        found = gradient_sketches(
            f, theta, examples, batching, sketch, transform, advance=advance
        )
        return {"unit": unit_rows(found).astype(np.float32)}

    options = problem.options.sketch
    decides = {
        "snapshot": snapshot.identity,
        "gradient": _gradient(problem.options.less),
        "sketch": {"kind": options.kind, "size": options.size, "seed": problem.seed},
    }
    return problem.candidates.compute("sketches", decides, compute)


def _gradient(options: LessOptions) -> dict[str, Any]:
    """The options that decide what stands for a candidate."""
    if options.gradient != "adam":
        return {"kind": options.gradient}
    return {
        "kind": "adam",
        "epsilon_inside_root": options.epsilon_inside_root,
        "bias_correction": options.bias_correction,
    }


def _facts(problem: Problem, weights: Float64[np.ndarray, " t"]) -> dict[str, Any]:
    sketch = problem.options.sketch
    return {
        "checkpoints": len(problem.snapshots),
        "learning_rate_weights": weights.tolist(),
        "gradient": _gradient(problem.options.less),
        "sketch": {"kind": sketch.kind, "size": sketch.size},
    }


def passes(outline: Outline, counts: Counts) -> list[Pass]:
    """Sketches of both sides at every snapshot."""
    times, width = counts.snapshots, 4 * outline.options.sketch.size
    return [
        on_target("sketches of the target", "sketch", counts, repeats=times),
        over_candidates("sketches", "sketch", counts, repeats=times, row_bytes=width),
    ]


def _names(facts: Facts) -> Facts:
    """What stands for a candidate, and whether there are several checkpoints."""
    several = facts["checkpoints"] > 1
    one = {
        "adam": "Adam update",
        "sgd": "loss gradient",
        "sign": "vector of gradient signs",
    }[facts["gradient"]["kind"]]
    over, by = "the checkpoints of the warm-up", "by their learning rates and over "
    return {
        "candidate": "gradient signs" if "signs" in one else f"{one}s",
        "one_candidate": one,
        "over_checkpoints": f", over {over}" if several else "",
        "weighting": f"{over} {by}" if several else "",
    }


METHOD = Method(
    "less",
    "LESS: cosine of Adam updates along the warm-up, best sub-task",
    score,
    passes,
    words=Words(
        "mean cosine of their {candidate} with the target's loss gradients"
        "{over_checkpoints} (LESS)",
        "The cosine of the example's {one_candidate} with the loss gradient of a "
        "target example, both sketched; averaged over {weighting}the target examples "
        "of a group, then the highest over the groups. A target without groups is one "
        "group.",
        highest="those whose {candidate} point most along the target's loss gradients"
        "{over_checkpoints} (LESS)",
        names=_names,
        labels={
            "checkpoints": "checkpoints of the warm-up",
            "learning_rate_weights": "weights of the checkpoints",
            "gradient.kind": "a candidate's gradient",
            "gradient.epsilon_inside_root": "ε inside the root of the Adam update",
            "gradient.bias_correction": "bias correction of Adam's moments",
            "sketch.kind": "sketch",
            "sketch.size": "numbers in a sketch",
        },
    ),
    flags=("less", "sketch"),
    refuse=refuse,
    uses_groups=True,
    warmup="pool",
    gives=("rankings", "features"),
    feature_width=lambda outline: outline.options.sketch.size,
)
