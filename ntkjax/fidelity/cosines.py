"""Cosines between the gradients of different outputs of one example.

For a query x and sampled outputs j ≠ k with Gram matrix G_jk = ⟨∇f_j(x), ∇f_k(x)⟩,

    cos_jk = G_jk / √(G_jj G_kk).

The summed-logit kernel is close to the trace only if these cancel: their *signed* mean
has to be about 1/V or smaller for V outputs. A small mean of |cos_jk| is not needed.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ntkjax.fidelity.checks import check_finite
from ntkjax.fidelity.quantiles import Quantiles, quantiles
from ntkjax.math.bootstrap import Estimate, estimate


NUM_BINS = 41
"""An odd number, so that one bin is centered on 0."""

ROUNDING = 1e-3
"""How far float32 sums may push |cos| beyond 1 before the block is refused."""


@dataclass(frozen=True)
class Spread:
    """Mean with its interval over queries, standard deviation and quantiles."""

    mean: Estimate
    std: float
    quantiles: Quantiles


@dataclass(frozen=True)
class OutputCosines:
    """Cosines over all pairs of different outputs and all queries.

    Attributes:
        signed: cos_jk.
        absolute: |cos_jk|.
        histogram: Numbers of cos_jk in equal bins.
        edges: Limits of the bins, from -1 to 1, one more than there are bins.
        num_queries: n.
        num_outputs: Outputs sampled per query.
        num_pairs: Unordered pairs j < k that were counted, over all queries.
        num_zero_outputs: Outputs left out because their gradient is zero, of n · c.
    """

    signed: Spread
    absolute: Spread
    histogram: tuple[int, ...]
    edges: tuple[float, ...]
    num_queries: int
    num_outputs: int
    num_pairs: int
    num_zero_outputs: int


def output_cosines(
    blocks: Float[np.ndarray, "n c c"], resamples: Int[np.ndarray, "r n"]
) -> OutputCosines:
    """Statistics of the cosines in the Gram matrices `blocks`, one per query.

    Outputs with a zero gradient have no direction: they are left out and counted. The
    means are over pairs, so a query with fewer outputs left weighs less.

    Args:
        blocks: G for each query, symmetric.
        resamples: Rows of `ntkjax.math.bootstrap.bootstrap_rows` for the n queries.
            A resample that holds no pair at all is left out of the intervals.

    Raises:
        ValueError: If an entry is not finite, a block cannot be a Gram matrix, or no
            query has two outputs with a gradient.
    """
    check_finite(blocks=blocks)
    blocks = blocks.astype(np.float64)
    num_queries, num_outputs = blocks.shape[:2]
    norms = np.sqrt(_squared_norms(blocks))
    first, second = np.triu_indices(num_outputs, k=1)
    valid = (norms[:, first] > 0) & (norms[:, second] > 0)
    if not valid.any():
        raise ValueError("No query has two outputs with a non-zero gradient.")
    products = np.where(valid, norms[:, first] * norms[:, second], 1.0)
    cosines = np.where(valid, blocks[:, first, second] / products, 0.0)
    if np.abs(cosines).max() > 1 + ROUNDING:
        raise ValueError(
            f"blocks are no Gram matrices: a cosine of {np.abs(cosines).max():.3g}."
        )

    edges = np.linspace(-1, 1, NUM_BINS + 1)
    # Rounding can leave 1 + 1e-7, which belongs into the last bin.
    counts, _ = np.histogram(np.clip(cosines[valid], -1, 1), bins=edges)
    return OutputCosines(
        signed=_spread(cosines, valid, resamples),
        absolute=_spread(np.abs(cosines), valid, resamples),
        histogram=tuple(int(count) for count in counts),
        edges=tuple(float(edge) for edge in edges),
        num_queries=num_queries,
        num_outputs=num_outputs,
        num_pairs=int(valid.sum()),
        num_zero_outputs=int(np.sum(norms == 0)),
    )


def _squared_norms(blocks: np.ndarray) -> np.ndarray:
    """G_jj for each query and output, [n, c]."""
    squares = np.diagonal(blocks, axis1=1, axis2=2)
    if (squares < 0).any():
        raise ValueError("blocks are no Gram matrices: a negative diagonal entry.")
    return squares


def _spread(values: np.ndarray, valid: np.ndarray, resamples: np.ndarray) -> Spread:
    """Statistics of the valid entries of `values` [n, pairs]; zeros elsewhere."""
    sums, counts = values.sum(axis=1), valid.sum(axis=1)
    resampled = counts[resamples].sum(axis=1)
    some = resampled > 0
    means = sums[resamples].sum(axis=1)[some] / resampled[some]
    return Spread(
        mean=estimate(sums.sum() / counts.sum(), means),
        std=float(np.std(values[valid])),
        quantiles=quantiles(values[valid]),
    )
