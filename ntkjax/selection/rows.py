"""Rows of a matrix that may come in tiles: some of them, and all at length 1."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Float64, Int64


def rows_at(
    tiles: Iterable[Float[np.ndarray, "_ d"]], positions: Int64[np.ndarray, " n"]
) -> Float[np.ndarray, "n d"]:
    """Some rows of a matrix that comes in tiles, in the order asked.

    Memory: these rows and one tile.

    Args:
        tiles: One or more, which together are the matrix from top to bottom.
        positions: Of rows, in any order; one may come twice.
    """
    parts, places, start = [], [], 0
    for tile in tiles:
        (inside,) = np.nonzero((start <= positions) & (positions < start + len(tile)))
        parts.append(tile[positions[inside] - start])
        places.append(inside)
        start += len(tile)
    return np.concatenate(parts)[np.argsort(np.concatenate(places))]


def unit_rows(vectors: Float[np.ndarray, "n d"]) -> Float64[np.ndarray, "n d"]:
    """The vectors divided by their lengths; zero vectors stay.

    >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.where(lengths == 0, 1, lengths)
