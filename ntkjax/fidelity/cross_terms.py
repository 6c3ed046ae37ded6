"""Size of the error of an approximate kernel, entry by entry and as a whole.

For the summed-logit kernel the error K̂ − K is the sum of the cross terms
Σ_{j≠k} ⟨∇f_j(x), ∇f_k(y)⟩, hence the name *cross-term ratio* for

    |K̂(x, y) − K(x, y)| / |K(x, y)|,

which is reported for every kernel. A positive factor common to all entries changes no
ranking, so everything is also reported after the best single factor

    a* = ⟨K̂, K⟩_F / ⟨K̂, K̂⟩_F = argmin_a ‖a K̂ − K‖_F,

fitted on the pairs [n, m] and applied to the diagonal as well. A negative a* means that
the approximation orders the pairs the wrong way round.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkjax.fidelity.checks import check_finite
from ntkjax.fidelity.quantiles import Quantiles, quantiles


@dataclass(frozen=True)
class CrossTerms:
    """Errors of an approximate kernel K̂ against the exact K.

    Attributes:
        raw_diagonal: |K̂ − K| / |K| at the pairs (x, x) of the queries.
        raw_pairs: |K̂ − K| / |K| at all pairs of a query and a candidate.
        scaled_diagonal: The same for a* K̂.
        scaled_pairs: The same for a* K̂.
        factor: a*; 0 if K̂ is zero everywhere.
        raw_relative_error: ‖K̂ − K‖_F / ‖K‖_F over the pairs.
        relative_error: ‖a* K̂ − K‖_F / ‖K‖_F over the pairs.
        cosine: ⟨K̂, K⟩_F / (‖K̂‖_F ‖K‖_F) over the pairs; 0 if K̂ is zero everywhere.
        num_zero_diagonal: Diagonal entries left out of the ratios because K is zero.
        num_zero_pairs: Pairs left out of the ratios because K is zero. The norms and
            the cosine use all pairs.
    """

    raw_diagonal: Quantiles
    raw_pairs: Quantiles
    scaled_diagonal: Quantiles
    scaled_pairs: Quantiles
    factor: float
    raw_relative_error: float
    relative_error: float
    cosine: float
    num_zero_diagonal: int
    num_zero_pairs: int


def cross_terms(
    approx: Float[np.ndarray, "n m"],
    exact: Float[np.ndarray, "n m"],
    approx_diagonal: Float[np.ndarray, " n"],
    exact_diagonal: Float[np.ndarray, " n"],
) -> CrossTerms:
    """Ratios and relative errors of `approx`, before and after the best factor.

    Raises:
        ValueError: If an array has a non-finite entry (the message names it), or if
            `exact` or its diagonal is zero everywhere.
    """
    check_finite(
        approx=approx,
        exact=exact,
        approx_diagonal=approx_diagonal,
        exact_diagonal=exact_diagonal,
    )
    if not exact.any() or not exact_diagonal.any():
        raise ValueError("The exact kernel is zero everywhere: no ratio is defined.")
    approx, exact = approx.astype(np.float64), exact.astype(np.float64)
    approx_diagonal = approx_diagonal.astype(np.float64)
    exact_diagonal = exact_diagonal.astype(np.float64)

    inner = np.sum(approx * exact)
    square = np.sum(approx**2)
    exact_square = np.sum(exact**2)
    factor = inner / square if square > 0 else 0.0
    # √(x·y) and not √x·√y, so that equal kernels give exactly 1.
    cosine = inner / np.sqrt(square * exact_square) if square > 0 else 0.0

    def relative(error: np.ndarray) -> float:
        return float(np.sqrt(np.sum(error**2) / exact_square))

    return CrossTerms(
        raw_diagonal=_ratios(approx_diagonal, exact_diagonal),
        raw_pairs=_ratios(approx, exact),
        scaled_diagonal=_ratios(factor * approx_diagonal, exact_diagonal),
        scaled_pairs=_ratios(factor * approx, exact),
        factor=float(factor),
        raw_relative_error=relative(approx - exact),
        relative_error=relative(factor * approx - exact),
        cosine=float(cosine),
        num_zero_diagonal=int(np.sum(exact_diagonal == 0)),
        num_zero_pairs=int(np.sum(exact == 0)),
    )


def _ratios(approx: np.ndarray, exact: np.ndarray) -> Quantiles:
    """Quantiles of |approx − exact| / |exact| where exact ≠ 0."""
    nonzero = exact != 0
    return quantiles(np.abs(approx - exact)[nonzero] / np.abs(exact)[nonzero])
