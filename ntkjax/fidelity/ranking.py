"""Whether an approximate kernel orders the candidates as the exact one does.

Two questions, both answered with every measure of `MEASURES` (they are functions of
`ntkjax.math.ranking`) and with bootstrap intervals over queries:

* per query: the order of the candidates in each row, averaged over rows;
* mean score: the order by the column means s(y) = 1/n Σ_i K(x_i, y), by which data are
  selected. Noise that differs from row to row averages out here, so this is usually the
  higher number.

A measure is a row of `MEASURES` and a field of `Ranking`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ntkjax.errors import InputError
from ntkjax.fidelity.checks import check_finite
from ntkjax.math.bootstrap import Estimate, estimate
from ntkjax.math.ranking import kendall, spearman, top_overlap


@dataclass(frozen=True)
class Ranking:
    """Agreement of two orders of the candidates; 1 is the same order.

    Attributes:
        spearman: ρ.
        kendall: τ-b.
        top_overlap: |top-N ∩ top-N| / N.
    """

    spearman: Estimate
    kendall: Estimate
    top_overlap: Estimate


@dataclass(frozen=True)
class Measure:
    """One measure of agreement, and how a report speaks of it.

    Texts hold N as {top}, the number of candidates as {candidates}, and what unrelated
    orders share of the top N as {chance}.

    Attributes:
        agreement: Two lists of scores and N to a number; 1 is the same order.
        header: Of its column.
        word: In the glossary.
        meaning: What it means, in whole sentences.
        has_interval: Whether its interval is shown beside it.
    """

    agreement: Callable[[np.ndarray, np.ndarray, int], float]
    header: str
    word: str
    meaning: str
    has_interval: bool = False


MEASURES = {
    "spearman": Measure(
        lambda a, b, top: spearman(a, b),
        "Spearman [95%]",
        "Spearman",
        "Agreement of two orders: 1 the same, 0 unrelated, −1 reversed. It is the "
        "correlation of their ranks.",
        has_interval=True,
    ),
    "kendall": Measure(
        lambda a, b, top: kendall(a, b),
        "Kendall",
        "Kendall",
        "Agreement of two orders, on the same scale: the share of pairs in the same "
        "order minus that of pairs in the opposite one.",
    ),
    "top_overlap": Measure(
        top_overlap,
        "top-{top} overlap (chance\N{NO-BREAK SPACE}{chance})",
        "Top-{top} overlap and chance",
        "Share of the {top} highest candidates that both kernels name. Two unrelated "
        "orders share {top} / {candidates} = {chance} on average.",
    ),
}
"""By field of `Ranking`, in the order of the columns; short tables have the first."""


def per_query_ranking(
    approx: Float[np.ndarray, "n m"],
    exact: Float[np.ndarray, "n m"],
    resamples: Int[np.ndarray, "r n"],
    top: int,
) -> Ranking:
    """Mean over queries of the agreement of their rows.

    Args:
        approx: Approximate kernel.
        exact: Exact kernel.
        resamples: Rows of `ntkjax.math.bootstrap.bootstrap_rows`.
        top: N of the overlap.

    Raises:
        InputError: If `top` exceeds the number of candidates.
        ValueError: If an entry is not finite.
    """
    _check(approx, exact, top)
    rows = _agreements(approx, exact, top)
    return _ranking(rows.mean(axis=0), rows[resamples].mean(axis=1))


def mean_score_ranking(
    approx: Float[np.ndarray, "n m"],
    exact: Float[np.ndarray, "n m"],
    resamples: Int[np.ndarray, "r n"],
    top: int,
) -> Ranking:
    """Agreement of the candidates' mean scores over queries.

    Cost: one sort of m scores per resample.

    Args:
        approx: Approximate kernel.
        exact: Exact kernel.
        resamples: Rows of `ntkjax.math.bootstrap.bootstrap_rows`.
        top: N of the overlap.

    Raises:
        InputError: If `top` exceeds the number of candidates.
        ValueError: If an entry is not finite.
    """
    _check(approx, exact, top)
    weights = _row_weights(resamples)
    approx, exact = approx.astype(np.float64), exact.astype(np.float64)
    value = _agreements(
        approx.mean(axis=0, keepdims=True), exact.mean(axis=0, keepdims=True), top
    )[0]
    return _ranking(value, _agreements(weights @ approx, weights @ exact, top))


def _agreements(approx: np.ndarray, exact: np.ndarray, top: int) -> np.ndarray:
    """Every measure of each pair of rows, [rows, measures]."""
    return np.array(
        [
            [measure.agreement(a, b, top) for measure in MEASURES.values()]
            for a, b in zip(approx, exact, strict=True)
        ]
    )


def _row_weights(resamples: np.ndarray) -> np.ndarray:
    """Share of each query in each resample, [r, n]: weights @ K are column means."""
    num_queries = resamples.shape[1]
    counts = [np.bincount(rows, minlength=num_queries) for rows in resamples]
    return np.stack(counts) / num_queries


def _ranking(values: np.ndarray, samples: np.ndarray) -> Ranking:
    estimates = map(estimate, values, samples.T)
    return Ranking(**dict(zip(MEASURES, estimates, strict=True)))


def _check(approx: np.ndarray, exact: np.ndarray, top: int) -> None:
    check_finite(approx=approx, exact=exact)
    num_candidates = exact.shape[1]
    if not 1 <= top <= num_candidates:
        raise InputError(
            f"expected 1 to the number of candidates, {num_candidates}.",
            field="top",
            value=top,
        )
