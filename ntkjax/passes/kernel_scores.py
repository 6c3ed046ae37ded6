"""Kernel scores: how alike a candidate is to a domain, on average.

    score(x) = (1/n) Σ_i k(d_i, x),   k = Σ_j w_j ⟨∇p_jᵀh̄(·), ∇p_jᵀh̄(·)⟩
             = Σ_j ⟨u_j, ∇p_jᵀh̄(x)⟩,   u_j = w_j (1/n) Σ_i ∇p_jᵀh̄(d_i)

The domain enters through its directions u_j alone, and a candidate costs s JVPs: no
gradient of a candidate is ever formed. Weights may be negative, as those of the
centered kernel are: they stand in the directions.
"""

from collections.abc import Callable, Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64

from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.mesh import replicate
from ntkjax.gradients.directional import directional
from ntkjax.kernels.probe_kernel import ProbeKernel
from ntkjax.notation import OutputFn, Theta
from ntkjax.outputs.pooled import Probed
from ntkjax.passes.gradient_sums import gradient_sums
from ntkjax.passes.run_pass import Batching, run_pass


MOST_BYTES = 256 * 2**20
"""Directions held at a time, on each device."""


def domain_scorer(
    base: OutputFn,
    kernel: ProbeKernel,
    theta: Theta,
    target: Sequence[TokenizedExample],
    batching: Batching,
    *,
    most_bytes: int = MOST_BYTES,
) -> Callable[..., Float64[np.ndarray, " m"]]:
    """Function (examples, advance=…) ↦ the mean of k(d, x) over the domain, [m].

    If the s directions fit into `most_bytes` they are computed once, here. If not, the
    function goes through blocks of probes and computes the directions of each block
    anew at every call: then give it many examples at a time.

    Cost: n · (F + s·B) for n examples of the target, and F + s·F for each candidate.

    Args:
        base: What the probes act on, from `ntkjax.kernels.readout.readout_function`.
        kernel: Any kernel of `ntkjax.kernels.table.named_kernel`.
        theta: Where the derivatives are taken.
        target: The domain examples.
        batching: Devices, and batches of the candidates; those of the target are
            padded as suits it.
        most_bytes: Bytes of directions held at a time; one direction always is.

    Returns:
        A function. Its `advance` is called with the number of examples done (in the
        last block of probes, where there are several).

    Raises:
        InputError: If a gradient or a score is not finite; the example is named.
    """
    base, theta = replicate((base, theta), batching.mesh)
    bytes_each = 4 * sum(leaf.size for leaf in jax.tree.leaves(theta))
    blocks = probe_blocks(kernel, max(1, most_bytes // bytes_each))

    def directions() -> Iterable[Theta]:
        for block in blocks:
            found = domain_direction(base, block, theta, target, batching.refitted)
            yield replicate(found, batching.mesh)

    held = list(directions()) if len(blocks) == 1 else None

    def scores(
        examples: Sequence[TokenizedExample],
        advance: Callable[[int], None] = lambda count: None,
    ) -> Float64[np.ndarray, " m"]:
        total = np.zeros(len(examples))
        each = directions() if held is None else held
        for index, (block, direction) in enumerate(zip(blocks, each, strict=True)):
            is_last = index == len(blocks) - 1
            report = advance if is_last else lambda count: None
            total += kernel_scores(
                base, block, theta, direction, examples, batching, advance=report
            )
        return total

    return scores


def domain_direction(
    base: OutputFn,
    kernel: ProbeKernel,
    theta: Theta,
    target: Sequence[TokenizedExample],
    batching: Batching,
) -> Theta:
    """u_j = w_j (1/n) Σ_i ∇p_jᵀ base(θ, d_i), a leading axis [s] on every leaf.

    Cost: n · (F + s·B); memory: s·P numbers on each device.

    Raises:
        InputError: If an example's gradient is not finite; the example is named.
        ValueError: If there is no example or one is too long.
    """
    sums = gradient_sums(_probed(base, kernel), theta, target, batching)
    scale = kernel.weights / len(target)

    def scaled(leaf: Float64[np.ndarray, "s ..."]) -> Float[Array, "s ..."]:
        each = scale.reshape(-1, *[1] * (leaf.ndim - 1))
        return jnp.asarray(leaf * each, jnp.float32)

    return jax.tree.map(scaled, sums)


def kernel_scores(
    base: OutputFn,
    kernel: ProbeKernel,
    theta: Theta,
    direction: Theta,
    examples: Sequence[TokenizedExample],
    batching: Batching,
    *,
    advance: Callable[[int], None] = lambda count: None,
) -> Float64[np.ndarray, " m"]:
    """Σ_j ⟨u_j, ∇p_jᵀ base(θ, x)⟩ of every example x. Cost: F + s·F each.

    Args:
        base: As in `domain_scorer`.
        kernel: Its probes; the weights stand in the direction.
        theta: Where the derivatives are taken.
        direction: From `domain_direction`, for the same kernel.
        examples: One or more candidates.
        batching: Batches and devices.
        advance: Called with the number of examples done.

    Raises:
        InputError: If a score is not finite; the example is named.
    """
    fixed = _probed(base, kernel), theta, direction
    found = run_pass(_scores, fixed, examples, batching, what="score", advance=advance)
    return found.astype(np.float64)


def probe_blocks(kernel: ProbeKernel, size: int) -> list[ProbeKernel]:
    """The kernel as a sum of kernels of about equally many probes, at most `size`."""
    count = -(-kernel.num_outputs // size)
    return [
        ProbeKernel(
            kernel.name,
            kernel.probes[:, part],
            kernel.weights[part],
            tuple(kernel.labels[j] for j in part),
        )
        for part in np.array_split(np.arange(kernel.num_outputs), count)
    ]


def _probed(base: OutputFn, kernel: ProbeKernel) -> Probed:
    return Probed(base, jnp.asarray(kernel.probes, jnp.float32))


def _scores(fixed, batch) -> Float[Array, " n"]:
    f, theta, direction = fixed
    size = len(batch.tokens)
    return directional(f, batch_size=size)(theta, batch, direction)
