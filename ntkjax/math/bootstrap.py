"""Percentile intervals from rows drawn with replacement.

A row is one query. Statistics computed on the *same* resamples can be subtracted
resample by resample, so draw the rows once and use them for every kernel.

The intervals answer "what if other queries had been drawn?"; the candidates stay as
they are. With fewer than about ten rows they are too narrow, and with one row they have
no width at all.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Estimate:
    """A number and its 95% bootstrap interval.

    Attributes:
        value: The statistic on the rows as they are.
        low: 2.5% quantile over resamples. A resample repeats rows, so that less noise
            averages out: a correlation near 1 may lie above its own interval.
        high: 97.5% quantile over resamples.
    """

    value: float
    low: float
    high: float


def bootstrap_rows(
    num_rows: int, num_resamples: int, seed: int
) -> Int[np.ndarray, "r n"]:
    """Row indices of each resample, drawn with replacement, [num_resamples, num_rows].

    Raises:
        ValueError: If there are no rows or no resamples.
    """
    if num_rows < 1 or num_resamples < 1:
        raise ValueError(
            f"Need at least one row and one resample, got {num_rows=} {num_resamples=}."
        )
    return np.random.default_rng(seed).integers(
        num_rows, size=(num_resamples, num_rows), dtype=np.int64
    )


def interval(
    samples: Float[np.ndarray, " r"], level: float = 0.95
) -> tuple[float, float]:
    """The central part of `samples` that holds a share `level` of them: (low, high).

    Raises:
        ValueError: If there are no samples or `level` is not between 0 and 1.
    """
    if len(samples) == 0:
        raise ValueError("An interval needs at least one sample.")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level=}.")
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def estimate(value: float, samples: Float[np.ndarray, " r"]) -> Estimate:
    """`value` with the 95% interval of `samples`, its values on the resamples."""
    low, high = interval(samples)
    return Estimate(float(value), low, high)
