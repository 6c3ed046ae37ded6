"""Five quantiles that stand for a distribution."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Quantiles:
    """The 5, 25, 50, 75 and 95% quantiles."""

    q05: float
    q25: float
    q50: float
    q75: float
    q95: float


def quantiles(values: np.ndarray) -> Quantiles:
    """Quantiles of all entries of `values`, interpolated linearly as numpy does."""
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    return Quantiles(*(float(q) for q in np.quantile(values, levels)))
