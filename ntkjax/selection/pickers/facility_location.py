"""Facility location: picks that together stand for all candidates.

    F(S) = Σ_i max_{j ∈ S} s_ij,   s_ij = max(0, cos(x_i, x_j)),

i over all candidates, x their features. The next pick is the one of the largest gain
F(S ∪ {j}) − F(S), of equal gains the lower position; scores play no part. F is
monotone and submodular, so that F of the first b picks is at least 1 − 1/e of the best
that b candidates can reach (Nemhauser, Wolsey and Fisher 1978).

Gains only shrink as S grows. A gain from an earlier step is thus an upper bound, and
most need not be computed again (lazy greedy, Minoux 1978); the picks are the same.

Arithmetic is exact, so that no gain depends on how the work is cut into blocks.
Features of length 1 are rounded to multiples of 2^-26, whose inner products float64
holds without error. Those are rounded to multiples of 2^-24 and cut to 0 … 1: float32
holds them, and float64 their sums, without error.
"""

import heapq
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Int64

from ntkjax.selection.pickers.picking import PickProblem
from ntkjax.selection.rows import unit_rows


_FEATURE_GRID = 2.0**26
_SIMILARITY_GRID = 2.0**24
_COLUMNS = 256
_NUMBERS_PER_TILE = 2**22
_NUMBERS_KEPT = 2**26

# Minus the gain, the position, and the step of that gain: the smallest entry has the
# largest gain, and of equal gains the lowest position.
_Heap = list[tuple[float, int, int]]


def facility_location(problem: PickProblem) -> Int64[np.ndarray, " b"]:
    """The greedy order.

    A candidate whose features are 0 is like none, not even itself.

    Cost: k²d for the first gains, then k for each gain that is computed again, or kd
    where its similarities were not kept. Memory: 2 kd float32 and at most 256 MB of
    similarities.

    Raises:
        ValueError: If there are no features, or they are not finite.
    """
    similarities = _Similarities(_unit_features(problem))
    k = len(problem.scores)
    covered = np.zeros(k, np.float32)
    heap: _Heap = []
    for start in range(0, k, _COLUMNS):
        positions = range(start, min(start + _COLUMNS, k))
        heap += _entries(similarities, covered, positions, step=0)
    heapq.heapify(heap)
    picks: list[int] = []
    while heap and len(picks) < problem.most:
        _refresh_top(heap, similarities, covered, step=len(picks))
        _, position, _ = heapq.heappop(heap)
        covered = np.maximum(covered, similarities.columns([position])[0])
        picks.append(position)
    return np.array(picks, np.int64)


class _Similarities:
    """Columns of s_ij, computed when asked for; those used last are kept."""

    def __init__(self, units: Float32[np.ndarray, "k d"]):
        self._units = units
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()

    def columns(self, positions: Sequence[int]) -> list[Float32[np.ndarray, " k"]]:
        """s_ij over all i, for each of some j."""
        missing = [position for position in positions if position not in self._kept]
        if missing:
            block = self._compute(missing)
            # copies, as a view would keep the whole block
            self._kept.update(zip(missing, map(np.copy, block), strict=True))
        found = [self._kept[position] for position in positions]
        for position in positions:
            self._kept.move_to_end(position)
        while len(self._kept) * len(self._units) > _NUMBERS_KEPT:
            self._kept.popitem(last=False)
        return found

    def _compute(self, positions: list[int]) -> Float32[np.ndarray, "n k"]:
        k, width = self._units.shape
        chosen = self._units[positions].astype(np.float64)
        found = np.empty((len(positions), k), np.float32)
        rows = max(1, _NUMBERS_PER_TILE // max(1, width))
        for start in range(0, k, rows):
            tile = self._units[start : start + rows].astype(np.float64)
            rounded = np.rint(chosen @ tile.T * _SIMILARITY_GRID) / _SIMILARITY_GRID
            found[:, start : start + rows] = np.clip(rounded, 0, 1)
        return found


def _refresh_top(
    heap: _Heap,
    similarities: _Similarities,
    covered: Float32[np.ndarray, " k"],
    step: int,
) -> None:
    """Computes gains again, from the top, until the top one is true.

    It is if it is of this step, and if it is 0, below which no gain can fall. The more
    there are to compute, the more at once: 1, 2, 4, …, for matrix products.
    """
    count = 1
    while heap[0][2] < step and heap[0][0] < 0:
        stale = [heapq.heappop(heap) for _ in range(min(count, len(heap)))]
        positions = [position for _, position, _ in stale]
        for entry in _entries(similarities, covered, positions, step):
            heapq.heappush(heap, entry)
        count = min(2 * count, _COLUMNS)


def _entries(
    similarities: _Similarities,
    covered: Float32[np.ndarray, " k"],
    positions: Sequence[int],
    step: int,
) -> _Heap:
    """Heap entries of F(S ∪ {j}) − F(S) = Σ_i max(0, s_ij − covered_i)."""
    entries: _Heap = []
    for position, column in zip(
        positions, similarities.columns(positions), strict=True
    ):
        gain = np.maximum(column - covered, 0).sum(dtype=np.float64)
        entries.append((-float(gain), position, step))
    return entries


def _unit_features(problem: PickProblem) -> Float32[np.ndarray, "k d"]:
    """Features of length 1, read at once and rounded a block at a time."""
    if problem.features is None:
        raise ValueError("facility_location needs features, got None.")
    k = len(problem.scores)
    features = problem.features(np.arange(k))
    if not np.isfinite(features).all():
        raise ValueError("features must be finite to be compared.")
    units = np.empty(features.shape, np.float32)
    for start in range(0, k, _COLUMNS):
        rows = slice(start, start + _COLUMNS)
        unit = unit_rows(features[rows])
        units[rows] = np.rint(unit * _FEATURE_GRID) / _FEATURE_GRID
    return units
