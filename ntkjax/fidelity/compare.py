"""One approximate kernel against the exact one: all measures in one record.

The record serves two questions. With an approximation as `approx` it says how far that
is from the exact kernel; with the exact kernel at another adapter as `approx` it says
how stable the exact kernel is while the adapter trains.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ntkjax.fidelity.cross_terms import CrossTerms, cross_terms
from ntkjax.fidelity.ranking import Ranking, mean_score_ranking, per_query_ranking


@dataclass(frozen=True)
class KernelFidelity:
    """Price of a kernel and its distance from the exact one.

    Attributes:
        name: Name of the kernel.
        cost: Forward passes per example.
        num_outputs: Scalars of which gradients are taken per example.
        cross_terms: Size of the error.
        per_query: Order of the candidates for each query.
        mean_score: Order of the candidates by their mean over queries.
    """

    name: str
    cost: float
    num_outputs: int
    cross_terms: CrossTerms
    per_query: Ranking
    mean_score: Ranking


def compare(
    name: str,
    cost: float | int,
    num_outputs: int,
    approx: Float[np.ndarray, "n m"],
    exact: Float[np.ndarray, "n m"],
    approx_diagonal: Float[np.ndarray, " n"],
    exact_diagonal: Float[np.ndarray, " n"],
    resamples: Int[np.ndarray, "r n"],
    top: int,
) -> KernelFidelity:
    """All measures of `approx` against `exact`.

    Args:
        name: Name of the approximate kernel.
        cost: Its forward passes per example.
        num_outputs: Its number of outputs.
        approx: Its values at queries × candidates.
        exact: The exact values.
        approx_diagonal: Its values K̂(x, x) at the queries.
        exact_diagonal: The exact values K(x, x).
        resamples: Rows of `ntkjax.math.bootstrap.bootstrap_rows`, the same for every
            kernel.
        top: N of the top-N overlap.

    Raises:
        InputError: If `top` exceeds the number of candidates.
        ValueError: If an array has a non-finite entry or the exact kernel is zero.
    """
    return KernelFidelity(
        name=name,
        cost=float(cost),
        num_outputs=num_outputs,
        cross_terms=cross_terms(
            approx, exact, approx_diagonal, exact_diagonal, resamples
        ),
        per_query=per_query_ranking(approx, exact, resamples, top),
        mean_score=mean_score_ranking(approx, exact, resamples, top),
    )
