"""What every picker is given.

A picker is a function `PickProblem -> positions`: candidates in the order in which they
are picked, each at most once. A smaller `most` gives a prefix of the same order, so
that any budget is a prefix of one order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64


@dataclass(frozen=True, eq=False)
class PickProblem:
    """The candidates 0, …, k - 1, and what is known of them.

    Attributes:
        scores: Higher is better, finite.
        rankings: Candidates best first, for each query; each may end early. None where
            no queries are told apart.
        features: Positions to vectors [n, d]; None where there are none.
        sources: Where each candidate comes from.
        most: At most so many are needed.
        quotas: Share of each source, relative to the others; None for the shares that
            the candidates themselves have.
    """

    scores: Float64[np.ndarray, " k"]
    rankings: tuple[Int64[np.ndarray, " _"], ...] | None
    features: Callable[[Int64[np.ndarray, " n"]], Float[np.ndarray, "n d"]] | None
    sources: Sequence[str]
    most: int
    quotas: Mapping[str, float] | None


Pick = Callable[[PickProblem], Int64[np.ndarray, " b"]]
