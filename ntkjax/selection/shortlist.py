"""The reverse nearest-neighbor vote: a pool of embeddings cut down to a shortlist.

    votes(x_j) = Σ_i 1[x_j is among the K candidates nearest to domain example d_i],

nearest by cosine. Candidates come in tiles and the similarity matrix is never held:
each domain example keeps its K best so far.

Cosines are computed in float64 and rounded to whole units of 1e-10, in which sums are
exact: equal candidates tie, and the last bits of a matrix product, which depend on how
the tiles are cut, decide nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64


_UNITS = 1e10
_TILE = 4096


@dataclass(frozen=True, eq=False)
class Votes:
    """What the domain says of every candidate.

    Attributes:
        votes: Number of domain examples that have it among their nearest.
        similarity: Mean cosine to the domain examples.
    """

    votes: Int64[np.ndarray, " m"]
    similarity: Float64[np.ndarray, " m"]

    @property
    def order(self) -> Int64[np.ndarray, " m"]:
        """Rows by votes, then by mean similarity, then in pool order."""
        return np.lexsort((-self.similarity, -self.votes)).astype(np.int64)


def reverse_knn(
    targets: Float[np.ndarray, "n d"],
    tiles: Iterable[Float[np.ndarray, "_ d"]],
    num_neighbors: int,
) -> Votes:
    """Votes for the candidates of all tiles, in the order in which they come.

    A zero vector has similarity 0 to everything. Of candidates equally near at the
    last place the lower row is voted for; if there are at most K all are.

    Cost: n·m·d multiplications; memory: K values for each domain example and n
    similarities for each of a few thousand candidates.

    Args:
        targets: Embeddings of the domain.
        tiles: Embeddings of the pool, cut anywhere.
        num_neighbors: K.

    Raises:
        ValueError: If K is below 1, there is no domain example, an embedding is not
            finite or has another width.
    """
    if num_neighbors < 1 or len(targets) == 0:
        raise ValueError(
            "expected at least one neighbor and one domain example, got "
            f"{num_neighbors=} and {len(targets)=}."
        )
    targets = _normalized(targets, targets.shape[1])
    nearest = [_Nearest() for _ in targets]
    similarity = [np.zeros(0)]
    num_seen = 0
    for tile in _small_tiles(tiles):
        cosines = np.rint(targets @ _normalized(tile, targets.shape[1]).T * _UNITS)
        for best, row in zip(nearest, cosines, strict=True):
            best.add(row, num_seen, num_neighbors)
        similarity.append(cosines.sum(axis=0) / (_UNITS * len(targets)))
        num_seen += len(tile)
    rows = np.concatenate([best.rows for best in nearest])
    votes = np.bincount(rows, minlength=num_seen).astype(np.int64)
    return Votes(votes, np.concatenate(similarity))


def shortlist(votes: Votes, size: int) -> Int64[np.ndarray, " k"]:
    """The first `size` rows (or all, if there are fewer) in the order of `Votes.order`.

    Raises:
        ValueError: If `size` is below 1.
    """
    if size < 1:
        raise ValueError(f"a shortlist has at least one candidate, got {size=}.")
    return votes.order[:size]


class _Nearest:
    """The nearest candidates of one domain example so far, in pool order."""

    def __init__(self):
        self.values = np.zeros(0)
        self.rows = np.zeros(0, np.int64)
        self.threshold = -np.inf

    def add(self, cosines: np.ndarray, first_row: int, num_neighbors: int) -> None:
        """Takes in later candidates; one as near as the last kept does not enter."""
        entering = np.flatnonzero(cosines > self.threshold)
        if entering.size == 0:
            return
        values = np.concatenate([self.values, cosines[entering]])
        rows = np.concatenate([self.rows, first_row + entering])
        if len(values) >= num_neighbors:
            kept, self.threshold = _highest(values, num_neighbors)
            values, rows = values[kept], rows[kept]
        self.values, self.rows = values, rows


def _highest(values: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """Ascending places of the `count` highest values, and the lowest of these values.

    Of equal values at the last place the first ones are taken.
    """
    threshold = np.partition(values, -count)[-count]
    taken = values > threshold
    tied = np.flatnonzero(values == threshold)
    taken[tied[: count - np.count_nonzero(taken)]] = True
    return np.flatnonzero(taken), float(threshold)


def _normalized(vectors: np.ndarray, width: int) -> Float64[np.ndarray, "n d"]:
    """The vectors divided by their lengths, in float64; zero vectors stay."""
    if vectors.shape[1] != width or not np.isfinite(vectors).all():
        raise ValueError(
            f"expected finite embeddings of width {width}, got {vectors.shape=}."
        )
    wide = np.ascontiguousarray(vectors, np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.where(lengths == 0, 1, lengths)


def _small_tiles(tiles: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
    for tile in tiles:
        for start in range(0, len(tile), _TILE):
            yield tile[start : start + _TILE]
