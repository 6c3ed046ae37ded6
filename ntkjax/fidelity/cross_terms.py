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
from jaxtyping import Float, Int

from ntkjax.fidelity.checks import check_finite
from ntkjax.fidelity.quantiles import Quantiles, quantiles
from ntkjax.math.bootstrap import Estimate, estimate


@dataclass(frozen=True)
class CrossTermIntervals:
    """Bootstrap intervals over queries of what `CrossTerms` summarizes.

    Attributes:
        raw_diagonal: Median of |K̂ − K| / |K| at the pairs (x, x).
        raw_pairs: Median of |K̂ − K| / |K| at all pairs.
        scaled_diagonal: The same for a* K̂, with a* of each resample.
        scaled_pairs: The same for a* K̂, with a* of each resample.
        raw_relative_error: ‖K̂ − K‖_F / ‖K‖_F.
        relative_error: ‖a* K̂ − K‖_F / ‖K‖_F.
        cosine: The Frobenius cosine.
    """

    raw_diagonal: Estimate
    raw_pairs: Estimate
    scaled_diagonal: Estimate
    scaled_pairs: Estimate
    raw_relative_error: Estimate
    relative_error: Estimate
    cosine: Estimate


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
        intervals: Bootstrap intervals of medians, errors and cosine.
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
    intervals: CrossTermIntervals


def cross_terms(
    approx: Float[np.ndarray, "n m"],
    exact: Float[np.ndarray, "n m"],
    approx_diagonal: Float[np.ndarray, " n"],
    exact_diagonal: Float[np.ndarray, " n"],
    resamples: Int[np.ndarray, "r n"],
) -> CrossTerms:
    """Ratios and relative errors of `approx`, before and after the best factor.

    Args:
        approx: K̂ at the pairs.
        exact: K at the pairs.
        approx_diagonal: K̂(x, x) at the queries.
        exact_diagonal: K(x, x) at the queries.
        resamples: Rows of `ntkjax.math.bootstrap.bootstrap_rows`. A resample on which
            the exact kernel is zero is left out of the intervals.

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

    arrays = approx, exact, approx_diagonal, exact_diagonal
    factor, errors = _errors(approx, exact)
    scaled, scaled_diagonal = factor * approx, factor * approx_diagonal
    return CrossTerms(
        raw_diagonal=quantiles(_ratios(approx_diagonal, exact_diagonal)),
        raw_pairs=quantiles(_ratios(approx, exact)),
        scaled_diagonal=quantiles(_ratios(scaled_diagonal, exact_diagonal)),
        scaled_pairs=quantiles(_ratios(scaled, exact)),
        factor=factor,
        raw_relative_error=errors["raw_relative_error"],
        relative_error=errors["relative_error"],
        cosine=errors["cosine"],
        num_zero_diagonal=int(np.sum(exact_diagonal == 0)),
        num_zero_pairs=int(np.sum(exact == 0)),
        intervals=_intervals(arrays, resamples),
    )


def _errors(approx: np.ndarray, exact: np.ndarray) -> tuple[float, dict[str, float]]:
    """a*, and what is read from all pairs at once."""
    inner = np.sum(approx * exact)
    square = np.sum(approx**2)
    exact_square = np.sum(exact**2)
    factor = float(inner / square) if square > 0 else 0.0
    # √(x·y) and not √x·√y, so that equal kernels give exactly 1.
    cosine = inner / np.sqrt(square * exact_square) if square > 0 else 0.0
    return factor, {
        "raw_relative_error": _relative(approx - exact, exact_square),
        "relative_error": _relative(factor * approx - exact, exact_square),
        "cosine": float(cosine),
    }


def _relative(error: np.ndarray, exact_square: float) -> float:
    return float(np.sqrt(np.sum(error**2) / exact_square))


def _intervals(
    arrays: tuple[np.ndarray, ...], resamples: np.ndarray
) -> CrossTermIntervals:
    values = _summary(*arrays)
    samples = []
    for rows in resamples:
        drawn = [array[rows] for array in arrays]
        if drawn[1].any() and drawn[3].any():
            samples.append(_summary(*drawn))
    return CrossTermIntervals(
        **{
            name: estimate(value, np.array([sample[name] for sample in samples]))
            for name, value in values.items()
        }
    )


def _summary(
    approx: np.ndarray,
    exact: np.ndarray,
    approx_diagonal: np.ndarray,
    exact_diagonal: np.ndarray,
) -> dict[str, float]:
    factor, errors = _errors(approx, exact)
    median = lambda a, b: float(np.median(_ratios(a, b)))
    return {
        "raw_diagonal": median(approx_diagonal, exact_diagonal),
        "raw_pairs": median(approx, exact),
        "scaled_diagonal": median(factor * approx_diagonal, exact_diagonal),
        "scaled_pairs": median(factor * approx, exact),
        **errors,
    }


def _ratios(approx: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """|approx − exact| / |exact| where exact ≠ 0."""
    nonzero = exact != 0
    return np.abs(approx - exact)[nonzero] / np.abs(exact)[nonzero]
