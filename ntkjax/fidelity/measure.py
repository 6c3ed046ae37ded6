"""Kernel matrices of many probe kernels from one set of gradients.

Every probe kernel is a weighted sum over channels (`ntkjax.kernels.probe_kernel`), so
one pass over the distinct channels gives them all, and their sketched versions with
them. Channels are shared out over the data groups, which need not talk to each other.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float

from ntkjax.devices.mesh import num_groups, replicate
from ntkjax.devices.programs import ROWS, SECOND, WHOLE, on_mesh
from ntkjax.devices.side_by_side import backward_rows
from ntkjax.gradients.gram import Sketch, grams
from ntkjax.gradients.own import own_blocks
from ntkjax.notation import Example, OutputFn, Theta
from ntkjax.outputs.pooled import Probed


_CHANNELS_PER_DEVICE = 8


class NonFiniteKernel(FloatingPointError):
    """A kernel value that is NaN or infinite, and whose it is.

    Attributes:
        query: Index of the query.
        candidate: Index of the candidate, None where the query met itself.
    """

    def __init__(self, query: int, candidate: int | None):
        self.query, self.candidate = query, candidate
        other = "itself" if candidate is None else f"candidate {candidate}"
        super().__init__(f"the kernel of query {query} with {other} is not finite.")


class ChannelGrams(NamedTuple):
    """Per channel and inner product (the plain one first, then each sketch).

    Attributes:
        cross: ⟨∇p_jᵀf(x), ∇p_jᵀf(y)⟩, [inner products, s, n, m].
        own: The same of each x with itself, [inner products, s, n].
    """

    cross: Float[np.ndarray, "i s n m"]
    own: Float[np.ndarray, "i s n"]


def channel_grams(
    base: OutputFn,
    theta: Theta,
    xs: Example,
    ys: Example,
    probes: Float[np.ndarray, "c s"],
    sketches: Sequence[Sketch] = (),
    *,
    mesh: Mesh,
    advance: Callable[[int], None] = lambda count: None,
) -> ChannelGrams:
    """The gram of every channel p_jᵀ base(θ, x).

    Cost: F + s·B for each example of either side (ys again for every 16 xs).

    Args:
        base: Output function into R^c; a pytree, so that its weights are arguments of
            the compiled program.
        theta: Parameters.
        xs: Queries.
        ys: Candidates.
        probes: Channels in the columns.
        sketches: Further inner products.
        mesh: Devices that share the channels.
        advance: Called with the number of channels done.

    Raises:
        NonFiniteKernel: If a value is not finite.
    """
    num_channels = probes.shape[1]
    chunk = _CHANNELS_PER_DEVICE * num_groups(mesh)
    padding = -num_channels % chunk
    padded = np.pad(probes, ((0, 0), (0, padding))).astype(np.float32)
    compute = _channel_program(mesh, num_outputs=_CHANNELS_PER_DEVICE)
    fixed = replicate((base, theta, xs, ys, tuple(sketches)), mesh)
    crosses, owns = [], []
    for start in range(0, num_channels, chunk):
        result = compute(*fixed, padded[:, start : start + chunk])
        crosses.append(np.asarray(jnp.stack([gram.cross for gram in result])))
        owns.append(np.asarray(jnp.stack([gram.own for gram in result])))
        advance(min(chunk, num_channels - start))
    cross = np.concatenate(crosses, axis=1)[:, :num_channels].astype(np.float64)
    own = np.concatenate(owns, axis=1)[:, :num_channels].astype(np.float64)
    _require_finite(cross, own)
    return ChannelGrams(cross, own)


def output_blocks(
    base: OutputFn,
    theta: Theta,
    xs: Example,
    probes: Float[np.ndarray, "c s"],
    *,
    mesh: Mesh,
) -> Float[np.ndarray, "n s s"]:
    """⟨∇p_iᵀf(x), ∇p_jᵀf(x)⟩ for each x; examples are shared out over the devices.

    Cost: F + s·B per example; memory: s·P numbers per device.
    """
    n = jax.tree.leaves(xs)[0].shape[0]
    rows = np.minimum(np.arange(n + -n % num_groups(mesh)), n - 1)
    padded = jax.tree.map(lambda leaf: leaf[rows], xs)
    together = _vjps_together(mesh, probes.shape[1], xs)
    program = on_mesh(
        lambda f, theta, xs: own_blocks(f, vjp_batch=together)(theta, xs),
        *(mesh, (WHOLE, WHOLE, ROWS), ROWS),
    )
    f = Probed(base, jnp.asarray(probes, jnp.float32))
    blocks = np.asarray(program(f, theta, padded))
    return blocks[:n].astype(np.float64)


@functools.cache
def _channel_program(mesh: Mesh, num_outputs: int):
    def channels(base, theta, xs, ys, sketches, probes):
        verb = grams(
            Probed(base, probes),
            sketches,
            outputs="diagonal",
            block_size=num_outputs,
            vjp_batch=_vjps_together(mesh, num_outputs, (xs, ys)),
        )
        return verb(theta, xs, ys)

    return on_mesh(channels, mesh, (*[WHOLE] * 5, SECOND), ROWS)


def _vjps_together(mesh: Mesh, number: int, examples: Example) -> int:
    """How many of an example's VJPs run side by side, as if each were an example."""
    widths = [leaf.shape[1] for leaf in jax.tree.leaves(examples) if leaf.ndim > 1]
    platform = mesh.devices.flat[0].platform
    return backward_rows(number, max(widths, default=1), platform)


def _require_finite(cross: np.ndarray, own: np.ndarray) -> None:
    for place in np.argwhere(~np.isfinite(own))[:1].tolist():
        raise NonFiniteKernel(place[-1], None)
    for place in np.argwhere(~np.isfinite(cross))[:1].tolist():
        raise NonFiniteKernel(*place[-2:])
