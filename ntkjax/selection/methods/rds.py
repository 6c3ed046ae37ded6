"""RDS+: each query takes the candidates nearest to it in turn (arXiv 2503.01807).

    h̄(x) = Σ_t t·h_t / Σ_t t,   score(x) = max_i cos(h̄(d_i), h̄(x))

A query is a target example or, where the target has groups, a group; a group is as near
to x as the nearest of its examples.
"""

import numpy as np
from jaxtyping import Float64, Int64

from ntkjax.selection.embedding_pass import cosine_passes, embedded
from ntkjax.selection.methods.method import Method, Words
from ntkjax.selection.problem import Problem, Scored


POOLING = "weighted"


def score(problem: Problem) -> Scored:
    """The highest cosine to a target example, and a ranking for each query.

    Rankings hold the K nearest, K being what the budget takes. A round-robin of K turns
    needs no more: when a query has its turn, fewer than K candidates are taken. Within
    a budget of tokens there may be more turns, if short candidates are chosen; rankings
    that are used up leave the rest to the scores.

    Features are the embeddings, of length 1. Cost: F per example; memory: K numbers for
    each query.

    Raises:
        InputError: If an embedding is not finite; the example is named.
    """
    grouped = problem.groups is not None
    queries = list(problem.group_rows().values()) if grouped else None
    found = embedded(problem, POOLING)
    nearest, best = _Nearest(problem.about()), []
    for cosines in found.cosines():
        best.append(cosines.max(axis=0))
        if queries is not None:
            cosines = np.stack([cosines[rows].max(axis=0) for rows in queries])
        nearest.add(cosines)
    return Scored(
        np.concatenate(best),
        rankings=tuple(nearest.rows),
        features=found.features,
        facts={
            "pooling": POOLING,
            "queries": "groups" if grouped else "target examples",
            "num_queries": len(nearest.rows),
        },
    )


class _Nearest:
    """The nearest candidates of each query so far, best first, ties by position."""

    def __init__(self, most: int):
        self._most, self._num_seen = most, 0
        self._values: Float64[np.ndarray, "q _"] | None = None
        self.rows: Int64[np.ndarray, "q _"] = np.zeros((0, 0), np.int64)

    def add(self, values: Float64[np.ndarray, "q _"]) -> None:
        """Takes in the candidates that come next."""
        count = values.shape[1]
        rows = np.arange(self._num_seen, self._num_seen + count)
        rows = np.broadcast_to(rows, values.shape)
        if self._values is not None:
            # Those kept come first: they are the earlier ones, in order.
            values = np.concatenate([self._values, values], axis=1)
            rows = np.concatenate([self.rows, rows], axis=1)
        order = np.argsort(-values, axis=1, kind="stable")[:, : self._most]
        self._values = np.take_along_axis(values, order, axis=1)
        self.rows = np.take_along_axis(rows, order, axis=1)
        self._num_seen += count


METHOD = Method(
    "rds",
    "RDS+: weighted embeddings, each target example in turn",
    score,
    cosine_passes,
    words=Words(
        "cosine of position-weighted embeddings with the target (RDS+)",
        "The cosine of the example's embedding with that of the target example nearest "
        "to it. An embedding is the mean of the final hidden states, those of later "
        "tokens weighing more, in proportion to their position.",
        highest="those whose position-weighted embeddings are nearest to that of some "
        "target example (RDS+)",
        labels={
            "pooling": "tokens that an embedding averages",
            "queries": "queries that take turns",
            "num_queries": "number of queries",
        },
    ),
    warmup="none",
    picker="round-robin",
    gives=("rankings", "features"),
    ranks_itself=True,
    uses_groups=True,
)
